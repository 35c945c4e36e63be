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
/// Bytes of one attachment (learn.microsoft.com, outlook-large-attachments: up to 150 MB). Whether
/// Microsoft's MB are of 10^6 bytes no page says; what lies between is Graph's to refuse.
pub const ATTACHMENT_BYTES_MAX: u64 = 150 * 1024 * 1024;
/// Bytes of one request body to Graph. Microsoft documents 4 MB for S/MIME; clients report it for
/// all of Graph's REST calls.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Attachments of one mail: far more than anybody sends, and few enough that one request cannot
/// keep a mailbox busy for an hour.
pub const ATTACHMENTS_MAX: usize = 250;
/// Characters in a request's `id`.
pub const ID_CHARS_MAX: usize = 512;
