//! `guarantee: once`: a draft with the request's mark, then the draft's sending.
//!
//! Why this never sends twice: a draft is no mail, so making one may be repeated; a draft can be
//! sent once only, since sending takes it away; and in doubt nothing is made at all: either the
//! mailbox, having had time to show it, shows a sent mail or a draft of that mark, or the doubt is
//! over.
//!
//! The id of a draft is not trusted beyond its sending: Microsoft's pages contradict each other on
//! whether it stays (outlook-immutable-id, mail-api-overview).

use mailbridge_core::{
    Attempt, Code, Completion, Doubt, Error, Result, Verdict, contract::OutgoingMail,
};
use serde::Deserialize;

use super::{Form, look};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, segment},
    wire,
};

/// Sendings of one draft in one attempt, when the mailbox only has to wait a moment in between.
const SENDINGS_MAX: u32 = 3;

/// A draft of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Draft {
    pub(super) id: String,
    #[serde(default)]
    pub(super) internet_message_id: Option<String>,
}

pub(super) async fn perform(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    mail: &OutgoingMail,
) -> Result<Completion> {
    if !mail.save_to_sent_items() {
        let detail = "a draft that is sent always leaves its copy in Sent Items";
        return Err(Error::permanent(Code::RequestNeedsAtLeastOnce, detail)
            .with("field", "save_to_sent_items"));
    }
    let leftover = graph.leftovers.take(attempt.mailbox, attempt.mark);
    let doubt = if graph.options.look_first { attempt.doubt } else { Doubt::None };
    let draft = match (doubt, leftover) {
        (Doubt::None, Some(draft)) => draft,
        (Doubt::None, None) => create(session, attempt, mail).await?,
        (Doubt::Young | Doubt::Old, _) => match look::look(session, attempt.mark).await? {
            look::Found::Sent(sent) => {
                let internet_message_id = sent.internet_message_id;
                return Ok(Completion::Sent { internet_message_id, found: true });
            }
            // a draft may be on its way out, and an empty mailbox may not show it yet
            _ if doubt == Doubt::Young => return Ok(Completion::Unsettled),
            look::Found::Draft(draft) => draft,
            look::Found::Nothing => return Ok(Completion::Absent),
        },
    };
    send(graph, session, attempt, draft).await
}

/// Makes the draft, with its mark on it.
async fn create(
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    mail: &OutgoingMail,
) -> Result<Draft> {
    match Form::of(mail, attempt)? {
        Form::Json(mail) => {
            let body = wire::message::draft(mail, attempt.mark)?;
            create_from(session, Body::Json(body.into())).await
        }
        Form::Mime(body, categories) => {
            let draft = create_from(session, body).await?;
            let properties = wire::message::mark_draft(attempt.mark, categories)?;
            let body = Body::Json(properties.into());
            let patched = session.call(Operation::UpdateDraft, &path(&draft, "")?, body).await;
            if let Err(error) = patched {
                // without its mark nobody would ever find it again
                discard(session, &draft).await;
                return Err(error);
            }
            Ok(draft)
        }
    }
}

async fn create_from(session: &Session<'_>, body: Body) -> Result<Draft> {
    let answer = session.call(Operation::CreateDraft, "/messages", body).await?;
    serde_json::from_slice(&answer).map_err(|_| {
        Error::transient(Code::GraphUnexpected, "graph's answer to a new draft cannot be read")
    })
}

/// Sends the draft. What has been begun is finished if the mailbox only has to wait a moment; else
/// the draft is remembered for the next attempt, or thrown away if there will be none.
async fn send(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    draft: Draft,
) -> Result<Completion> {
    let path = path(&draft, "/send")?;
    let mut sendings = 1;
    let error = loop {
        match session.call(Operation::SendDraft, &path, Body::Empty).await {
            Ok(_) => {
                let internet_message_id = draft.internet_message_id;
                return Ok(Completion::Sent { internet_message_id, found: false });
            }
            // its gate is closed now: the next call waits for it, or says that it is too long a
            // wait
            Err(error) if error.code() == Code::GraphThrottled && sendings < SENDINGS_MAX => {
                sendings += 1;
            }
            Err(error) => break error,
        }
    };
    match error.verdict() {
        Verdict::InDoubt => {}
        Verdict::Transient { .. } | Verdict::Blocked { .. } => {
            graph.leftovers.keep(attempt.mailbox, attempt.mark, draft);
        }
        Verdict::Permanent => discard(session, &draft).await,
    }
    Err(error)
}

/// Deletes a draft that will never be sent, so that no user finds it. If that fails, it stays.
async fn discard(session: &Session<'_>, draft: &Draft) {
    let Ok(path) = path(draft, "") else { return };
    if let Err(error) = session.call(Operation::DeleteDraft, &path, Body::Empty).await {
        tracing::debug!(code = %error.code(), reason = %error, "a draft could not be deleted");
    }
}

fn path(draft: &Draft, tail: &str) -> Result<String> {
    let id = segment(&draft.id).ok_or_else(|| {
        Error::transient(Code::GraphUnexpected, "graph gave a draft an id that is none")
    })?;
    Ok(format!("/messages/{id}{tail}"))
}
