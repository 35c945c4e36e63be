//! Sending a mail, new or as an answer, with either guarantee.
//!
//! - [`once`]: a draft that carries the request's mark, then the draft's sending, and a [`look`] in
//!   the mailbox before anything else when an earlier attempt is in doubt.
//! - [`at_least_once`]: one request that leaves nothing to look for, where the mail fits into one.
//!
//! What size a mail has decides how it goes ([`parcel`]): whole, or as a draft ([`build`]) that its
//! files are added to ([`attach`], [`upload`]). What attempts leave behind is removed by [`sweep`].

mod at_least_once;
mod attach;
mod build;
pub(crate) mod draft;
mod leftover;
mod look;
mod once;
mod parcel;
mod part;
mod persist;
mod sweep;
mod upload;

use mailbridge_core::{
    Attempt, Completion, Guarantee, Result, Verdict,
    contract::{Answer, OutgoingMail},
};
use tokio::time::Instant;

use super::Session;
use crate::graph::Graph;
pub(crate) use leftover::Leftovers;
use parcel::Letter;
pub(crate) use sweep::{Sweeps, sweep};

/// Sends a new mail.
pub(crate) async fn perform<'a>(
    graph: &Graph,
    attempt: &Attempt<'a>,
    mail: &'a OutgoingMail,
) -> Result<Completion> {
    send(graph, attempt, Letter::from(mail)).await
}

/// Answers a mail, or hands it on.
pub(crate) async fn answer<'a>(
    graph: &Graph,
    attempt: &Attempt<'a>,
    answer: &'a Answer,
) -> Result<Completion> {
    send(graph, attempt, Letter::Answer(answer)).await
}

async fn send<'a>(graph: &Graph, attempt: &Attempt<'a>, letter: Letter<'a>) -> Result<Completion> {
    let session = Session::open(graph, attempt.mailbox, attempt.deadline).await?;
    let result = match attempt.guarantee {
        Guarantee::Once => once::perform(graph, &session, attempt, letter).await,
        Guarantee::AtLeastOnce => at_least_once::perform(graph, &session, attempt, letter).await,
    };
    let ended = match &result {
        Ok(completion) => matches!(completion, Completion::Sent { .. }),
        Err(error) => error.verdict() == Verdict::Permanent,
    };
    if ended {
        let due = Instant::now() + graph.options.sweep_after;
        graph.sweeps.concluded(attempt.mailbox, attempt.mark, due);
    }
    result
}
