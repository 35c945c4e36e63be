//! What Graph refuses, in its own words: one constructor per refusal.
//!
//! The status of most Exchange codes is not documented by Microsoft; where it is not, the
//! one that clients have reported is used. Rendering is in `answer`.

mod change;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;

type Text = Cow<'static, str>;

/// One refused request: HTTP status, Graph's error code and sentence, and how long to wait.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphError {
    pub status: StatusCode,
    pub code: Text,
    pub message: Text,
    /// Rendered in decimal seconds, as learn.microsoft.com/graph/throttling shows it.
    pub retry_after: Option<Duration>,
    /// What a new token must be asked for with, as JSON: a claims challenge
    pub claims: Option<String>,
    /// Where to go instead
    pub location: Option<String>,
}

impl GraphError {
    pub fn new(status: StatusCode, code: impl Into<Text>, message: impl Into<Text>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            claims: None,
            location: None,
        }
    }

    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn bad(code: &'static str, message: impl Into<Text>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    // --- the request line and its options ---

    pub fn bad_request(message: impl Into<Text>) -> Self {
        Self::bad("BadRequest", message)
    }

    pub fn unknown_segment(segment: &str) -> Self {
        Self::bad_request(format!("Resource not found for the segment '{segment}'."))
    }

    pub fn failed_dependency() -> Self {
        let message = "The request depends on one that has failed.";
        Self::new(StatusCode::FAILED_DEPENDENCY, "FailedDependency", message)
    }

    pub fn method_not_allowed() -> Self {
        let message = "Specified HTTP method is not allowed for the request target.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", message)
    }

    pub fn invalid_option(name: &str) -> Self {
        Self::bad_request(format!("The query parameter '{name}' is not supported."))
    }

    pub fn invalid_filter(message: impl Into<Text>) -> Self {
        Self::bad("RequestBroker--ParseUri", message)
    }

    pub fn unknown_property_in_query(name: &str, type_name: &str) -> Self {
        Self::invalid_filter(format!(
            "Could not find a property named '{name}' on type 'microsoft.graph.{type_name}'."
        ))
    }

    pub fn inefficient_filter() -> Self {
        let message = "The restriction or sort order is too complex for this operation.";
        Self::bad("InefficientFilter", message)
    }

    // --- the body ---

    pub fn unreadable_json() -> Self {
        Self::bad_request(
            "Unable to read JSON request payload. Please ensure Content-Type header is set and \
             payload is of valid JSON format.",
        )
    }

    pub fn body_read(message: impl Into<Text>) -> Self {
        Self::bad("RequestBodyRead", message)
    }

    pub fn unsupported_media_type(kind: &str) -> Self {
        let message = format!("The media type '{kind}' is not supported for this request.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// Wording from github.com/microsoftgraph/microsoft-graph-docs issue 11806.
    pub fn request_too_large() -> Self {
        let message = "The maximum request length supported is 4MB.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BadRequest", message)
    }

    pub fn attachment_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "ErrorAttachmentSizeLimitExceeded",
            "The attachment size exceeds the limit of 3 MB. Use an upload session.",
        )
    }

    /// learn.microsoft.com/graph/outlook-large-attachments, "Errors".
    pub fn attachment_too_small() -> Self {
        Self::bad(
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            "Attachment size must be greater than the minimum size.",
        )
    }

    pub fn attachment_over_limit(limit: usize) -> Self {
        Self::bad(
            "ErrorAttachmentSizeLimitExceeded",
            format!("The attachment size exceeds the limit of {limit} bytes."),
        )
    }

    pub fn invalid_parameter(name: &str) -> Self {
        Self::bad(
            "ErrorInvalidParameter",
            format!("The value of the parameter '{name}' is invalid."),
        )
    }

    pub fn invalid_base64_mime() -> Self {
        Self::bad("ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
    }

    pub fn invalid_mime() -> Self {
        Self::bad("ErrorMimeContentInvalid", "The MIME content is invalid.")
    }

    pub fn header_collection(message: impl Into<Text>) -> Self {
        Self::bad("InvalidInternetMessageHeaderCollection", message)
    }

    pub fn invalid_extended_property(id: &str) -> Self {
        Self::bad(
            "ErrorInvalidExtendedProperty",
            format!("The extended property identifier '{id}' is not valid."),
        )
    }

    pub fn invalid_recipients() -> Self {
        Self::bad("ErrorInvalidRecipients", "At least one recipient is not valid.")
    }

    pub fn too_many_recipients(limit: usize) -> Self {
        Self::bad(
            "ErrorInvalidRecipients",
            format!("The number of recipients of the message is over the limit of {limit}."),
        )
    }

    pub fn not_updatable(property: &str) -> Self {
        Self::bad(
            "ErrorInvalidPropertyUpdateSentMessage",
            format!("Update operation is invalid for property '{property}' of a sent message."),
        )
    }

    pub fn comment_and_body() -> Self {
        Self::bad_request("Specify either a comment or the body property of the message, not both.")
    }

    pub fn draft_not_answered() -> Self {
        Self::bad("ErrorInvalidReferenceItem", "The reference item is a draft.")
    }

    pub fn folder_exists() -> Self {
        let message = "A folder with the specified name already exists.";
        Self::new(StatusCode::CONFLICT, "ErrorFolderExists", message)
    }

    /// Exchange's word for its own folders is "distinguished"
    /// (learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode).
    pub fn well_known_folder() -> Self {
        let message = "Distinguished folders cannot be deleted or moved.";
        Self::bad("ErrorDeleteDistinguishedFolder", message)
    }

    pub fn folder_into_itself() -> Self {
        Self::bad("ErrorMoveCopyFailed", "The folder cannot be moved below itself.")
    }

    pub fn changed_meanwhile() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in \
             the request does not match the current change key for the item.",
        )
    }

    pub fn message_too_large() -> Self {
        let message = "The message exceeds the maximum supported size.";
        Self::bad("ErrorMessageSizeExceeded", message)
    }

    // --- upload sessions ---

    /// As github.com/microsoftgraph/msgraph-sdk-java issue 1393 shows it.
    pub fn content_range_malformed() -> Self {
        Self::bad("invalidRequest", "The Content-Range header is missing or malformed.")
    }

    pub fn content_range_wrong(size: usize, length: usize) -> Self {
        Self::bad(
            "invalidRequest",
            format!(
                "The Content-Range header does not fit the declared size of {size} bytes and the \
                 {length} bytes of the request."
            ),
        )
    }

    /// As sessions of github.com/OneDrive/onedrive-api-docs issue 79 word it.
    pub fn range_not_satisfiable(expected: usize) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "invalidRange",
            format!("Uploaded fragment is out of order: the next expected byte is {expected}."),
        )
    }

    pub fn no_upload_session() -> Self {
        let message = "The upload session was not found: it has ended, or its time is over.";
        Self::new(StatusCode::NOT_FOUND, "itemNotFound", message)
    }

    /// learn.microsoft.com/graph/api/driveitem-createuploadsession: a token at the upload URL may
    /// be answered with 401.
    pub fn token_at_upload_host() -> Self {
        Self::unauthorized("The upload URL is pre-authenticated. Do not send Authorization to it.")
    }

    // --- identity and permission ---

    pub fn missing_token() -> Self {
        Self::unauthorized("Access token is empty.")
    }

    pub fn malformed_token() -> Self {
        Self::unauthorized("CompactToken parsing failed with error code: 80049217")
    }

    pub fn expired_token() -> Self {
        Self::unauthorized("Lifetime validation failed, the token is expired.")
    }

    pub fn revoked_token() -> Self {
        Self::unauthorized("Access token validation failure. The token has been revoked.")
    }

    /// For clients that take claims challenges (learn.microsoft.com/entra/identity-platform
    /// claims-challenge): a token is needed that was asked for with this `nbf`, in seconds.
    pub fn challenged(nbf: i64) -> Self {
        let claims =
            format!(r#"{{"access_token":{{"nbf":{{"essential":true, "value":"{nbf}"}}}}}}"#);
        let error = Self::unauthorized(
            "Continuous access evaluation resulted in challenge with result: InteractionRequired \
             and code: TokenIssuedBeforeRevocationTimestamp",
        );
        Self { claims: Some(claims), ..error }
    }

    fn unauthorized(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
    }

    pub fn access_denied() -> Self {
        let message = "Access is denied. Check credentials and try again.";
        Self::new(StatusCode::FORBIDDEN, "ErrorAccessDenied", message)
    }

    /// learn.microsoft.com/graph/auth-limit-mailbox-access.
    pub fn mailbox_denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "ErrorAccessDenied", "Access to OData is disabled.")
    }

    pub fn directory_denied() -> Self {
        let message = "Insufficient privileges to complete the operation.";
        Self::new(StatusCode::FORBIDDEN, "Authorization_RequestDenied", message)
    }

    /// learn.microsoft.com/graph/outlook-send-mail-from-other-user.
    pub fn send_as_denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "ErrorSendAsDenied",
            "The user account which was used to submit this request does not have the right to \
             send mail on behalf of the specified sending account., Cannot submit message.",
        )
    }

    // --- what is not there ---

    pub fn invalid_user(user: &str) -> Self {
        let message = format!("The requested user '{user}' is invalid.");
        Self::new(StatusCode::NOT_FOUND, "ErrorInvalidUser", message)
    }

    pub fn no_mailbox() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "MailboxNotEnabledForRESTAPI",
            "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
        )
    }

    pub fn no_directory_object(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Request_ResourceNotFound",
            format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects \
                 are not present."
            ),
        )
    }

    pub fn item_not_found() -> Self {
        let message = "The specified object was not found in the store.";
        Self::new(StatusCode::NOT_FOUND, "ErrorItemNotFound", message)
    }

    /// As github.com/alcionai/corso reads it; nobody names a status.
    pub fn cannot_open_attachment() -> Self {
        Self::bad("ErrorCannotOpenFileAttachment", "The attachment could not be opened.")
    }

    pub fn id_malformed() -> Self {
        Self::bad("ErrorInvalidIdMalformed", "Id is malformed.")
    }

    pub fn foreign_item() -> Self {
        let message = "Item Id doesn't belong to the current mailbox.";
        Self::new(StatusCode::NOT_FOUND, "ErrorInvalidMailboxItemId", message)
    }

    /// Something broke on the side of the service.
    pub fn internal() -> Self {
        let message = "An internal server error occurred. The operation failed.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ErrorInternalServerError", message)
    }

    // --- limits ---

    pub fn mailbox_full() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "ErrorQuotaExceeded",
            "The mailbox quota has been exceeded. Delete or move some items.",
        )
    }

    pub fn throttled(limit: &str, wait: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "ApplicationThrottled",
            format!("Application is over its {limit} limit."),
        )
        .with_retry_after(wait)
    }
}
