//! `guarantee: at_least_once`: one `sendMail` request (learn.microsoft.com, user-sendmail).
//!
//! Its 202 has no id and leaves no mark, so an attempt in doubt cannot be looked up: whoever chose
//! this guarantee has chosen that it is sent again. Nothing else is sent again here.

use mailbridge_core::{Attempt, Code, Completion, Error, Result, contract::OutgoingMail};

use super::Form;
use crate::{
    http::{Body, Operation},
    operation::Session,
    wire,
};

pub(super) async fn perform(
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    mail: &OutgoingMail,
) -> Result<Completion> {
    let body = match Form::of(mail, attempt)? {
        Form::Json(mail) => Body::Json(wire::message::send_mail(mail)?.into()),
        Form::Mime(..) if !mail.save_to_sent_items() => {
            let detail = "a mail that goes as MIME always leaves its copy in Sent Items";
            return Err(
                Error::permanent(Code::RequestConflict, detail).with("field", "save_to_sent_items")
            );
        }
        Form::Mime(body, _) => body,
    };
    session.call(Operation::SendMail, "/sendMail", body).await?;
    Ok(Completion::Sent { internet_message_id: None, found: false })
}
