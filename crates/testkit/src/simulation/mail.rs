//! A mailroom that keeps the truth: what was really sent, and what can be seen of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Attempt, Code, Completion, Doubt, Error, Guarantee, Mail, Mailbox, Result, Scope, Verdict,
};
use tokio::time::Instant;

use super::{Dice, Power};

/// A mailroom. Clones are one.
#[derive(Clone)]
pub struct Mailroom(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// How long a sent mail cannot be seen, at most.
    hidden: Duration,
    sight: Sight,
}

struct State {
    dice: Dice,
    /// By mark: when each copy was sent and from when it can be seen.
    sent: HashMap<String, Vec<Instant>>,
    /// Marks of drafts that were made and not sent.
    drafts: HashSet<String>,
    searches: bool,
    /// How often somebody looked for a mail.
    looks: usize,
    faults: Vec<(Fault, u64)>,
    blocked_until: Option<Instant>,
    throttled: Option<Mailbox>,
    most_performing: usize,
}

/// Whether the mailroom looks before it sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// As `Mail` promises.
    LooksFirst,
    /// It ignores every doubt: the negative control.
    Blind,
}

/// What can go wrong in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A definite no before anything happened.
    Refused,
    /// No answer, and nothing happened.
    LostBefore,
    /// No answer, and it was sent.
    LostAfter,
    /// It takes longer than the attempt may take, and is sent.
    Hung,
    /// Identity is blocked for a while.
    Blocked,
}

impl Mailroom {
    /// A mailroom in which each fault strikes in so many percent of attempts.
    pub fn new(seed: u64, hidden: Duration, sight: Sight, faults: &[(Fault, u64)]) -> Self {
        let state = State {
            dice: Dice::new(seed),
            sent: HashMap::new(),
            drafts: HashSet::new(),
            searches: true,
            looks: 0,
            faults: faults.to_vec(),
            blocked_until: None,
            throttled: None,
            most_performing: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), hidden, sight }))
    }

    /// Throttles one mailbox for good.
    pub fn throttle(&self, mailbox: &str) {
        self.state().throttled = Some(Mailbox::new(mailbox));
    }

    /// A draft with this mark was made, and not sent.
    pub fn leave_draft(&self, mark: &str) {
        self.state().drafts.insert(mark.to_owned());
    }

    /// Nobody can look for a mail from now on.
    pub fn lose_search(&self) {
        self.state().searches = false;
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.searches = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many copies were sent of each mail, by mark.
    pub fn copies(&self) -> HashMap<String, usize> {
        self.state().sent.iter().map(|(mark, copies)| (mark.clone(), copies.len())).collect()
    }

    /// How often somebody looked for a mail so far.
    pub fn looks(&self) -> usize {
        self.state().looks
    }

    /// The most attempts that any one worker ever had under way at once.
    pub fn most_performing(&self) -> usize {
        self.state().most_performing
    }

    /// A worker's way to this mailroom.
    pub fn port(&self, power: &Power) -> Arc<dyn Mail> {
        Arc::new(Port { room: self.clone(), power: power.clone(), performing: AtomicUsize::new(0) })
    }

    fn send(&self, mark: &str) {
        let mut state = self.state();
        let hidden = u64::try_from(self.0.hidden.as_millis()).unwrap_or_default();
        let hidden = Duration::from_millis(state.dice.below(hidden));
        state.sent.entry(mark.to_owned()).or_default().push(Instant::now() + hidden);
    }

    fn sees(&self, mark: &str) -> bool {
        let now = Instant::now();
        self.state().sent.get(mark).is_some_and(|copies| copies.iter().any(|seen| *seen <= now))
    }

    fn fault(&self) -> Option<Fault> {
        let mut state = self.state();
        let mut roll = state.dice.below(100);
        for (fault, percent) in state.faults.clone() {
            if roll < percent {
                return Some(fault);
            }
            roll -= percent;
        }
        None
    }

    fn blocked(&self) -> Result<()> {
        match self.state().blocked_until {
            Some(until) if until > Instant::now() => {
                Err(Error::blocked(Code::CredentialSecretExpired, "expired"))
            }
            _ => Ok(()),
        }
    }
}

struct Port {
    room: Mailroom,
    power: Power,
    performing: AtomicUsize,
}

#[async_trait]
impl Mail for Port {
    async fn ready(&self) -> Result<()> {
        self.power.step().await;
        self.room.blocked()
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        self.power.step().await;
        let performing = self.performing.fetch_add(1, Ordering::SeqCst) + 1;
        let _performing = Performing(&self.performing);
        {
            let mut state = self.room.state();
            state.most_performing = state.most_performing.max(performing);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let result = self.attempt(&attempt).await;
        self.power.step().await;
        result
    }
}

impl Port {
    async fn attempt(&self, attempt: &Attempt<'_>) -> Result<Completion> {
        let mark = attempt.mark.as_str();
        self.room.blocked()?;
        if self.room.state().throttled.as_ref() == Some(attempt.mailbox) {
            let (scope, after) = (Scope::Mailbox, Some(Duration::from_secs(3)));
            return Err(Error::new(
                Code::GraphThrottled,
                Verdict::Blocked { scope, after },
                "slow down",
            ));
        }
        let looks = self.room.0.sight == Sight::LooksFirst && attempt.guarantee == Guarantee::Once;
        if looks && attempt.doubt != Doubt::None {
            return self.look(mark, attempt.doubt);
        }
        let lost = || Err(Error::in_doubt(Code::GraphTimeout, "no answer"));
        match self.room.fault() {
            Some(Fault::Refused) => Err(Error::transient(Code::GraphUnavailable, "busy")),
            Some(Fault::LostBefore) => lost(),
            Some(Fault::Blocked) => {
                self.room.state().blocked_until = Some(Instant::now() + Duration::from_mins(2));
                self.room.blocked()?;
                lost()
            }
            Some(Fault::LostAfter) => {
                self.room.send(mark);
                lost()
            }
            Some(Fault::Hung) => {
                self.room.send(mark);
                tokio::time::sleep_until(attempt.deadline.at() + Duration::from_mins(5)).await;
                lost()
            }
            None => {
                self.power.step().await;
                self.room.send(mark);
                self.power.step().await;
                Ok(Completion::Sent { internet_message_id: None, found: false })
            }
        }
    }
}

impl Port {
    /// As `once` does it: a draft that is found after an old doubt is sent.
    fn look(&self, mark: &str, doubt: Doubt) -> Result<Completion> {
        let searches = {
            let mut state = self.room.state();
            state.looks += 1;
            state.searches
        };
        if !searches {
            return Err(Error::transient(Code::GraphUnavailable, "busy"));
        }
        let found = self.room.sees(mark);
        if !found && doubt != Doubt::Old {
            return Ok(Completion::Unsettled);
        }
        if !found && !self.room.state().drafts.remove(mark) {
            return Ok(Completion::Absent);
        }
        if !found {
            self.room.send(mark);
        }
        Ok(Completion::Sent { internet_message_id: None, found })
    }
}

struct Performing<'a>(&'a AtomicUsize);

impl Drop for Performing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
