//! What crosses the process boundary: requests in, outcomes, dead letters and events out.
//!
//! These types, and only these, are stable: their JSON Schemas are published
//! (`mailbridge schema …`), and snapshots of old payloads must go on decoding.

mod address;
mod attachment;
mod bounce;
mod check;
mod cloud_event;
mod dead_letter;
pub mod decode;
mod event;
mod json;
mod key;
mod outcome;
mod recipients;
mod replay;
mod request;

pub use address::Address;
pub use attachment::{Attachment, Content, Reference};
pub use bounce::{Bounce, Undelivered};
pub use cloud_event::CloudEvent;
pub use dead_letter::DeadLetter;
pub use decode::{Decoded, Undecodable};
pub use event::{
    AttachmentKind, Change, EventAttachment, FileContent, LeftOut, MailCloudEvent, MailContent,
    MailEvent, MailHeader,
};
pub use json::{
    AnswerRequest, AnyRequest, CategorizeRequest, DeleteRequest, MarkReadRequest, MoveRequest,
    SendRequest,
};
pub use key::{Key, Mark};
pub use outcome::{Outcome, OutcomeData, Status};
pub use replay::Replay;
pub use request::{
    Answer, AnswerKind, Body, Categories, Composed, Importance, MessageId, MimeMail, Operation,
    OutgoingMail, Request,
};
