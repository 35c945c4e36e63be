//! The sizes and counts that Graph and Exchange Online put on a mail, in one place.

/// Recipients of one message, `to`, `cc` and `bcc` together (learn.microsoft.com, message resource).
pub const RECIPIENTS_MAX: usize = 500;
/// Characters in a subject (Exchange Online's limit).
pub const SUBJECT_CHARS_MAX: usize = 255;
/// Characters in a mail address (RFC 5321: 64 + 1 + 255).
pub const ADDRESS_CHARS_MAX: usize = 320;
/// Custom headers of one message (Graph answers `InvalidInternetMessageHeaderCollection` above).
pub const HEADERS_MAX: usize = 5;
/// Characters in a custom header's value; RFC 5322 allows 998 in a line.
pub const HEADER_CHARS_MAX: usize = 998;
/// Bytes of one attachment sent inline (learn.microsoft.com, outlook-large-attachments: under 3 MB).
pub const ATTACHMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes of one request body to Graph. Microsoft documents 4 MB for S/MIME; clients report it for
/// all of Graph's REST calls.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Characters in a request's `id`.
pub const ID_CHARS_MAX: usize = 512;
