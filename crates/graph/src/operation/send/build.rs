//! Making a draft: in one request, or in several.
//!
//! A draft that is made in several requests is first marked as *half made*, which is another mark
//! than the one that it gets when it is whole. Nobody ever sends one that is half made, so whoever
//! finds it later may delete it, and a look for the request's mark does not meet it.

use mailbridge_core::{
    Attempt, Code, Error, Result, Verdict,
    contract::{Answer, AnswerKind, Mark},
};

use super::{
    attach,
    draft::Draft,
    parcel::{Letter, Parcel},
    persist::persist,
};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, answer, edit},
    wire::{self, answer::Original, message::Tags},
};

/// The mark of a draft that is half made.
pub(super) fn half_made(mark: &Mark) -> String {
    format!("{mark}.half")
}

/// Makes a whole draft with its mark. What is left behind by a failure is deleted, or left to the
/// sweep.
pub(super) async fn build<'a>(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    mut parcel: Parcel<'a>,
) -> Result<Draft> {
    let built = match parcel.letter {
        Letter::Answer(answer) => begin_answer(graph, session, attempt, &parcel, answer).await,
        _ => match begin(graph, session, attempt, &parcel).await {
            Err(error) if is_size(&error) && parcel.can_be_taken_apart() => {
                parcel.take_apart()?;
                begin(graph, session, attempt, &parcel).await
            }
            other => other,
        },
    };
    let draft = built?;
    if parcel.apart().is_empty() {
        return Ok(draft);
    }
    match complete(session, attempt, &draft, &parcel).await {
        Ok(whole) => Ok(whole),
        Err(error) => {
            draft.discard(graph, session, attempt).await;
            Err(error)
        }
    }
}

/// Whether a request was refused for its size, there or here.
pub(super) fn is_size(error: &Error) -> bool {
    [Code::GraphTooLarge, Code::RequestTooLarge].contains(&error.code())
}

/// Makes the draft of a new mail, without the files that go one by one.
async fn begin<'a>(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    parcel: &Parcel<'a>,
) -> Result<Draft> {
    let mark = first_mark(attempt, parcel);
    if !parcel.apart().is_empty() {
        session.room_for(parcel.apart().iter().map(|part| part.bytes).sum())?;
    }
    let (body, marked) = parcel.draft(attempt, &mark).await?;
    let draft = create(graph, session, attempt, Operation::CreateDraft, "/messages", body).await?;
    let draft = Draft::read(&draft)?;
    if marked {
        return Ok(draft);
    }
    let properties = wire::message::mark_draft(tags(attempt, &mark), parcel.letter.composed())?;
    update(graph, session, attempt, draft, properties).await
}

/// Makes the draft of an answer: Graph's own, with what the request says in its place
/// (learn.microsoft.com, message-createreply).
async fn begin_answer<'a>(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    parcel: &Parcel<'a>,
    answer_to: &Answer,
) -> Result<Draft> {
    session.room_for(parcel.apart().iter().map(|part| part.bytes).sum())?;
    let (operation, tail) = match answer_to.kind {
        AnswerKind::Reply => (Operation::CreateReply, "/createReply"),
        AnswerKind::ReplyAll => (Operation::CreateReplyAll, "/createReplyAll"),
        AnswerKind::Forward => (Operation::CreateForward, "/createForward"),
    };
    let path = edit::path(&answer_to.message, tail)?;
    let body = Body::Json(wire::answer::create(answer_to)?.into());
    let made = create(graph, session, attempt, operation, &path, body).await?;
    let draft = Draft::read(&made)?;
    let original: Original = answer(&made, "graph's answer to a new answer cannot be read")?;
    let mark = first_mark(attempt, parcel);
    let change = wire::answer::update(answer_to, &original, tags(attempt, &mark))?;
    update(graph, session, attempt, draft, change).await
}

/// What a draft carries with it.
pub(super) fn tags<'a>(attempt: &Attempt<'a>, mark: &'a str) -> Tags<'a> {
    Tags { mark: Some(mark), origin: attempt.origin }
}

fn first_mark<'a>(attempt: &Attempt<'a>, parcel: &Parcel<'a>) -> String {
    if parcel.apart().is_empty() { attempt.mark.to_string() } else { half_made(attempt.mark) }
}

/// Makes a draft. When nobody knows whether it was made, it may be there, and the sweep is to look.
async fn create(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    operation: Operation,
    path: &str,
    body: Body,
) -> Result<bytes::Bytes> {
    let made = session.call(operation, path, body).await;
    if let Err(error) = &made
        && matches!(error.verdict(), Verdict::Transient { .. })
        && error.code() != Code::GraphUnreachable
    {
        graph.sweeps.suspect(attempt.mailbox, attempt.mark);
    }
    made
}

/// Changes a draft that carries no mark yet. Without one nobody would ever find it again.
async fn update(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    draft: Draft,
    change: Vec<u8>,
) -> Result<Draft> {
    let path = draft.path("")?;
    match persist(session, Operation::UpdateDraft, &path, Body::Json(change.into())).await {
        Ok(updated) => Ok(renewed(draft, &updated)),
        Err(error) => {
            draft.discard(graph, session, attempt).await;
            Err(error)
        }
    }
}

/// Adds the files, then says that the draft is whole.
async fn complete<'a>(
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    draft: &Draft,
    parcel: &Parcel<'a>,
) -> Result<Draft> {
    attach::attach(session, draft, parcel.apart()).await?;
    let properties = wire::message::mark_draft(tags(attempt, attempt.mark.as_str()), None)?;
    let body = Body::Json(properties.into());
    let sealed = persist(session, Operation::UpdateDraft, &draft.path("")?, body).await?;
    let whole = renewed(draft.clone(), &sealed);
    if whole.parent_folder_id != draft.parent_folder_id {
        // somebody has put it away meanwhile: a person, or another attempt that took it for a dead
        // one's
        let detail = "a draft was moved while files were added to it";
        return Err(Error::transient(Code::GraphDraftGone, detail));
    }
    Ok(whole)
}

/// The draft as the answer to a change has it; as it was, where the answer does not say.
fn renewed(draft: Draft, answer: &[u8]) -> Draft {
    let Ok(now) = Draft::read(answer) else { return draft };
    Draft {
        id: now.id,
        internet_message_id: now.internet_message_id.or(draft.internet_message_id),
        change_key: now.change_key,
        parent_folder_id: now.parent_folder_id.or(draft.parent_folder_id),
    }
}
