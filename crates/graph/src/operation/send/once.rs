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
use serde::Deserialize;

use super::{build::build, draft::Draft, look, parcel::Letter, sweep};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, answer},
};

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
    let leftover = graph.leftovers.take(attempt.mailbox, attempt.mark);
    let draft = match (doubt, leftover) {
        (Doubt::None, Some(draft)) => match inspect(graph, session, attempt, draft).await? {
            Leftover::AsItWas(draft) => draft,
            Leftover::Sent(completion) => return Ok(completion),
            Leftover::Gone => build(graph, session, attempt, letter).await?,
        },
        (Doubt::None, None) => build(graph, session, attempt, letter).await?,
        (Doubt::Young | Doubt::Old, _) => {
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

enum Leftover {
    AsItWas(Draft),
    /// Somebody has sent it.
    Sent(Completion),
    /// It is not there any more, or it is not what it was.
    Gone,
}

/// Looks at a draft that was left, known unsent, a while ago: a person may have found it. One that
/// was changed is not what the request asks for; it is thrown away. One that was sent is sent.
async fn inspect(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    draft: Draft,
) -> Result<Leftover> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        is_draft: bool,
        change_key: Option<String>,
    }
    let path = draft.path("?$select=id,isDraft,changeKey")?;
    let body = match session.call(Operation::ReadDraft, &path, Body::Empty).await {
        Ok(body) => body,
        Err(error) if error.code() == Code::GraphDraftGone => {
            // deleted, or sent under another id: only a look can tell
            graph.sweeps.suspect(attempt.mailbox, attempt.mark);
            let detail = "a draft that was left for this attempt is gone";
            return Err(Error::in_doubt(Code::GraphDraftGone, detail));
        }
        Err(error) => {
            graph.leftovers.keep(attempt.mailbox, attempt.mark, draft);
            return Err(error);
        }
    };
    let item: Item = answer(&body, "graph's answer about a draft cannot be read")?;
    if !item.is_draft {
        let internet_message_id = draft.internet_message_id;
        return Ok(Leftover::Sent(Completion::Sent { internet_message_id, found: true }));
    }
    if item.change_key != draft.change_key {
        draft.discard(graph, session, attempt).await;
        return Ok(Leftover::Gone);
    }
    Ok(Leftover::AsItWas(draft))
}
