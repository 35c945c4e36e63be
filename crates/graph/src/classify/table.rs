//! What Graph's error codes and HTTP statuses mean, one row each.
//!
//! Codes: learn.microsoft.com (graph errors, outlook-things-to-know-about-send-mail,
//! auth-limit-mailbox-access) where a page names them; the rest as clients report them. Microsoft
//! documents few statuses of Exchange's codes, so a code, when known, counts before the status.

/// What an answer says, before what was asked for is taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The token is not accepted.
    TokenRefused,
    /// The app lacks a permission.
    PermissionMissing,
    /// The app may not use this mailbox.
    MailboxDenied,
    /// There is no such mailbox.
    MailboxMissing,
    /// The mailbox is full, or its named properties are.
    MailboxFull,
    /// The account is stopped from sending.
    MailboxSuspended,
    /// The mailbox has sent as much as it may.
    SendQuota,
    /// The mailbox may not send in that name.
    SendAsDenied,
    /// A recipient is not taken.
    RecipientsRefused,
    /// The attachment is too small to go by an upload session.
    TooSmall,
    /// The message is too large.
    TooLarge,
    /// The request is not understood, or not taken as it is.
    Malformed,
    /// The item is not there, or not any more.
    ItemGone,
    /// The folder is not there.
    FolderGone,
    /// Something on the path is not there, most likely the mailbox.
    PathGone,
    /// Something is not there, for a reason that is not in the table.
    Gone,
    /// Graph has forgotten the place from which changes are read.
    CursorGone,
    /// It has no content that can be read.
    NotAFile,
    /// Too many requests.
    Throttled,
    /// Locked for a moment; nothing was done.
    Locked,
    /// A passing fault, which may have come before or after the effect.
    Fault,
    /// This is not an answer of Graph's.
    NotGraph,
    /// The code says nothing that the status does not say.
    AsStatus,
}

/// A known code, the status it is usually seen with, and its meaning.
pub(super) struct Row {
    pub(super) code: &'static str,
    pub(super) status: u16,
    pub(super) meaning: Meaning,
}

const fn row(code: &'static str, status: u16, meaning: Meaning) -> Row {
    Row { code, status, meaning }
}

pub(super) static CODES: &[Row] = &[
    row("InvalidAuthenticationToken", 401, Meaning::TokenRefused),
    row("AuthenticationError", 401, Meaning::TokenRefused),
    row("Authorization_RequestDenied", 403, Meaning::PermissionMissing),
    row("ErrorAccessDenied", 403, Meaning::MailboxDenied),
    row("accessDenied", 403, Meaning::MailboxDenied),
    row("ErrorSendAsDenied", 403, Meaning::SendAsDenied),
    row("ErrorItemNotFound", 404, Meaning::ItemGone),
    row("ResourceNotFound", 404, Meaning::PathGone),
    row("Request_ResourceNotFound", 404, Meaning::MailboxMissing),
    row("ErrorInvalidUser", 404, Meaning::MailboxMissing),
    row("MailboxNotEnabledForRESTAPI", 404, Meaning::MailboxMissing),
    row("ErrorNonExistentMailbox", 404, Meaning::MailboxMissing),
    row("ErrorInvalidIdMalformed", 400, Meaning::Malformed),
    row("ErrorInvalidRecipients", 400, Meaning::RecipientsRefused),
    row("ErrorMimeContentInvalidBase64String", 400, Meaning::Malformed),
    row("InvalidInternetMessageHeaderCollection", 400, Meaning::Malformed),
    row("ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", 400, Meaning::TooSmall),
    row("ErrorCannotOpenFileAttachment", 400, Meaning::NotAFile),
    row("ErrorMessageSizeExceeded", 400, Meaning::TooLarge),
    row("ErrorAttachmentSizeLimitExceeded", 400, Meaning::TooLarge),
    row("RequestEntityTooLarge", 413, Meaning::TooLarge),
    row("RequestBodyTooLarge", 413, Meaning::TooLarge),
    row("InefficientFilter", 400, Meaning::Malformed),
    row("ErrorQuotaExceeded", 403, Meaning::MailboxFull),
    row("QuotaExceededException", 507, Meaning::MailboxFull),
    row("ErrorExceededMessageLimit", 429, Meaning::SendQuota),
    row("ErrorSubmissionQuotaExceeded", 429, Meaning::SendQuota),
    row("ErrorMessageSubmissionBlocked", 403, Meaning::MailboxSuspended),
    row("ErrorAccountSuspend", 403, Meaning::MailboxSuspended),
    row("ApplicationThrottled", 429, Meaning::Throttled),
    row("TooManyRequests", 429, Meaning::Throttled),
    row("activityLimitReached", 429, Meaning::Throttled),
    row("CommandConcurrencyLimitReached", 429, Meaning::Throttled),
    row("ErrorServerBusy", 503, Meaning::Fault),
    row("serviceNotAvailable", 503, Meaning::Fault),
    row("ErrorInternalServerError", 500, Meaning::Fault),
    row("UnknownError", 500, Meaning::AsStatus),
    row("ExtensionError", 503, Meaning::AsStatus),
    row("ErrorIrresolvableConflict", 409, Meaning::Fault),
    row("ErrorFolderExists", 409, Meaning::Malformed),
    row("ErrorFolderNotFound", 404, Meaning::FolderGone),
    row("ErrorMoveCopyFailed", 400, Meaning::Fault),
    row("ErrorSyncFolderNotFound", 404, Meaning::FolderGone),
    row("syncStateNotFound", 410, Meaning::CursorGone),
    row("SyncStateInvalid", 400, Meaning::CursorGone),
    row("ErrorInvalidSyncStateData", 400, Meaning::CursorGone),
    row("resyncRequired", 410, Meaning::CursorGone),
    row("ValidationError", 400, Meaning::Malformed),
    row("InvalidRequest", 400, Meaning::Malformed),
];

/// The known code of that name; names differ in case between Graph's own answers.
pub(super) fn known(code: &str) -> Option<&'static Row> {
    CODES.iter().find(|row| row.code.eq_ignore_ascii_case(code))
}

/// What a status says alone. `named`: it came with a code that is not in the table.
pub(super) fn of_status(status: u16, named: bool) -> Meaning {
    match status {
        401 => Meaning::TokenRefused,
        // a refusal that names a reason we do not know is the request's own; one without is the
        // path's
        403 if !named => Meaning::MailboxDenied,
        404 if named => Meaning::Gone,
        404 => Meaning::PathGone,
        // of content that is read; nothing else asks in a way that Graph does not know
        405 => Meaning::NotAFile,
        // the proxy on the way wants a password
        407 => Meaning::NotGraph,
        // 408: the request came in too slowly, and how much of it was taken is not known;
        // 409: something else changes the item at the same time, perhaps by sending it
        408 | 409 => Meaning::Fault,
        413 => Meaning::TooLarge,
        423 => Meaning::Locked,
        429 => Meaning::Throttled,
        400..=499 => Meaning::Malformed,
        507 => Meaning::MailboxFull,
        500..=599 => Meaning::Fault,
        _ => Meaning::NotGraph,
    }
}
