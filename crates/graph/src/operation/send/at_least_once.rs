//! `guarantee: at_least_once`: one `sendMail` request (learn.microsoft.com, user-sendmail); for what
//! is too large for one or cannot be said in one, and for answers, a draft that is sent.
//!
//! The 202 of `sendMail` has no id and leaves no mark, so an attempt in doubt cannot be looked up:
//! whoever chose this guarantee has chosen that it is sent again. A draft is treated the same, so
//! that the guarantee does not depend on a mail's size.

use mailbridge_core::{Attempt, Code, Completion, Doubt, Error, Result};

use super::{
    build::{build, is_size},
    leftover::{self, Leftover},
    parcel::{Letter, Parcel},
};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::Session,
};

pub(super) async fn perform<'a>(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'a>,
    letter: Letter<'a>,
) -> Result<Completion> {
    let leftover = leftover::take(graph, session, attempt, Doubt::None).await?;
    let draft = match leftover {
        Leftover::Sent(completion) => return Ok(completion),
        Leftover::AsItWas(draft) => draft,
        Leftover::None => {
            let mut parcel = Parcel::pack(letter, attempt).await?;
            if !letter.needs_a_draft() && parcel.apart().is_empty() {
                let body = parcel.send_mail(attempt).await?;
                if matches!(body, Body::Mime(_)) && !letter.save_to_sent_items() {
                    return Err(always_saved("a mail that goes as MIME"));
                }
                match session.call(Operation::SendMail, "/sendMail", body).await {
                    Err(error) if is_size(&error) && parcel.can_be_taken_apart() => {
                        parcel.take_apart()?;
                    }
                    Err(error) => return Err(error),
                    Ok(_) => {
                        return Ok(Completion::Sent { internet_message_id: None, found: false });
                    }
                }
            }
            if !letter.save_to_sent_items() {
                return Err(always_saved("a mail that does not fit into one request"));
            }
            build(graph, session, attempt, parcel).await?
        }
    };
    draft.send(graph, session, attempt).await
}

fn always_saved(what: &str) -> Error {
    let detail = format!("{what} always leaves its copy in Sent Items");
    Error::permanent(Code::RequestConflict, detail).with("field", "save_to_sent_items")
}
