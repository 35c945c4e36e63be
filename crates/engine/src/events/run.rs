//! Running an events pipeline: whose turn it is, and what follows from how a turn ended.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{Code, Error, Mailbox, Result, Scope, Verdict};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Events, Settings, State,
    after::After,
    folders::Places,
    hub,
    line::{Line, Turn},
    make::Maker,
    quarantine::Quarantine,
    relay::relay,
    roster::Roster,
    share::{Pool, Share, Worker},
    turns::{Ended, Turns, sleep_until},
    wake::{Keeper, Waking, Watch},
};
use crate::{
    health::Side,
    hold::{Hold, Pass},
    host::OutputHost,
    metric,
};

/// The pauses after a failure that passes.
const PASSING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(2));
/// The pauses of a mailbox that is not there or denies access: somebody has to do something about it.
const PARKED: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(1));
/// How long a mailbox that asks for a pause is left alone when it does not say for how long.
const MAILBOX_PAUSE: Duration = Duration::from_secs(5);
/// Until a mailbox is looked at again that another worker is about to have.
const NOT_MINE: Duration = Duration::from_secs(1);
/// How often an idle connection is asked whether it is still ready.
const IDLE_CHECK: Duration = Duration::from_secs(15);

/// A pipeline that runs.
struct Running {
    line: Arc<Line>,
    /// Whose mail is read, by all workers together, and since when each is known of.
    all: Vec<Mailbox>,
    known: HashMap<Mailbox, Timestamp>,
    turns: Turns,
    hold: Hold,
    keeper: Option<Arc<Keeper>>,
    tasks: JoinSet<(Mailbox, Pass, Result<Turn>)>,
}

impl Events {
    /// Runs until `stop` is cancelled, then finishes the pages in hand. What is not finished when the
    /// drain time is over is read again the next time.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let drain = self.settings.drain;
        let health = self.health.clone();
        let (pool, callbacks) = (self.pool.clone(), self.callbacks.clone());
        let mut hearing = JoinSet::new();
        if let Some(hub) = self.hub.clone() {
            let (name, callbacks) = (self.name.clone(), callbacks.clone());
            let calls = hub::hear(name, hub, callbacks, health.clone());
            hearing.spawn(stop.clone().run_until_cancelled_owned(calls));
        }
        let mut running = self.start(stop.clone());
        let keeper = running.keeper.clone();
        let leave = CancellationToken::new();
        let mut sharing = JoinSet::new();
        if let Some(pool) = pool {
            let Pool { pipeline, store, .. } = pool.clone();
            sharing.spawn(share(Arc::clone(&running.line), pool, leave.clone()));
            let (called, leave) = (keeper.is_some(), leave.clone());
            sharing.spawn(async move {
                if called {
                    leave.run_until_cancelled(relay(&pipeline, &callbacks, &store)).await;
                }
            });
        }
        // works on while the turns drain: a subscription that Graph has just granted is kept
        let mut keeping = JoinSet::new();
        if let Some(keeper) = keeper {
            let stop = stop.clone();
            keeping.spawn(async move { keeper.run(stop).await });
        }
        running.work(&stop).await;
        health.draining();
        let tasks = &mut running.tasks;
        let drained = async {
            while tasks.join_next().await.is_some() {}
            while keeping.join_next().await.is_some() {}
        };
        if tokio::time::timeout(drain, drained).await.is_err() {
            let (pipeline, left) = (&running.line.pipeline, running.tasks.len());
            tracing::warn!(%pipeline, left, "the drain time is over; what is left is read again");
            running.tasks.shutdown().await;
            keeping.shutdown().await;
        }
        // nothing is under way any more: the others have the rest too
        leave.cancel();
        while sharing.join_next().await.is_some() {}
        health.done();
        Ok(())
    }

    fn start(self, stop: CancellationToken) -> Running {
        let Self { name, mail, changes, store, clock, settings, health, commits, .. } = self;
        let output = |side, build| OutputHost::new(side, &name, build, health.clone());
        let keeper = settings.webhook.clone().map(|webhook| {
            let (changes, store) = (Arc::clone(&changes), Arc::clone(&store));
            Arc::new(Keeper::new(&name, changes, store, self.callbacks, webhook))
        });
        if self.hub.is_none() {
            // nothing comes in by a bus
            health.bus(Ok(()));
        }
        let maker = Maker {
            pipeline: name.clone(),
            include: settings.include.clone(),
            changes: Arc::clone(&changes),
            store: self.files,
            filter: self.filter,
        };
        let dead_letters = self.dead_letters.map(|build| output(Side::DeadLetters, build));
        let after = After {
            pipeline: name.clone(),
            steps: settings.after.clone(),
            mail: Arc::clone(&mail),
        };
        let line = Line {
            select: settings.include.select(&settings.changes),
            to: output(Side::Events, self.to),
            quarantine: Quarantine { pipeline: name.clone(), dead_letters },
            commits,
            share: Share::new(self.pool, commits),
            places: Places::new(settings.folders.clone(), settings.start),
            board: self.board,
            maker,
            after,
            changes,
            store,
            clock,
            stop,
            pipeline: name.clone(),
            settings,
        };
        Running {
            all: Vec::new(),
            known: HashMap::new(),
            turns: Turns::new(line.settings.every),
            line: Arc::new(line),
            hold: Hold::new(&name, mail, health),
            keeper,
            tasks: JoinSet::new(),
        }
    }
}

impl Running {
    async fn work(&mut self, stop: &CancellationToken) {
        let line = Arc::clone(&self.line);
        let keeper = self.keeper.clone();
        let (found, mut rosters) = mpsc::channel(1);
        let mut watching = pin!(watch(&line, found));
        loop {
            self.begin_turns(stop).await;
            if stop.is_cancelled() {
                return;
            }
            let full = self.tasks.len() >= self.line.settings.at_once;
            let due = self.turns.due().filter(|_| !full);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = &mut watching => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                woken = woken(keeper.as_deref()) => {
                    let now = Instant::now();
                    for mailbox in &woken {
                        self.turns.wake(mailbox, now);
                    }
                }
                Some(all) = rosters.recv() => {
                    self.know(all);
                    self.set();
                }
                () = line.share.changed() => self.set(),
                () = sleep_until(due) => {}
                () = tokio::time::sleep(IDLE_CHECK) => {}
            }
        }
    }

    /// Begins the turns that are due, as many as may be under way. Where the connection is blocked it
    /// waits until it is open.
    async fn begin_turns(&mut self, stop: &CancellationToken) {
        while self.tasks.len() < self.line.settings.at_once {
            let pass = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // a turn that ended may be what opens it
                Some(ended) = self.tasks.join_next() => {
                    self.ended(ended);
                    continue;
                }
                pass = self.hold.pass() => pass,
            };
            let Some(mailbox) = self.turns.next(Instant::now()) else {
                drop(pass);
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = self.hold.check() => {}
                }
                return;
            };
            let line = Arc::clone(&self.line);
            let Some(busy) = line.share.begin(&mailbox) else {
                // it is about to be another's, or the lease is late
                drop(pass);
                let pause = Ended::After(NOT_MINE);
                self.turns.ended(&mailbox, pause, line.settings.every, Instant::now());
                continue;
            };
            self.tasks.spawn(async move {
                let turn = line.turn(&mailbox).await;
                drop(busy);
                (mailbox, pass, turn)
            });
        }
    }

    /// These are all mailboxes now.
    fn know(&mut self, all: Vec<Mailbox>) {
        let now = self.line.now();
        let before = std::mem::take(&mut self.known);
        let since = |mailbox: &Mailbox| before.get(mailbox).copied().unwrap_or(now);
        self.known = all.iter().map(|mailbox| (mailbox.clone(), since(mailbox))).collect();
        self.all = all;
    }

    /// These are this worker's mailboxes now.
    fn set(&mut self) {
        let all = self.line.share.mine(&self.all);
        let gone = self.turns.set(&all, Instant::now());
        for mailbox in &gone {
            self.line.board.remove(mailbox);
            self.line.places.gone(mailbox);
        }
        for mailbox in &all {
            let since = self.known.get(mailbox).copied();
            self.line.board.note(mailbox, |status| status.known_since = since);
        }
        if let Some(keeper) = &self.keeper {
            let only = match self.line.settings.folders.as_slice() {
                [one] if !one.contains(['/', '*']) => Some(one.clone()),
                _ => None,
            };
            let moved = gone.iter().filter(|mailbox| self.known.contains_key(mailbox));
            keeper.let_go(moved);
            keeper.watch(all.iter().map(|it| Watch { mailbox: it.clone(), folder: only.clone() }));
        }
        let (pipeline, mailboxes, gone) = (&self.line.pipeline, all.len(), gone.len());
        tracing::info!(%pipeline, mailboxes, gone, "mailboxes are looked at");
        self.count();
    }

    fn ended(&mut self, ended: Result<(Mailbox, Pass, Result<Turn>), tokio::task::JoinError>) {
        let Ok((mailbox, pass, result)) = ended else {
            // a panic: the mailbox that it met stays busy, so that it cannot happen again and again
            tracing::error!(pipeline = %self.line.pipeline, "a turn broke off");
            return;
        };
        let now = Instant::now();
        let awake = self.keeper.as_ref().is_some_and(|keeper| keeper.is_awake(&mailbox));
        let Settings { every, backstop, .. } = self.line.settings;
        let idle_max = if awake { backstop.max(every) } else { every };
        let what = match result {
            Ok(turn) => {
                pass.open();
                match turn {
                    Turn { more: true, .. } => Ended::More,
                    Turn { told: 0, .. } => Ended::Idle,
                    Turn { .. } => Ended::Told,
                }
            }
            Err(error) => self.failed(&mailbox, &pass, &error),
        };
        let Some(next) = self.turns.ended(&mailbox, what, idle_max, now) else {
            // whose it was is not one of the pipeline's mailboxes any more
            self.line.board.remove(&mailbox);
            return;
        };
        let next = SignedDuration::try_from(next - now).ok();
        let subscribed = self.keeper.as_ref().map(|keeper| keeper.waking(&mailbox));
        self.line.board.note(&mailbox, |status| {
            status.next_at = next.map(|wait| self.line.now() + wait);
            status.subscribed_until = match subscribed {
                Some(Waking::Awake(until)) => Some(until),
                _ => None,
            };
        });
        self.count();
    }

    /// Notes a failure, and says when the mailbox is looked at again.
    fn failed(&self, mailbox: &Mailbox, pass: &Pass, error: &Error) -> Ended {
        let (pipeline, code, cure) = (&self.line.pipeline, error.code(), error.code().cure());
        metrics::counter!(metric::TURNS_FAILED, "pipeline" => pipeline.clone(),
            "code" => code.as_str())
        .increment(1);
        let (state, ended) = match (error.verdict(), code) {
            (Verdict::Blocked { scope: Scope::Connection, after }, _) => {
                (State::Failing, Ended::After(pass.close(error, after)))
            }
            (_, Code::CursorTaken) => {
                (State::Elsewhere, Ended::After(self.line.settings.every * 2))
            }
            (Verdict::Blocked { after, .. }, Code::GraphThrottled | Code::GraphUnavailable) => {
                (State::Throttled, Ended::After(after.unwrap_or(MAILBOX_PAUSE)))
            }
            (Verdict::Blocked { .. } | Verdict::Permanent, _) => {
                (State::Parked, Ended::Failed(PARKED.0, PARKED.1))
            }
            (Verdict::Transient { after: Some(after) }, _) => (State::Failing, Ended::After(after)),
            (Verdict::Transient { after: None } | Verdict::InDoubt, _) => {
                (State::Failing, Ended::Failed(PASSING.0, PASSING.1))
            }
        };
        if !matches!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, .. }) {
            pass.open();
        }
        let first = self.turns.failures(mailbox) == 0;
        match state {
            State::Parked | State::Failing if first => {
                tracing::warn!(%pipeline, %mailbox, %code, %error, cure,
                    "a mailbox cannot be read for now; the others go on");
            }
            _ => tracing::debug!(%pipeline, %mailbox, %code, %error, "not read for now"),
        }
        self.line.board.trouble(mailbox, state, error, self.line.now());
        ended
    }

    fn count(&self) {
        for (state, count) in self.line.board.counts() {
            #[expect(clippy::cast_precision_loss, reason = "a count of mailboxes")]
            metrics::gauge!(metric::MAILBOXES, "pipeline" => self.line.pipeline.clone(),
                "state" => state.as_str())
            .set(count as f64);
        }
    }
}

/// Holds this worker's share of the mailboxes until it is to leave, and then gives it back.
async fn share(line: Arc<Line>, pool: Pool, leave: CancellationToken) {
    let since = line.now();
    let card = || {
        let counts = line.board.counts().into_iter();
        Worker {
            name: String::new(),
            worker: pool.worker.clone(),
            place: pool.place.clone(),
            since,
            slices: 0,
            mailboxes: counts.map(|(state, count)| (state.as_str().to_owned(), count)).collect(),
            published: line.board.totals().0,
        }
    };
    line.share.hold(line.stop.clone(), leave, card).await;
}

/// What goes on beside the turns, until the pipeline stops.
async fn watch(line: &Line, found: mpsc::Sender<Vec<Mailbox>>) {
    let dead_letters = async {
        match &line.quarantine.dead_letters {
            Some(output) => output.watch().await,
            None => std::future::pending().await,
        }
    };
    let mut roster =
        Roster::new(&line.pipeline, line.settings.mailboxes.clone(), line.share.clone());
    let rosters =
        async { while found.send(roster.next(|| line.discover()).await).await.is_ok() {} };
    tokio::join!(line.to.watch(), dead_letters, rosters);
}

async fn woken(keeper: Option<&Keeper>) -> Vec<Mailbox> {
    match keeper {
        Some(keeper) => keeper.woken().await,
        None => std::future::pending().await,
    }
}
