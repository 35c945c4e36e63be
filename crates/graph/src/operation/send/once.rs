//! `guarantee: once`: a draft with the request's mark, then the draft's sending.
//!
//! Why this never sends twice: a draft is no mail, so making one may be repeated; a draft can be
//! sent once only, since sending takes it away; and in doubt nothing is made at all: either the
//! mailbox, having had time to show it, shows a sent mail or a draft of that mark, or the doubt is
//! over.
//!
//! What nobody can close: a person who changes a draft between an attempt that broke off and the
//! next, in another worker, has changed the mail. And an attempt of a worker that the bus has given
//! up, but that still reaches Graph, may send its draft in the very moment in which another worker
//! looks; the look then sees a draft or nothing, and the mail may go twice.
//!
//! The id of a draft is not trusted beyond its sending: Microsoft's pages contradict each other on
//! whether it stays (outlook-immutable-id, mail-api-overview).

use mailbridge_core::{Attempt, Code, Completion, Doubt, Error, Result};

use super::{
    build::build,
    leftover::{self, Leftover},
    look,
    parcel::{Letter, Parcel},
    sweep,
};
use crate::{graph::Graph, operation::Session};

pub(super) async fn perform<'a>(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    letter: Letter<'a>,
) -> Result<Completion> {
    if !letter.save_to_sent_items() {
        let detail = "a draft that is sent always leaves its copy in Sent Items";
        return Err(Error::permanent(Code::RequestNeedsAtLeastOnce, detail)
            .with("field", "save_to_sent_items"));
    }
    let doubt = if graph.options.look_first { attempt.doubt } else { Doubt::None };
    let leftover = leftover::take(graph, session, attempt, doubt).await?;
    let draft = match (doubt, leftover) {
        (_, Leftover::Sent(completion)) => return Ok(completion),
        (_, Leftover::AsItWas(draft)) => draft,
        (Doubt::None, Leftover::None) => {
            let parcel = Parcel::pack(letter, attempt).await?;
            build(graph, session, attempt, parcel).await?
        }
        (Doubt::Young | Doubt::Old, Leftover::None) => {
            graph.sweeps.suspect(attempt.mailbox, attempt.mark);
            if doubt == Doubt::Old && letter.may_go_in_pieces() {
                // before the look: a draft that becomes whole after this is one that the look sees
                sweep::half_made(session, attempt.mark).await?;
            }
            match look::look(session, attempt.mark.as_str()).await?.decisive() {
                look::Found::Sent(sent) => {
                    let internet_message_id = sent.internet_message_id;
                    return Ok(Completion::Sent { internet_message_id, found: true });
                }
                // a draft may be on its way out, and an empty mailbox may not show it yet
                _ if doubt == Doubt::Young => return Ok(Completion::Unsettled),
                look::Found::Draft(draft) => draft,
                look::Found::Nothing => return Ok(Completion::Absent),
            }
        }
    };
    draft.send(graph, session, attempt).await
}
