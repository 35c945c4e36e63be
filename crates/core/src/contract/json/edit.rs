//! `mark_read`, `move`, `categorize` and `delete`: what is done to a mail that is there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{conflict, time};
use crate::{
    Mailbox, Result,
    contract::{Categories, MessageId, Operation, Request},
};

/// Declares a form with what all of them have, and how to make a request of it.
macro_rules! form {
    (
        $(#[$about:meta])*
        $form:ident $tag:ident $variant:ident { $($(#[$of_field:meta])* $field:ident: $kind:ty,)* }
    ) => {
        $(#[$about])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $form {
            /// What to do.
            #[serde(rename = "operation")]
            _operation: $tag,
            /// The producer's own id, 1 to 512 characters.
            #[serde(default)]
            id: Option<String>,
            /// The mailbox that holds the message; the pipeline's when absent.
            #[serde(default)]
            mailbox: Option<Mailbox>,
            /// Do not do it after this time (RFC 3339).
            #[serde(default, deserialize_with = "time")]
            not_after: Option<Timestamp>,
            /// The mail: the immutable id that its event told.
            message: MessageId,
            $($(#[$of_field])* $field: $kind,)*
        }

        /// The only `operation` of its form.
        #[derive(Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        enum $tag {
            $variant,
        }
    };
}

form! {
    /// A request to set a mail's read state, as JSON.
    MarkReadRequest MarkReadTag MarkRead {
        /// Read, or unread; read when absent.
        #[serde(default)]
        is_read: Option<bool>,
    }
}

form! {
    /// A request to move a mail, as JSON.
    MoveRequest MoveTag Move {
        /// The folder: a well-known name such as `archive`, `deleteditems` or `junkemail`, or a
        /// folder's id.
        folder: String,
    }
}

form! {
    /// A request to change a mail's categories, as JSON. Give `set`, or one or both of the others.
    CategorizeRequest CategorizeTag Categorize {
        /// Exactly these categories.
        #[serde(default)]
        set: Option<Vec<String>>,
        /// Categories to add; the others stay.
        #[serde(default)]
        add: Vec<String>,
        /// Categories to take away; the others stay.
        #[serde(default)]
        remove: Vec<String>,
    }
}

form! {
    /// A request to delete a mail, as JSON.
    DeleteRequest DeleteTag Delete {}
}

impl MarkReadRequest {
    pub(super) fn into_request(self) -> Request {
        let Self { id, mailbox, not_after, message, .. } = self;
        let operation = Operation::MarkRead { message, is_read: self.is_read.unwrap_or(true) };
        Request { id, mailbox, not_after, operation }
    }
}

impl MoveRequest {
    pub(super) fn into_request(self) -> Request {
        let Self { id, mailbox, not_after, message, folder, .. } = self;
        Request { id, mailbox, not_after, operation: Operation::Move { message, folder } }
    }
}

impl CategorizeRequest {
    pub(super) fn into_request(self) -> Result<Request> {
        let Self { id, mailbox, not_after, message, set, add, remove, .. } = self;
        let categories = match set {
            Some(set) if add.is_empty() && remove.is_empty() => Categories::Set(set),
            None if !add.is_empty() || !remove.is_empty() => Categories::Change { add, remove },
            _ => return Err(conflict("give `set`, or `add` and `remove` or one of them")),
        };
        let operation = Operation::Categorize { message, categories };
        Ok(Request { id, mailbox, not_after, operation })
    }
}

impl DeleteRequest {
    pub(super) fn into_request(self) -> Request {
        let Self { id, mailbox, not_after, message, .. } = self;
        Request { id, mailbox, not_after, operation: Operation::Delete { message } }
    }
}
