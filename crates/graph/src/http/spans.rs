//! What the span of a request to Graph says, by OpenTelemetry's semantic conventions for HTTP
//! clients. In place of the URL, which has mailboxes and ids in it, stands its template.

use mailbridge_core::trace::{Kind, Parent, SERVICE_REQUEST_ID, Scope};
use uuid::Uuid;

use super::{Operation, exchange::Outcome};

/// A request is about to be made.
pub(super) fn begin(operation: Operation) -> Scope {
    let (method, template) = (operation.method(), template(operation));
    let scope = Scope::new(Kind::Client, Parent::Current, || format!("{method} {template}").into());
    scope.note(|| {
        [
            ("http.request.method", method.to_string().into()),
            ("url.template", template.into()),
            ("mailbridge.operation", operation.name().into()),
        ]
    });
    scope
}

/// What came of it.
pub(super) fn end(scope: &Scope, outcome: &Outcome, id: Option<Uuid>) {
    if let Some(id) = id {
        scope.note(|| [("mailbridge.client_request_id", id.to_string().into())]);
    }
    let (status, request_id) = match outcome {
        Outcome::Answered(answer) => (answer.status, answer.request_id.clone()),
        Outcome::Opened(response) => (response.status().as_u16(), None),
        Outcome::NotSent | Outcome::TimedOut | Outcome::Cut => return,
    };
    scope.note(|| [("http.response.status_code", i64::from(status).into())]);
    if let Some(request_id) = request_id {
        scope.note(|| [(SERVICE_REQUEST_ID, request_id.into())]);
    }
}

/// Where a request goes, without who and what.
fn template(operation: Operation) -> &'static str {
    const MESSAGES: &str = "/users/{id}/messages";
    const MESSAGE: &str = "/users/{id}/messages/{id}";
    match operation {
        Operation::SendMail => "/users/{id}/sendMail",
        Operation::CreateDraft | Operation::FindMessages => MESSAGES,
        Operation::UpdateDraft
        | Operation::DeleteDraft
        | Operation::ReadDraft
        | Operation::ReadMessage
        | Operation::UpdateMessage
        | Operation::DeleteMessage
        | Operation::NoteReport
        | Operation::ShowMessage => MESSAGE,
        Operation::SendDraft => "/users/{id}/messages/{id}/send",
        Operation::CreateReply => "/users/{id}/messages/{id}/createReply",
        Operation::CreateReplyAll => "/users/{id}/messages/{id}/createReplyAll",
        Operation::CreateForward => "/users/{id}/messages/{id}/createForward",
        Operation::AddAttachment | Operation::ListAttachments => {
            "/users/{id}/messages/{id}/attachments"
        }
        Operation::CreateUploadSession => {
            "/users/{id}/messages/{id}/attachments/createUploadSession"
        }
        Operation::UploadChunk | Operation::ReadUploadSession | Operation::CancelUploadSession => {
            "{uploadUrl}"
        }
        Operation::MoveMessage => "/users/{id}/messages/{id}/move",
        Operation::FindReports => "/users/{id}/mailFolders/inbox/messages",
        Operation::ReadReport | Operation::ReadContent => "/users/{id}/messages/{id}/$value",
        Operation::ReadFolder | Operation::ReadChanges => {
            "/users/{id}/mailFolders/{id}/messages/delta"
        }
        Operation::ListFolders => "/users/{id}/mailFolders",
        Operation::ReadFolderChanges => "/users/{id}/mailFolders/delta",
        Operation::FindUsers => "/users",
        Operation::ListMembers => "/groups/{id}/transitiveMembers/microsoft.graph.user",
        Operation::Subscribe | Operation::ListSubscriptions => "/subscriptions",
        Operation::RenewSubscription | Operation::Unsubscribe => "/subscriptions/{id}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_nobody_s_id() {
        for operation in Operation::ALL {
            let template = template(operation);
            let plain = |c: char| c.is_ascii_alphabetic() || "/{}.$".contains(c);
            assert!(template.chars().all(plain), "{template}");
            assert!(template.starts_with('/') || template == "{uploadUrl}", "{template}");
        }
    }
}
