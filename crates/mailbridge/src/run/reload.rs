//! When the configuration is read again: when somebody asks (SIGHUP), and when what the files say
//! has changed.
//!
//! Files are looked at by their content and not by notices of the file system: those are of the file
//! that a link led to, and a mounted ConfigMap is a link that leads elsewhere (kubernetes.io,
//! mounted-configmaps-are-updated-automatically). A file that is being written is not read: what it
//! says counts when it says the same twice.

use std::{io, path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    config::{self, Buses, Fingerprints, Problems, Setup},
    registry::Registry,
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// What the files say: what it rests on, or the mistakes.
type Said = Result<Fingerprints, String>;

/// Reads the configuration again.
pub struct Reload<'a> {
    files: Vec<PathBuf>,
    registry: &'a Registry,
    asked: Signal,
    /// None where nobody looks.
    looks: Option<Interval>,
    watched: Watched,
}

impl<'a> Reload<'a> {
    /// Takes SIGHUP over from the system, which would end the program. With `watch` it looks at the
    /// files by itself.
    pub fn new(
        files: Vec<PathBuf>,
        registry: &'a Registry,
        runs: &Fingerprints,
        watch: bool,
    ) -> io::Result<Self> {
        let looks = watch.then(|| {
            let mut looks = interval(EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        let asked = signal(SignalKind::hangup())?;
        Ok(Self { files, registry, asked, looks, watched: Watched::new(Ok(runs.clone())) })
    }

    /// What the files say, once there is a reason to ask. Cancel safe.
    pub async fn next(&mut self, buses: &Buses) -> Result<Setup, Problems> {
        loop {
            tokio::select! {
                Some(()) = self.asked.recv() => {
                    tracing::info!(signal = "SIGHUP", "the configuration is read again");
                    self.watched = Watched::new(said(&self.files));
                    break;
                }
                () = look(&mut self.looks) => {
                    if self.watched.settled(said(&self.files)) {
                        tracing::info!("the configuration has changed: it is read again");
                        break;
                    }
                }
            }
        }
        config::read_again(&self.files, self.registry, buses)
    }
}

async fn look(looks: &mut Option<Interval>) {
    match looks {
        Some(looks) => drop(looks.tick().await),
        None => std::future::pending().await,
    }
}

fn said(files: &[PathBuf]) -> Said {
    config::fingerprints(files).map_err(|problems| problems.to_string())
}

/// What files said, and what they may be about to say.
struct Watched {
    known: Said,
    new: Option<Said>,
}

impl Watched {
    fn new(known: Said) -> Self {
        Self { known, new: None }
    }

    /// Whether this is new, and said for the second time.
    fn settled(&mut self, said: Said) -> bool {
        if said == self.known {
            self.new = None;
            return false;
        }
        let settled = self.new.as_ref() == Some(&said);
        if settled {
            *self = Self::new(said);
        } else {
            self.new = Some(said);
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_counts_once() {
        let says = |name: &str| {
            let tree = serde_json::json!({ "pipelines": { name: {} } });
            Ok(Fingerprints::of(&tree))
        };
        let wrong = || Err("a.yaml:1: not YAML".to_owned());
        let mut watched = Watched::new(says("a"));
        let seen = [
            (says("a"), false),
            // half written, and then whole
            (wrong(), false),
            (says("b"), false),
            (says("b"), true),
            (says("b"), false),
            // taken back before anybody saw it twice
            (says("c"), false),
            (says("b"), false),
            (says("c"), false),
            // left wrong
            (wrong(), false),
            (wrong(), true),
            (wrong(), false),
        ];
        for (at, (said, counts)) in seen.into_iter().enumerate() {
            assert_eq!(watched.settled(said), counts, "{at}");
        }
    }
}
