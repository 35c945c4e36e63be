//! The pipelines that run, and how they follow their configuration.
//!
//! A configuration that is read again is compared with what runs, pipeline by pipeline. What has not
//! changed goes on untouched, with its connection and its buses; what has is stopped softly, and begins
//! anew when it has ended: of a name there is one at any time.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    sync::Arc,
};

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Mail, Result};
use mailbridge_engine::{Observer, metric};
use mailbridge_graph::{Notify, Options};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    notify::OnBus,
    reload::Reload,
    seen::{Config, Refused, Seen, Shown},
    signals::Signals,
    wiring::{self, Connections, Shared},
};
use crate::{
    config::{Buses, EventsPipeline, Fingerprints, Pipeline, Problems, Setup},
    exit::Exit,
};

/// A pipeline that has been checked.
enum Checked {
    Requests(Box<Pipeline>),
    Events(Box<EventsPipeline>),
}

/// What runs.
pub struct Program {
    /// The connections that pipelines use.
    pub connections: Connections,
    shared: Shared,
    seen: watch::Sender<Shown>,
    /// What it runs of.
    fingerprints: Fingerprints,
    buses: Buses,
    /// Stops everything.
    stop: CancellationToken,
    /// Stops one: those that have not been stopped, also if they have ended by themselves.
    wanted: BTreeMap<String, CancellationToken>,
    /// Those that begin when what has their name has ended.
    next: BTreeMap<String, Checked>,
    running: BTreeSet<String>,
    tasks: JoinSet<(String, Result<()>)>,
}

/// What a new configuration has changed, by the names of pipelines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl Changes {
    fn of(before: &Fingerprints, after: &Fingerprints) -> Self {
        let mut changes = Self::default();
        for (name, print) in &after.pipelines {
            match before.pipelines.get(name) {
                None => changes.added.push(name.clone()),
                Some(known) if known != print => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = before.pipelines.keys().filter(|name| !after.pipelines.contains_key(*name));
        changes.removed.extend(gone.cloned());
        changes
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Program {
    /// Opens what a configuration needs and begins its pipelines.
    pub async fn start(setup: &mut Setup, options: Options, shared: Shared) -> Result<Self> {
        let connections = BTreeMap::new();
        let connections =
            Connections::open(connections, std::iter::empty(), options, BTreeMap::new()).await?;
        let mut program = Self {
            connections,
            shared,
            seen: watch::Sender::new(Shown::default()),
            fingerprints: Fingerprints::default(),
            buses: Buses::default(),
            stop: CancellationToken::new(),
            wanted: BTreeMap::new(),
            next: BTreeMap::new(),
            running: BTreeSet::new(),
            tasks: JoinSet::new(),
        };
        program.follow(setup).await?;
        metrics::gauge!(metric::RELOADED).set(1.0);
        for result in ["applied", "unchanged", "refused"] {
            // a rate is of a counter that was there before
            metrics::counter!(metric::RELOADS, "result" => result).increment(0);
        }
        Ok(program)
    }

    /// What runs, for whoever asks.
    pub fn seen(&self) -> Seen {
        self.seen.subscribe()
    }

    /// How many pipelines there are.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Runs until all pipelines have ended. The first signal stops them softly: nothing new is taken,
    /// what is in flight is finished. The second one ends at once.
    pub async fn until_done(&mut self, mut signals: Signals, mut reload: Reload<'_>) -> Exit {
        let mut exit = Exit::Done;
        loop {
            tokio::select! {
                biased;
                asked = signals.next() => {
                    if self.stop.is_cancelled() {
                        let signal = asked.name;
                        tracing::warn!(signal, "ended at once; what was in flight comes back");
                        return Exit::Signal(asked.number);
                    }
                    tracing::info!(
                        signal = asked.name,
                        "stopping: what is in flight is finished first; a second signal ends at once"
                    );
                    self.stop();
                }
                ended = self.tasks.join_next() => match ended {
                    None => return exit,
                    Some(Ok((name, Ok(())))) => {
                        if let Err(error) = self.ended(&name) {
                            failed(&error);
                            exit = Exit::Failed;
                            self.stop();
                        }
                    }
                    // One pipeline that fails stops all: whoever supervises the program starts it anew.
                    Some(Ok((_, Err(error)))) => {
                        failed(&error);
                        exit = Exit::Failed;
                        self.stop();
                    }
                    Some(Err(cause)) => {
                        tracing::error!(%cause, "a pipeline broke off");
                        exit = Exit::Failed;
                        self.stop();
                    }
                },
                read = reload.next(&self.buses), if !self.stop.is_cancelled() => {
                    self.reload(read).await;
                }
            }
        }
    }

    fn stop(&mut self) {
        self.stop.cancel();
        self.next.clear();
    }

    /// Follows a configuration that was read again, or tells why not.
    async fn reload(&mut self, read: Result<Setup, Problems>) {
        let refused = match read {
            Ok(mut setup) => match self.follow(&mut setup).await {
                Ok(()) => None,
                Err(error) => Some(vec![error.to_string()]),
            },
            Err(problems) => Some(problems.lines()),
        };
        let Some(mistakes) = refused else {
            metrics::gauge!(metric::RELOADED).set(1.0);
            return;
        };
        for mistake in &mistakes {
            tracing::error!(mistake, "the configuration is refused: what ran before goes on");
        }
        let refused = Refused { at: Timestamp::now(), mistakes };
        self.seen.send_modify(|shown| shown.config.refused = Some(refused));
        metrics::counter!(metric::RELOADS, "result" => "refused").increment(1);
        metrics::gauge!(metric::RELOADED).set(0.0);
    }

    /// Does what a configuration says. An error leaves everything as it was.
    async fn follow(&mut self, setup: &mut Setup) -> Result<()> {
        self.open(setup).await?;
        let changes = Changes::of(&self.fingerprints, &setup.fingerprints);
        let first = self.fingerprints == Fingerprints::default();
        if !first {
            self.tell(&changes, setup);
        }
        for name in changes.changed.iter().chain(&changes.removed) {
            if let Some(stop) = self.wanted.remove(name) {
                stop.cancel();
            }
            self.next.remove(name);
        }
        let requests = take(&mut setup.pipelines).into_iter();
        let requests = requests.map(|it| (it.name.clone(), Checked::Requests(Box::new(it))));
        let events = take(&mut setup.events).into_iter();
        let events = events.map(|it| (it.name.clone(), Checked::Events(Box::new(it))));
        for (name, pipeline) in requests.chain(events) {
            if self.wanted.contains_key(&name) {
                continue;
            }
            if let Checked::Requests(pipeline) = &pipeline {
                tell_rehearsal(pipeline);
            }
            self.wanted.insert(name.clone(), self.stop.child_token());
            if self.running.contains(&name) {
                self.next.insert(name, pipeline);
            } else {
                self.begin(name, pipeline)?;
            }
        }
        self.fingerprints = take(&mut setup.fingerprints);
        self.buses = take(&mut setup.buses);
        let gone = changes.removed.iter().filter(|name| !self.running.contains(*name));
        gone.for_each(|name| self.forget(name));
        let connections = self.connections.all();
        self.seen.send_modify(|shown| {
            shown.connections = connections;
            shown.config = Config::default();
        });
        Ok(())
    }

    /// Opens the connections that are new or have changed, and drops those without use.
    async fn open(&mut self, setup: &mut Setup) -> Result<()> {
        let (connections, notify) = (take(&mut setup.connections), take(&mut setup.notify));
        let token_buses = take(&mut setup.token_buses);
        let of_buses = token_buses.iter().map(|it| it.wants.connection.as_str());
        let used: BTreeSet<&str> = setup.uses().map(|(name, _)| name).chain(of_buses).collect();
        let (before, after) = (&self.fingerprints.connections, &setup.fingerprints.connections);
        let stays = |name: &str| {
            self.connections.get(name).is_some() && before.get(name) == after.get(name)
        };
        let new = |name: &str| used.contains(name) && !stays(name);
        let connections = connections.into_iter().filter(|(name, _)| new(name)).collect();
        let notify = notify.into_iter().map(|(name, port)| {
            let on_bus: Arc<dyn Notify> = Arc::new(OnBus(port.build));
            (name, on_bus)
        });
        let mailboxes = setup.uses().flat_map(|(_, used)| used.mailboxes());
        self.connections.add(connections, mailboxes, notify.collect()).await?;
        self.connections.keep(|name| used.contains(name));
        self.connections.give_tokens(token_buses)
    }

    fn tell(&self, difference: &Changes, setup: &Setup) {
        let result = if difference.is_empty() { "unchanged" } else { "applied" };
        metrics::counter!(metric::RELOADS, "result" => result).increment(1);
        for warning in &setup.warnings {
            let (place, key) = (&warning.place, warning.key.join("."));
            tracing::warn!(%place, key, "{}", warning.message);
        }
        for (section, print) in &setup.fingerprints.fixed {
            if self.fingerprints.fixed.get(section) != Some(print) {
                tracing::warn!(section, "this section is read at the start only: restart for it");
            }
        }
        let [added, changed, removed] =
            [&difference.added, &difference.changed, &difference.removed]
                .map(|names| names.join(", "));
        let all = setup.fingerprints.pipelines.len();
        let untouched = all - difference.added.len() - difference.changed.len();
        tracing::info!(added, changed, removed, untouched, "the configuration was read again");
    }

    /// Begins a pipeline.
    fn begin(&mut self, name: String, pipeline: Checked) -> Result<()> {
        let stop = self.wanted.get(&name).cloned().unwrap_or_else(|| self.stop.child_token());
        let connection = match &pipeline {
            Checked::Requests(pipeline) => &pipeline.connection,
            Checked::Events(pipeline) => &pipeline.section.connection,
        };
        let lost = || Error::permanent(Code::Internal, "a pipeline without its connection");
        let mail = self.connections.get(connection).ok_or_else(lost)?;
        self.running.insert(name.clone());
        match pipeline {
            Checked::Requests(pipeline) => {
                let observer = self.shared.report.clone().map(|report| report as Arc<dyn Observer>);
                let mail = mail as Arc<dyn Mail>;
                let run = wiring::requests(*pipeline, mail, &self.shared.health, observer);
                self.tasks.spawn(async move { (name, run.run(stop).await) });
            }
            Checked::Events(pipeline) => {
                let run = wiring::events(*pipeline, mail, &self.shared);
                let by_http = run.settings.webhook.is_some() && run.hub.is_none();
                self.seen.send_modify(|shown| {
                    shown.forget(&name);
                    shown.boards.insert(name.clone(), run.board.clone());
                    shown.pools.extend(run.pool.clone().map(|pool| (name.clone(), pool)));
                    shown.called.extend(by_http.then(|| name.clone()));
                });
                self.tasks.spawn(async move { (name, run.run(stop).await) });
            }
        }
        Ok(())
    }

    /// A pipeline has ended: what was to follow it does, and what was removed is forgotten.
    fn ended(&mut self, name: &str) -> Result<()> {
        self.running.remove(name);
        if let Some(next) = self.next.remove(name) {
            return self.begin(name.to_owned(), next);
        }
        if !self.wanted.contains_key(name) {
            self.forget(name);
            tracing::info!(pipeline = name, "removed");
        }
        Ok(())
    }

    fn forget(&self, name: &str) {
        self.shared.health.forget(name);
        self.seen.send_modify(|shown| shown.forget(name));
    }
}

/// Says of a pipeline that its mail does not reach whom it is for. To whom it goes instead is told by
/// `check`: no recipient is ever logged.
fn tell_rehearsal(Pipeline { name, settings, .. }: &Pipeline) {
    if settings.dry_run {
        tracing::warn!(pipeline = %name, "a dry run: nothing is sent or changed");
    } else if settings.recipients.redirect_to.is_some() {
        tracing::warn!(pipeline = %name, "all mail is redirected: no recipient gets any");
    }
}

fn failed(error: &Error) {
    let (code, cure) = (error.code(), error.code().cure());
    tracing::error!(%code, %error, cure, "a pipeline failed");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pipeline_is_added_changed_removed_or_left_alone() {
        let prints = |pipelines| Fingerprints::of(&json!({ "pipelines": pipelines }));
        let before = prints(json!({ "a": 1, "b": 1, "c": 1 }));
        let after = prints(json!({ "a": 1, "b": 2, "d": 1 }));
        let names = |name: &str| vec![name.to_owned()];
        let (added, changed, removed) = (names("d"), names("b"), names("c"));
        assert_eq!(Changes::of(&before, &after), Changes { added, changed, removed });
        assert!(Changes::of(&before, &before).is_empty());
    }
}
