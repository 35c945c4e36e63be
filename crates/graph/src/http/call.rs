//! What a request to Graph is: an operation, where, with what body, until when.

use bytes::Bytes;
use reqwest::Method;
use tokio::time::Instant;

use crate::{classify::Effect, token::Permission};

/// The requests that are made to Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `POST /users/{id}/sendMail`
    SendMail,
    /// `POST /users/{id}/messages`
    CreateDraft,
    /// `PATCH /users/{id}/messages/{id}`
    UpdateDraft,
    /// `DELETE /users/{id}/messages/{id}`
    DeleteDraft,
    /// `POST /users/{id}/messages/{id}/send`
    SendDraft,
    /// `GET /users/{id}/messages?$filter=…`
    FindMessages,
    /// `GET /users/{id}/messages/{id}`, of a draft
    ReadDraft,
    /// `POST /users/{id}/messages/{id}/createReply`
    CreateReply,
    /// `POST /users/{id}/messages/{id}/createReplyAll`
    CreateReplyAll,
    /// `POST /users/{id}/messages/{id}/createForward`
    CreateForward,
    /// `POST /users/{id}/messages/{id}/attachments`
    AddAttachment,
    /// `POST /users/{id}/messages/{id}/attachments/createUploadSession`
    CreateUploadSession,
    /// `PUT {uploadUrl}`
    UploadChunk,
    /// `GET {uploadUrl}`
    ReadUploadSession,
    /// `DELETE {uploadUrl}`
    CancelUploadSession,
    /// `GET /users/{id}/messages/{id}`, of a message that a request names
    ReadMessage,
    /// `PATCH /users/{id}/messages/{id}`, of a message that a request names
    UpdateMessage,
    /// `POST /users/{id}/messages/{id}/move`
    MoveMessage,
    /// `DELETE /users/{id}/messages/{id}`, of a message that a request names
    DeleteMessage,
    /// `GET /users/{id}/mailFolders/inbox/messages?$filter=…`
    FindReports,
    /// `GET /users/{id}/messages/{id}/$value`, of a report
    ReadReport,
    /// `PATCH /users/{id}/messages/{id}`, of a report
    NoteReport,
}

impl Operation {
    pub(crate) const ALL: [Self; 22] = [
        Self::SendMail,
        Self::CreateDraft,
        Self::UpdateDraft,
        Self::DeleteDraft,
        Self::SendDraft,
        Self::FindMessages,
        Self::ReadDraft,
        Self::CreateReply,
        Self::CreateReplyAll,
        Self::CreateForward,
        Self::AddAttachment,
        Self::CreateUploadSession,
        Self::UploadChunk,
        Self::ReadUploadSession,
        Self::CancelUploadSession,
        Self::ReadMessage,
        Self::UpdateMessage,
        Self::MoveMessage,
        Self::DeleteMessage,
        Self::FindReports,
        Self::ReadReport,
        Self::NoteReport,
    ];

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    pub(super) fn method(self) -> Method {
        self.row().1
    }

    /// The status of its success, as documented.
    pub(super) fn success(self) -> u16 {
        self.row().2
    }

    /// What it could do.
    pub(super) fn effect(self) -> Effect {
        self.row().3
    }

    /// Name, method, status of success, effect.
    fn row(self) -> (&'static str, Method, u16, Effect) {
        const GET: Method = Method::GET;
        const POST: Method = Method::POST;
        const PATCH: Method = Method::PATCH;
        const DELETE: Method = Method::DELETE;
        match self {
            Self::SendMail => ("send_mail", POST, 202, Effect::Send),
            Self::CreateDraft => ("create_draft", POST, 201, Effect::Draft),
            Self::UpdateDraft => ("update_draft", PATCH, 200, Effect::Draft),
            Self::DeleteDraft => ("delete_draft", DELETE, 204, Effect::Draft),
            Self::SendDraft => ("send_draft", POST, 202, Effect::SendDraft),
            Self::FindMessages => ("find_messages", GET, 200, Effect::None),
            Self::ReadDraft => ("read_draft", GET, 200, Effect::None),
            Self::CreateReply => ("create_reply", POST, 201, Effect::Message),
            Self::CreateReplyAll => ("create_reply_all", POST, 201, Effect::Message),
            Self::CreateForward => ("create_forward", POST, 201, Effect::Message),
            Self::AddAttachment => ("add_attachment", POST, 201, Effect::Draft),
            Self::CreateUploadSession => ("create_upload_session", POST, 201, Effect::Draft),
            Self::UploadChunk => ("upload_chunk", Method::PUT, 200, Effect::Draft),
            Self::ReadUploadSession => ("read_upload_session", GET, 200, Effect::Draft),
            Self::CancelUploadSession => ("cancel_upload_session", DELETE, 204, Effect::Draft),
            Self::ReadMessage => ("read_message", GET, 200, Effect::Message),
            Self::UpdateMessage => ("update_message", PATCH, 200, Effect::Message),
            Self::MoveMessage => ("move_message", POST, 201, Effect::Message),
            Self::DeleteMessage => ("delete_message", DELETE, 204, Effect::Message),
            Self::FindReports => ("find_reports", GET, 200, Effect::None),
            Self::ReadReport => ("read_report", GET, 200, Effect::Message),
            Self::NoteReport => ("note_report", PATCH, 200, Effect::Message),
        }
    }

    /// The application permission it needs (the method's page at learn.microsoft.com).
    pub(super) const fn permission(self) -> Permission {
        match self {
            Self::SendMail | Self::SendDraft => Permission::MailSend,
            _ => Permission::MailReadWrite,
        }
    }
}

/// A request's body.
#[derive(Clone)]
pub(crate) enum Body {
    /// None.
    Empty,
    /// JSON.
    Json(Bytes),
    /// A MIME message in base64.
    Mime(Bytes),
}

impl Body {
    pub(super) fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json(_) => Some("application/json"),
            Self::Mime(_) => Some("text/plain"),
        }
    }

    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Json(bytes) | Self::Mime(bytes) => bytes.clone(),
        }
    }
}

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// The whole URL, under the connection's Graph host.
    pub(crate) url: &'a str,
    pub(crate) body: Body,
    pub(crate) deadline: Instant,
}
