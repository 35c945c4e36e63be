//! What would become of a message in a pipeline, up to the point where Graph would be asked. For
//! people who write templates: connects to nothing, opens no file that a request refers to.

use mailbridge_core::{
    Error, Message, Position,
    contract::{Key, decode},
};
use mailbridge_engine::{Admitted, admit};
use mailbridge_graph::{Preview, preview};
use serde_json::Value;

use crate::config::Pipeline;

/// What would become of a message.
pub enum Rehearsal {
    /// Nothing: `when` is false.
    Skipped,
    /// It would be carried out.
    Request(Box<Part>),
    /// It would be dead-lettered.
    Rejected {
        /// What it is known by.
        key: Key,
        /// Why.
        error: Error,
        /// Its request, if it came that far.
        request: Option<Value>,
    },
}

/// A request on the stage.
pub struct Part {
    /// What it is known by.
    pub key: Key,
    /// As its producer could have published it; nothing, if it is no JSON.
    pub request: Option<Value>,
    /// The request as it is understood, with its mailbox.
    pub admitted: Admitted,
    /// What Graph would be asked.
    pub preview: Preview,
    /// Who would get the mail in place of its recipients.
    pub redirected_to: Option<String>,
    /// Nothing would be sent: the pipeline rehearses.
    pub dry_run: bool,
}

/// Carries a message as far as it goes without anybody else.
pub fn rehearse(pipeline: &Pipeline, message: &Message) -> Rehearsal {
    let position = Position::new("rehearsal:1");
    let (settings, decoder) = (&pipeline.settings, pipeline.decoder());
    let admitted = admit(&pipeline.name, settings, decoder.as_ref(), message, &position);
    let Some((known, admitted)) = admitted else { return Rehearsal::Skipped };
    let request = request(pipeline, message, &position);
    let shown = admitted.and_then(|admitted| {
        let Admitted { request, mailbox } = &admitted;
        let preview = preview(request, mailbox, &known.mark, settings.guarantee)?;
        Ok((admitted, preview))
    });
    match shown {
        Ok((admitted, preview)) => {
            let redirected_to = settings.recipients.redirect_to.as_ref();
            let redirected_to = redirected_to.map(|to| to.address.clone());
            let (key, dry_run) = (known.key, settings.dry_run);
            let part = Part { key, request, admitted, preview, redirected_to, dry_run };
            Rehearsal::Request(Box::new(part))
        }
        Err(error) => Rehearsal::Rejected { key: known.key, error, request },
    }
}

/// The request's JSON, as far as there is any.
fn request(pipeline: &Pipeline, message: &Message, position: &Position) -> Option<Value> {
    let Some(composer) = &pipeline.compose else {
        let mut payload: Value = decode::read(&message.payload).ok()?;
        let event = payload.get("specversion").is_some();
        return if event { payload.get_mut("data").map(Value::take) } else { Some(payload) };
    };
    let carrier = composer.compose(message, position).ok()??;
    decode::read(&carrier.payload).ok()
}
