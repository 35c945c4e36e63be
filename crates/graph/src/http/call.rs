//! What a request to Graph is: an operation, where, with what body and wishes, until when.

use bytes::Bytes;
use reqwest::{Method, header::HeaderValue};
use tokio::time::Instant;

use super::answer::Take;
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
    /// `GET /users/{id}/mailFolders/{id}/messages/delta`
    ReadFolder,
    /// The link that an earlier answer to it gave
    ReadChanges,
    /// `GET /users/{id}/mailFolders…`, also `…/delta`
    ListFolders,
    /// The link that an earlier answer of `…/mailFolders/delta` gave
    ReadFolderChanges,
    /// `GET /users/{id}/messages/{id}`, of a message of an event
    ShowMessage,
    /// `GET /users/{id}/messages/{id}/attachments`
    ListAttachments,
    /// `GET /users/{id}/messages/{id}/$value` and `…/attachments/{id}/$value`
    ReadContent,
    /// `GET /users?$filter=…`
    FindUsers,
    /// `GET /groups/{id}/transitiveMembers/microsoft.graph.user`
    ListMembers,
    /// `POST /subscriptions`
    Subscribe,
    /// `PATCH /subscriptions/{id}`
    RenewSubscription,
    /// `DELETE /subscriptions/{id}`
    Unsubscribe,
    /// `GET /subscriptions`
    ListSubscriptions,
}

/// An answer with whole messages may be longer than others: there are many in a page, and texts may
/// be long. A page that is longer than this is asked for again, smaller.
const MESSAGES_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Operation {
    pub(crate) const ALL: [Self; 35] = [
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
        Self::ReadFolder,
        Self::ReadChanges,
        Self::ListFolders,
        Self::ReadFolderChanges,
        Self::ShowMessage,
        Self::ListAttachments,
        Self::ReadContent,
        Self::FindUsers,
        Self::ListMembers,
        Self::Subscribe,
        Self::RenewSubscription,
        Self::Unsubscribe,
        Self::ListSubscriptions,
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
            Self::ReadFolder => ("read_folder", GET, 200, Effect::Folder),
            Self::ReadChanges => ("read_changes", GET, 200, Effect::Cursor),
            Self::ListFolders => ("list_folders", GET, 200, Effect::Folder),
            Self::ReadFolderChanges => ("read_folder_changes", GET, 200, Effect::Cursor),
            Self::ShowMessage => ("show_message", GET, 200, Effect::Content),
            Self::ListAttachments => ("list_attachments", GET, 200, Effect::Content),
            Self::ReadContent => ("read_content", GET, 200, Effect::Content),
            Self::FindUsers => ("find_users", GET, 200, Effect::Directory),
            Self::ListMembers => ("list_members", GET, 200, Effect::Directory),
            Self::Subscribe => ("subscribe", POST, 201, Effect::Subscription),
            Self::RenewSubscription => ("renew_subscription", PATCH, 200, Effect::Subscription),
            Self::Unsubscribe => ("unsubscribe", DELETE, 204, Effect::Subscription),
            Self::ListSubscriptions => ("list_subscriptions", GET, 200, Effect::Subscription),
        }
    }

    /// The application permission it needs (the method's page at learn.microsoft.com), if it is one
    /// for mail.
    pub(super) fn permission(self) -> Option<Permission> {
        match (self, self.effect()) {
            (Self::SendMail | Self::SendDraft, _) => Some(Permission::Send),
            (_, Effect::Directory) => None,
            (_, Effect::Folder | Effect::Cursor | Effect::Content | Effect::Subscription) => {
                Some(Permission::Read)
            }
            _ => Some(Permission::ReadWrite),
        }
    }

    /// Whether it only reads, so that an answer without its body is none.
    pub(super) fn is_read(self) -> bool {
        self.method() == Method::GET
    }

    /// How its answer is read.
    pub(super) fn take(self) -> Take {
        match self {
            Self::ReadContent => Take { pieces: true, ..Take::ORDINARY },
            Self::ReadFolder | Self::ReadChanges | Self::ShowMessage => {
                Take { bytes_max: MESSAGES_BYTES_MAX, ..Take::ORDINARY }
            }
            _ => Take::ORDINARY,
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

/// What is preferred of an answer; links of earlier answers do not remember it
/// (learn.microsoft.com, delta-query-messages).
#[derive(Clone, Copy, Default)]
pub(crate) struct Prefer {
    /// So many messages in a page, or fewer.
    pub(crate) page_size: Option<u32>,
    /// Bodies as `text`, or as `html`.
    pub(crate) body: Option<&'static str>,
}

impl Prefer {
    /// The header's value. Ids are always those that stay when a message is moved
    /// (learn.microsoft.com, outlook-immutable-id).
    pub(super) fn header(self) -> HeaderValue {
        const IMMUTABLE_IDS: &str = r#"IdType="ImmutableId""#;
        const PLAIN: HeaderValue = HeaderValue::from_static(IMMUTABLE_IDS);
        if self.page_size.is_none() && self.body.is_none() {
            return PLAIN;
        }
        let size = self.page_size.map(|size| format!(", odata.maxpagesize={size}"));
        let body = self.body.map(|body| format!(", outlook.body-content-type=\"{body}\""));
        let (size, body) = (size.unwrap_or_default(), body.unwrap_or_default());
        HeaderValue::from_str(&format!("{IMMUTABLE_IDS}{size}{body}")).unwrap_or(PLAIN)
    }
}

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// The whole URL, under the connection's Graph host.
    pub(crate) url: &'a str,
    pub(crate) body: Body,
    pub(crate) prefer: Prefer,
    pub(crate) deadline: Instant,
}
