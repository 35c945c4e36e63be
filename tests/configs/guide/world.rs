//! Where the commands of one page run: a folder with nothing but `configs/`, the programs that a
//! reader has, and the servers that the page's commands speak to.
//!
//! Ports are the only thing that differs from what is written: those of the pages are everybody's.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use futures_util::future::select_ok;
use mailbridge_testkit::{
    program::{Launch, Program, binary},
    server::{KafkaServer, NatsServer},
};
use tempfile::TempDir;

use crate::program::repository;

/// How long a command may take, and what is shown may take to come.
const WITHIN: Duration = Duration::from_mins(2);
/// Ports that no server has which is started here.
const OURS: [&str; 4] = ["8080", "8081", "8082", "8365"];
/// Kafka's own tools, and the class that each script starts.
const TOOLS: [(&str, &str); 2] = [
    ("kafka-console-producer.sh", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
];

pub struct World {
    folder: TempDir,
    /// Each port as it is written, and as it is here.
    ports: Vec<(&'static str, String)>,
    /// What the last command that ended has printed.
    printed: Vec<String>,
    /// What goes on.
    staying: Vec<(Program, String)>,
    _nats: Option<NatsServer>,
    _kafka: Option<KafkaServer>,
}

impl World {
    /// With the servers that the text speaks of.
    pub async fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        let mut ports: Vec<_> = OURS.map(|port| (port, free_port())).into();
        let (mut nats, mut kafka) = (None, None);
        if ["nats pub", "nats sub"].iter().any(|command| text.contains(command)) {
            let server = NatsServer::start().await.expect("nats-server");
            ports.push(("4222", port_of(server.url())));
            nats = Some(server);
        }
        if text.contains("--bootstrap-server") {
            let server = KafkaServer::start().await.expect("Kafka");
            ports.push(("9092", port_of(&server.broker())));
            for (script, class) in TOOLS {
                let tool = server.tool(class);
                let words = std::iter::once(tool.get_program()).chain(tool.get_args());
                let words: Vec<_> =
                    words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
                provide(folder.path(), script, &format!("exec {} \"$@\"", words.join(" ")));
            }
            kafka = Some(server);
        }
        let world =
            Self { folder, ports, printed: vec![], staying: vec![], _nats: nats, _kafka: kafka };
        let program = binary().expect("the program is built");
        let program = program.display();
        provide(world.folder.path(), "mailbridge", &format!("exec '{program}' \"$@\""));
        let cargo =
            format!("[[ \"$1 $2 $3\" == 'run --release --' ]] && exec '{program}' \"${{@:4}}\"");
        provide(world.folder.path(), "cargo", &cargo);
        provide(world.folder.path(), "nats", &world.here(include_str!("nats.sh")));
        // a refusal is a failure here, whether or not a reader's curl is told so
        fs::write(world.folder.path().join(".curlrc"), "fail-with-body\n").expect("a file");
        world.copy(Path::new("configs"));
        world
    }

    /// Where commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A text with the ports of this world.
    pub fn here(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (written, here)| text.replace(written, here))
    }

    fn copy(&self, path: &Path) {
        fs::create_dir_all(self.folder.path().join(path)).expect("a folder");
        for entry in fs::read_dir(repository().join(path)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = path.join(entry.file_name());
            if entry.path().is_dir() {
                self.copy(&path);
            } else {
                let text = fs::read_to_string(entry.path()).expect("a text");
                fs::write(self.folder.path().join(path), self.here(&text)).expect("a file");
            }
        }
    }

    fn start(&self, script: &str) -> Program {
        let folder = self.folder.path().display();
        let script = format!("export PATH='{folder}/bin':\"$PATH\"\ncd '{folder}'\n{script}");
        let launch = Launch::new("bash").expect("a launch").args(["-eu", "-c", &script]);
        launch.env("CURL_HOME", self.folder.path()).start().expect("bash")
    }

    /// Runs commands to their end, as a shell does that stops at the first failure.
    pub async fn run(&mut self, script: &str, place: &str) {
        let mut shell = self.start(&self.here(script));
        let status = shell.wait_exit(WITHIN).await;
        let status = status.unwrap_or_else(|error| panic!("{place}: {error}"));
        self.printed = shell.lines().into_iter().map(|line| line.text).collect();
        assert!(status.success(), "{place}: {status}\n{}", self.printed.join("\n"));
    }

    /// Starts one that goes on, such as `NAME=value program argument`.
    pub fn stay(&mut self, command: &str, place: &str) {
        let program = self.start(&format!("exec env {}", self.here(command)));
        self.staying.push((program, place.to_owned()));
    }

    /// Looks for a line in what the last command has printed, or waits for it from one that goes on.
    pub async fn shows(&self, line: &str, place: &str) {
        let wanted = self.here(line);
        if self.printed.iter().any(|printed| is_like(printed, &wanted)) {
            return;
        }
        let coming = self.staying.iter().map(|(program, _)| {
            Box::pin(program.wait_for(|printed| is_like(printed, &wanted), WITHIN))
        });
        let coming: Vec<_> = coming.collect();
        let printed = self.printed.join("\n");
        assert!(!coming.is_empty(), "{place}: nothing shows `{wanted}`\n{printed}");
        let seen = select_ok(coming).await;
        assert!(seen.is_ok(), "{place}: nothing shows `{wanted}`\n{printed}\n{:?}", seen.err());
    }

    /// Presses Ctrl-C in each terminal, the last one first.
    pub async fn end(mut self) {
        while let Some((mut program, place)) = self.staying.pop() {
            program.sigint().unwrap_or_else(|error| panic!("{place}: {error}"));
            let status = program.wait_exit(WITHIN).await;
            let status = status.unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(status.code().is_none_or(|code| code == 0), "{place}: {status}");
        }
    }
}

/// Whether a line is as it is shown: `…` stands for anything.
pub fn is_like(line: &str, shown: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.trim_end().is_empty() || shown.trim_end().ends_with('…')
}

/// Puts a script into the folder that goes before all others in `PATH`.
fn provide(folder: &Path, name: &str, script: &str) {
    let file = folder.join("bin").join(name);
    fs::write(&file, format!("#!/usr/bin/env bash\n{script}\n")).expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it may be run");
}

fn free_port() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port().to_string()
}

fn port_of(address: &str) -> String {
    address.rsplit(':').next().expect("a port").to_owned()
}
