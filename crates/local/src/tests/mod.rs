//! The bus as its users meet it: files, restarts and crashes.

mod input;
mod output;
mod state;

use std::{fs, path::PathBuf, time::Duration};

use mailbridge_core::{
    Delivery, Disposition, Input, Message, Needs, Output, SeenBefore, Settled, plugin::Plugin as _,
};
use tempfile::TempDir;

use crate::{Config, Lines, Local, Location, Source, Target};

/// A directory with a bus in it.
struct Place {
    dir: TempDir,
    local: Local,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = bus(dir.path().join("state"));
        Self { dir, local }
    }

    /// What a restart of the program is: nothing is left but files.
    fn restarted(self) -> Self {
        let Self { dir, local } = self;
        drop(local);
        let local = bus(dir.path().join("state"));
        Self { dir, local }
    }

    /// What a crash at this moment would leave: the files as they are, with all of them open.
    fn image(&self) -> Image {
        let read = |name| Some((name, fs::read(self.path(name)).ok()?));
        Image(
            ["in.ndjson", "out.ndjson", "state/mailbridge.redb"]
                .into_iter()
                .filter_map(read)
                .collect(),
        )
    }

    /// A restart after that crash.
    fn crashed(self, image: Image) -> Self {
        let Self { dir, local } = self;
        drop(local);
        // what is still being written ends with the process, here with its thread
        let folder = dir.path().canonicalize().unwrap();
        while crate::output::OPEN.is_any_open(&folder) || crate::store::OPEN.is_any_open(&folder) {
            std::thread::yield_now();
        }
        for (name, content) in image.0 {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let local = bus(dir.path().join("state"));
        Self { dir, local }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, text: &str) {
        fs::write(self.path("in.ndjson"), text).unwrap();
    }

    fn append(&self, text: &str) {
        use std::io::Write as _;
        let mut file = fs::File::options().append(true).open(self.path("in.ndjson")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn lines(&self) -> Lines {
        let path = Location::File(self.path("in.ndjson"));
        Lines { path, follow: false, remember: true }
    }

    fn source(&self) -> Source {
        Source::Lines(self.lines())
    }

    async fn input(&self) -> Box<dyn Input> {
        self.local.input(&self.source(), &NEEDS).await.unwrap()
    }

    async fn output(&self) -> Box<dyn Output> {
        let path = Location::File(self.path("out.ndjson"));
        self.local.output(&Target::Lines(path)).await.unwrap()
    }

    fn written(&self) -> String {
        fs::read_to_string(self.path("out.ndjson")).unwrap()
    }
}

struct Image(Vec<(&'static str, Vec<u8>)>);

fn bus(dir: PathBuf) -> Local {
    Local::new("files", Config { dir }).unwrap()
}

const NEEDS: Needs = Needs { in_flight: 8, concluding: 0, deadline: Duration::from_secs(1) };

async fn take(input: &mut Box<dyn Input>) -> Delivery {
    input.next().await.unwrap().expect("a delivery")
}

async fn done(delivery: Delivery) {
    assert_eq!(delivery.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
}

/// Takes all that comes, and says what it was and whether it was seen before.
async fn rest(input: &mut Box<dyn Input>) -> Vec<(String, SeenBefore)> {
    let mut found = Vec::new();
    while let Some(delivery) = input.next().await.unwrap() {
        found.push((text(&delivery), delivery.seen_before));
        done(delivery).await;
    }
    found
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.payload).into_owned()
}

fn no(text: &str) -> (String, SeenBefore) {
    (text.to_owned(), SeenBefore::No)
}

fn maybe(text: &str) -> (String, SeenBefore) {
    (text.to_owned(), SeenBefore::Maybe)
}
