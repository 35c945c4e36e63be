//! Watches the files that credentials are in, and says when they have changed.
//!
//! It looks once a second, because a look works on every file system, also where a change gives no
//! notice (network mounts, a secret that Kubernetes swaps by a symbolic link). It never reads a
//! file: what the change means is for whoever is told.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};

const EVERY: Duration = Duration::from_secs(1);

/// A watch that goes on until it is dropped.
pub(crate) struct Watch {
    /// At most one task. Dropped with the watch, which aborts it.
    _task: JoinSet<()>,
}

impl Watch {
    /// Calls `changed` whenever a file is not what it was, once it has been left alone for a look:
    /// changes in quick succession, such as those of a key and its certificate, are one. A file
    /// that goes away is no change; its coming back is.
    ///
    /// With no path it does nothing. Needs a runtime otherwise.
    pub(crate) fn start(paths: Vec<PathBuf>, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let mut task = JoinSet::new();
        if !paths.is_empty() {
            // looked at before anybody reads them, so that no change after a reading is missed
            let known = paths.iter().map(|path| Stamp::of(path)).collect();
            task.spawn(run(paths, known, changed));
        }
        Self { _task: task }
    }
}

/// What tells one state of a file from another. Symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { modified: found.modified().ok(), bytes: found.len(), inode: inode(&found) })
    }
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

async fn run(paths: Vec<PathBuf>, mut known: Vec<Option<Stamp>>, changed: impl Fn()) {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moving = false;
    loop {
        ticks.tick().await;
        let look = paths.clone();
        let looked = spawn_blocking(move || look.iter().map(|path| Stamp::of(path)).collect());
        let Ok::<Vec<_>, _>(now) = looked.await else { continue };
        let mut moved = false;
        for (known, now) in known.iter_mut().zip(now) {
            if now.is_some() && *known != now {
                *known = now;
                moved = true;
            }
        }
        if moving && !moved {
            changed();
        }
        moving = moved;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        sync::watch,
        time::{advance, sleep, timeout},
    };

    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        told: watch::Receiver<u32>,
        _watch: Watch,
    }

    impl Scene {
        /// Watches these files of a folder, as `fill` leaves it.
        fn new(names: &[&str], fill: impl Fn(&Path)) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fill(folder.path());
            let (count, told) = watch::channel(0);
            let paths = names.iter().map(|name| folder.path().join(name)).collect();
            let watch = Watch::start(paths, move || count.send_modify(|count| *count += 1));
            Self { folder, told, _watch: watch }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        async fn told(&mut self) {
            timeout(Duration::from_mins(1), self.told.changed()).await.unwrap().unwrap();
        }

        /// Nothing is told for ten looks.
        async fn quiet(&mut self) {
            let told = timeout(EVERY * 10, self.told.changed()).await;
            assert!(told.is_err(), "told without a change");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_and_its_absence_is_not() {
        let mut scene = Scene::new(&["secret"], |at| fs::write(at.join("secret"), "one").unwrap());
        scene.quiet().await;
        scene.write("secret", "another");
        scene.told().await;
        scene.quiet().await;
    }

    #[tokio::test(start_paused = true)]
    async fn changes_in_quick_succession_are_one() {
        let mut scene = Scene::new(&["cert", "key"], |at| {
            fs::write(at.join("cert"), "c").unwrap();
            fs::write(at.join("key"), "k").unwrap();
        });
        scene.write("cert", "c2");
        sleep(EVERY + EVERY / 10).await;
        scene.write("key", "k2k");
        scene.told().await;
        scene.quiet().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_goes_away_is_told_of_when_it_comes_back() {
        let mut scene = Scene::new(&["secret"], |at| fs::write(at.join("secret"), "one").unwrap());
        fs::remove_file(scene.folder.path().join("secret")).unwrap();
        scene.quiet().await;
        scene.write("secret", "another");
        scene.told().await;
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_swapped_symbolic_link_is_a_change() {
        use std::os::unix::fs::symlink;

        // as Kubernetes lays out a mounted secret
        let mut scene = Scene::new(&["secret"], |at| {
            for version in ["v1", "v2"] {
                fs::create_dir(at.join(version)).unwrap();
                fs::write(at.join(version).join("secret"), version).unwrap();
            }
            symlink("v1", at.join("..data")).unwrap();
            symlink("..data/secret", at.join("secret")).unwrap();
        });
        scene.quiet().await;
        let at = scene.folder.path();
        symlink("v2", at.join("..new")).unwrap();
        fs::rename(at.join("..new"), at.join("..data")).unwrap();
        scene.told().await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_owner() {
        let kept = Arc::new(());
        let inside = Arc::clone(&kept);
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::start(vec![folder.path().join("secret")], move || {
            drop(Arc::clone(&inside));
        });
        drop(watch);
        advance(EVERY * 3).await;
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
