//! `POST users/{id}/sendMail`, JSON and MIME (learn.microsoft.com/graph/api/user-sendmail).

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{Call, json_object, mime_message};
use crate::answer::Answer;
use crate::error::GraphError;
use crate::mailbox::Mailbox;
use crate::message::{Incoming, parse};
use crate::truth::Via;

/// 202 without a body: accepted, not yet processed, and no id.
pub fn send_mail(call: &Call<'_>, mailbox: &Mailbox, body: &[u8]) -> Result<Answer, GraphError> {
    let (mut incoming, save) = match mime_message(call, body) {
        Some(incoming) => (incoming?, true),
        None => parameters(call, json_object(call, body)?)?,
    };
    call.complete(mailbox, &mut incoming)?;
    call.send_new(mailbox, incoming, save, Via::SendMail)
}

/// `Message` and `SaveToSentItems`: their names have no case, and the flag may be a string, as it
/// is in the sample of the documentation.
fn parameters(call: &Call<'_>, object: Map<String, Value>) -> Result<(Incoming, bool), GraphError> {
    let mut message = None;
    let mut save = true;
    for (name, value) in object {
        match name.to_ascii_lowercase().as_str() {
            "message" => message = Some(value),
            "savetosentitems" => save = flag(&value)?,
            _ if name.contains('@') => {}
            _ => {
                return Err(GraphError::body_read(format!(
                    "The parameter '{name}' in the request payload is not a valid parameter for \
                     the operation 'sendMail'."
                )));
            }
        }
    }
    match message {
        Some(Value::Object(message)) => Ok((parse::message(message, call.now)?, save)),
        Some(Value::Null) | None => Err(GraphError::new(
            StatusCode::BAD_REQUEST,
            "ErrorInvalidParameter",
            "The value of the parameter 'Message' is empty.",
        )),
        Some(_) => Err(GraphError::body_read(
            "An unexpected 'PrimitiveValue' node was found when reading from the JSON reader. A \
             'StartObject' node was expected.",
        )),
    }
}

fn flag(value: &Value) -> Result<bool, GraphError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::Null => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(GraphError::body_read(
            "Cannot convert a primitive value to the expected type 'Edm.Boolean'. See the inner \
             exception for more details.",
        )),
    }
}
