//! The failure policy, on one screen: the only reader of a [`Verdict`].

use std::time::Duration;

use mailbridge_core::{Completion, Error, Guarantee, Scope, Verdict};

use crate::{
    backoff,
    settings::{InDoubt, Policy},
};

/// What is known about a request when an attempt at it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts so far that failed of themselves, this one not counted.
    pub attempts: u32,
    /// Looks in a row that could not tell yet.
    pub looks: u32,
    /// An earlier attempt may have happened, and nothing has shown yet whether it did.
    pub doubtful: bool,
    /// It is an attempt of this worker that may have happened, not only a delivery by the bus of
    /// which nobody here knows what became.
    pub attempted: bool,
    /// How long until what the mailbox shows settles that doubt.
    pub settles_in: Duration,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is done: publish the outcome, settle.
    Complete,
    /// Let the bus bring it again. `charged`: the attempt counts. `doubt`: it may have happened.
    Again {
        /// When, at the earliest.
        after: Duration,
        /// Whether this counts as an attempt.
        charged: bool,
        /// Whether the mail may have been sent.
        doubt: bool,
    },
    /// The doubt is resolved: nothing has happened yet. Try now.
    Fresh,
    /// It was not sent and will not be: dead letter, outcome `rejected`.
    Reject,
    /// It may have been sent, and nobody can know: dead letter, outcome `unknown`.
    GiveUp,
    /// Nothing is wrong with it: let the bus bring it again when the path is open.
    Wait {
        /// How far the path is blocked.
        scope: Scope,
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
}

/// Decides what follows an attempt. Pure and total.
pub fn decide(
    result: Result<&Completion, &Error>,
    tally: Tally,
    guarantee: Guarantee,
    policy: &Policy,
) -> Decision {
    let last = tally.attempts + 1 >= policy.attempts_max;
    let backoff = || backoff::pause(tally.attempts + 1, policy.backoff_min, policy.backoff_max);
    let ended = if tally.doubtful { Decision::GiveUp } else { Decision::Reject };
    let verdict = match result {
        Ok(Completion::Sent { .. } | Completion::Done) => return Decision::Complete,
        Ok(Completion::Absent) => return Decision::Fresh,
        Ok(Completion::Unsettled) => return look_again(tally),
        Err(error) => error.verdict(),
    };
    match verdict {
        Verdict::Permanent => ended,
        Verdict::Transient { .. } if last => ended,
        Verdict::Transient { after } => Decision::Again {
            after: after.unwrap_or_default().max(backoff()),
            charged: true,
            doubt: false,
        },
        Verdict::InDoubt if last => Decision::GiveUp,
        Verdict::InDoubt => match (guarantee, policy.in_doubt) {
            (Guarantee::Once, _) => {
                Decision::Again { after: LOOK_SOON, charged: true, doubt: true }
            }
            (Guarantee::AtLeastOnce, InDoubt::Retry) => {
                Decision::Again { after: backoff(), charged: true, doubt: true }
            }
            (Guarantee::AtLeastOnce, InDoubt::DeadLetter) => Decision::GiveUp,
        },
        Verdict::Blocked { scope, after } => Decision::Wait { scope, after },
    }
}

/// Whether an attempt may be made at all while an earlier one may have happened. `once` looks
/// first; `at_least_once` sends again, unless the policy says that it must not.
///
/// That the bus has handed it out before is not enough to give a request up: most of those
/// deliveries were never begun (dropped unread, given back by a worker that stopped), and nobody
/// could tell the few that were.
pub fn may_try(tally: Tally, guarantee: Guarantee, policy: &Policy) -> bool {
    !tally.attempted || guarantee == Guarantee::Once || policy.in_doubt == InDoubt::Retry
}

/// Looking costs a request of the mailbox's budget and usually answers at once: the first looks are
/// soon, each further away, then the rest of the settle time is waited for in one piece.
fn look_again(tally: Tally) -> Decision {
    let after = match tally.looks {
        0..3 => look_pause(tally.looks).min(tally.settles_in),
        _ => tally.settles_in,
    };
    Decision::Again { after: after.max(LOOK_MIN), charged: false, doubt: false }
}

const LOOK_MIN: Duration = Duration::from_millis(500);
/// When to look after an attempt that may have happened.
const LOOK_SOON: Duration = Duration::from_secs(1);

fn look_pause(looks: u32) -> Duration {
    backoff::pause(looks * 2 + 1, Duration::from_secs(1), Duration::from_mins(1))
}

#[cfg(test)]
mod tests {
    use mailbridge_core::Code;

    use super::*;

    const ONCE: Guarantee = Guarantee::Once;

    fn of(verdict: Verdict, tally: Tally) -> Decision {
        let error = Error::new(Code::GraphUnavailable, verdict, "test");
        decide(Err(&error), tally, ONCE, &Policy::default())
    }

    fn tally(attempts: u32, doubtful: bool) -> Tally {
        Tally { attempts, doubtful, ..Tally::default() }
    }

    #[test]
    fn a_blocked_path_never_ends_a_request_and_charges_nothing() {
        for scope in [Scope::Mailbox, Scope::Connection] {
            for attempts in [0, 19, 1000] {
                let decision = of(Verdict::Blocked { scope, after: None }, tally(attempts, true));
                assert_eq!(decision, Decision::Wait { scope, after: None });
            }
        }
    }

    #[test]
    fn a_failure_with_an_open_doubt_ends_as_unknown_and_without_one_as_rejected() {
        let transient = Verdict::Transient { after: None };
        for (verdict, attempts) in [(Verdict::Permanent, 0), (transient, 19)] {
            assert_eq!(of(verdict, tally(attempts, false)), Decision::Reject);
            assert_eq!(of(verdict, tally(attempts, true)), Decision::GiveUp);
        }
        assert_eq!(of(Verdict::InDoubt, tally(19, false)), Decision::GiveUp);
    }

    #[test]
    fn waits_at_least_as_long_as_was_asked() {
        let asked = Duration::from_secs(90);
        let decision = of(Verdict::Transient { after: Some(asked) }, tally(0, false));
        assert_eq!(decision, Decision::Again { after: asked, charged: true, doubt: false });
    }

    #[test]
    fn in_doubt_looks_soon_with_once_and_follows_the_policy_without() {
        let Decision::Again { after, charged: true, doubt: true } =
            of(Verdict::InDoubt, tally(3, false))
        else {
            panic!("looks again")
        };
        assert!(after <= Duration::from_secs(1));
        let error = Error::in_doubt(Code::GraphTimeout, "test");
        let policy = Policy { in_doubt: InDoubt::DeadLetter, ..Policy::default() };
        let decision = decide(Err(&error), tally(0, false), Guarantee::AtLeastOnce, &policy);
        assert_eq!(decision, Decision::GiveUp);
    }

    #[test]
    fn only_an_attempt_that_is_remembered_forbids_another() {
        let policy = Policy { in_doubt: InDoubt::DeadLetter, ..Policy::default() };
        let hint = tally(0, true);
        let attempted = Tally { attempted: true, ..hint };
        assert!(!may_try(attempted, Guarantee::AtLeastOnce, &policy));
        assert!(may_try(hint, Guarantee::AtLeastOnce, &policy));
        assert!(may_try(attempted, Guarantee::AtLeastOnce, &Policy::default()));
        assert!(may_try(attempted, ONCE, &policy));
    }

    #[test]
    fn looking_charges_nothing_however_often() {
        let settles_in = Duration::from_secs(9);
        let tally = Tally { looks: 50, settles_in, ..tally(19, true) };
        let decision = decide(Ok(&Completion::Unsettled), tally, ONCE, &Policy::default());
        let expected = Decision::Again { after: settles_in, charged: false, doubt: false };
        assert_eq!(decision, expected, "in one piece");
    }
}
