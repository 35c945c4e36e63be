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
}

impl Operation {
    pub(crate) const ALL: [Self; 6] = [
        Self::SendMail,
        Self::CreateDraft,
        Self::UpdateDraft,
        Self::DeleteDraft,
        Self::SendDraft,
        Self::FindMessages,
    ];

    /// Its name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SendMail => "send_mail",
            Self::CreateDraft => "create_draft",
            Self::UpdateDraft => "update_draft",
            Self::DeleteDraft => "delete_draft",
            Self::SendDraft => "send_draft",
            Self::FindMessages => "find_messages",
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::SendMail | Self::CreateDraft | Self::SendDraft => Method::POST,
            Self::UpdateDraft => Method::PATCH,
            Self::DeleteDraft => Method::DELETE,
            Self::FindMessages => Method::GET,
        }
    }

    /// The status of its success, as documented.
    pub(super) const fn success(self) -> u16 {
        match self {
            Self::SendMail | Self::SendDraft => 202,
            Self::CreateDraft => 201,
            Self::UpdateDraft | Self::FindMessages => 200,
            Self::DeleteDraft => 204,
        }
    }

    /// What it could do.
    pub(super) const fn effect(self) -> Effect {
        match self {
            Self::SendMail => Effect::Send,
            Self::SendDraft => Effect::SendDraft,
            Self::CreateDraft | Self::UpdateDraft | Self::DeleteDraft => Effect::Draft,
            Self::FindMessages => Effect::None,
        }
    }

    /// The application permission it needs (the method's page at learn.microsoft.com).
    pub(super) const fn permission(self) -> Permission {
        match self {
            Self::SendMail | Self::SendDraft => Permission::MailSend,
            Self::CreateDraft | Self::UpdateDraft | Self::DeleteDraft | Self::FindMessages => {
                Permission::MailReadWrite
            }
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
