//! What is refused to those who follow changes: by delta queries and by subscriptions.

use axum::http::StatusCode;

use super::{GraphError, Text};

impl GraphError {
    /// Messages are followed in a folder, not in a mailbox.
    pub fn no_change_tracking() -> Self {
        Self::bad_request("Change tracking is not supported against 'microsoft.graph.message'.")
    }

    /// A token that was never given, or for something else.
    pub fn sync_state_invalid() -> Self {
        Self::bad("SyncStateInvalid", "The sync state is invalid.")
    }

    /// As github.com/alcionai/corso reads it.
    pub fn sync_folder_not_found() -> Self {
        let message = "The folder of the sync state was not found.";
        Self::new(StatusCode::NOT_FOUND, "ErrorSyncFolderNotFound", message)
    }

    // --- subscriptions ---

    pub fn invalid_subscription(message: impl Into<Text>) -> Self {
        Self::bad("InvalidRequest", message)
    }

    pub fn no_subscription() -> Self {
        let message = "The object was not found.";
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    pub fn too_many_subscriptions() -> Self {
        let message = "The quota of subscriptions for the resource has been reached.";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// What the back end says, as the subscription service passes it on
    /// (learn.microsoft.com/graph/errors).
    pub fn extension(inner: &Self) -> Self {
        let message = format!(
            "Operation: Create; Exception: [Status Code: {}; Reason: {}]",
            inner.status.canonical_reason().unwrap_or_default().replace(' ', ""),
            inner.message
        );
        Self { code: "ExtensionError".into(), message: message.into(), ..inner.clone() }
    }
}
