//! The names of this crate's metrics, each with what it counts and its labels.
//!
//! No label ever holds a mailbox or a recipient: their number has no bound.

/// Requests to Graph that were answered or broke. Labels: `connection`, `operation`, `status` (the
/// HTTP status, or `not_sent`, `timeout`, `cut`).
pub const REQUESTS: &str = "mailbridge_graph_requests_total";
/// How long a request to Graph took, in seconds. Labels: `connection`, `operation`.
pub const REQUEST_SECONDS: &str = "mailbridge_graph_request_seconds";
/// Token requests. Labels: `connection`, `result` (`ok`, or the failure's code).
pub const TOKEN_REQUESTS: &str = "mailbridge_token_requests_total";
/// Answers 429 of Graph. Label: `connection`.
pub const THROTTLED: &str = "mailbridge_graph_throttled_total";
/// Seconds until a credential ends, negative when it has; only where its end is known. Labels:
/// `connection`, `credential` (such as `certificate 1`).
pub const CREDENTIAL_EXPIRES: &str = "mailbridge_credential_expires_seconds";
/// 1 while a tenant gives no token or grants nothing; only for connections with several tenants.
/// Labels: `connection`, `tenant`.
pub const TENANT_BLOCKED: &str = "mailbridge_tenant_blocked";

/// Every metric with its help text, for whoever describes them to a recorder.
pub const ALL: &[(&str, &str)] = &[
    (REQUESTS, "requests to Microsoft Graph"),
    (REQUEST_SECONDS, "duration of a request to Microsoft Graph in seconds"),
    (TOKEN_REQUESTS, "requests to the token endpoint"),
    (THROTTLED, "answers 429 of Microsoft Graph"),
    (CREDENTIAL_EXPIRES, "seconds until a credential ends, negative when it has"),
    (TENANT_BLOCKED, "1 while a tenant, one of several of its connection, does not let us in"),
];
