//! The names of the engine's metrics, each written once.

/// Deliveries taken from the bus, by `pipeline`.
pub const RECEIVED: &str = "mailbridge_requests_received_total";
/// Messages that ask for nothing here, by `pipeline`: settled, without an outcome.
pub const SKIPPED: &str = "mailbridge_requests_skipped_total";
/// Copies of requests that had been sent already, by `pipeline`: answered, not sent again.
pub const COPIES: &str = "mailbridge_requests_copies_total";
/// Requests that ended, by `pipeline`, `status` and `code` (empty when accepted).
pub const OUTCOMES: &str = "mailbridge_outcomes_total";
/// Deliveries given back to the bus to come again, by `pipeline` and `code`.
pub const AGAIN: &str = "mailbridge_requests_again_total";
/// Deliveries in the worker now, by `pipeline`.
pub const IN_FLIGHT: &str = "mailbridge_requests_in_flight";
/// Deliveries that this worker has sent back and that wait on the bus now, by `pipeline`.
pub const WAITING: &str = "mailbridge_requests_waiting";
/// Seconds from delivery to settled, for requests that ended, by `pipeline`.
pub const SECONDS: &str = "mailbridge_request_seconds";
/// 1 while the stream is held, by `pipeline`.
pub const HELD: &str = "mailbridge_stream_held";
/// Settles that came too late, by `pipeline`: the delivery was no longer ours.
pub const STALE: &str = "mailbridge_settles_stale_total";
/// Outcomes `bounced` that were published, by `pipeline`.
pub const BOUNCES: &str = "mailbridge_bounces_total";
/// Looks at an inbox for reports of bounces, by `pipeline` and `code` (empty when it went well).
pub const BOUNCE_LOOKS: &str = "mailbridge_bounce_looks_total";
/// Seconds since the last look at the watched mailbox that has waited longest, by `pipeline`.
pub const BOUNCE_LOOK_AGE: &str = "mailbridge_bounce_look_age_seconds";

/// Parts of mails that events were asked to hold and do not, by `pipeline`, `what` and `code`; also
/// those that are stored elsewhere instead.
pub const LEFT_OUT: &str = "mailbridge_events_left_out_total";
/// What is done to mails once their events are out, by `pipeline`, `operation` and `code` (empty
/// when done).
pub const AFTER: &str = "mailbridge_events_after_total";
/// Calls about subscriptions, item by item, by `result`.
pub const NOTIFICATIONS: &str = "mailbridge_notifications_total";
/// Mailboxes by how their subscription is, by `pipeline` and `state`.
pub const SUBSCRIPTIONS: &str = "mailbridge_subscriptions";

/// Events about mails that are out, by `pipeline` and `change`.
pub const EVENTS: &str = "mailbridge_events_published_total";
/// Messages that pages had, by `pipeline`: also those of which there is nothing to tell.
pub const MESSAGES_READ: &str = "mailbridge_events_messages_read_total";
/// Messages of which no event could be made, by `pipeline` and `code`.
pub const QUARANTINED: &str = "mailbridge_events_quarantined_total";
/// Folders that were read from their beginning because Graph had forgotten the cursor, by `pipeline`.
pub const RESYNCS: &str = "mailbridge_events_resyncs_total";
/// Turns of mailboxes that failed, by `pipeline` and `code`.
pub const TURNS_FAILED: &str = "mailbridge_events_turns_failed_total";
/// Mailboxes by what is done about them, by `pipeline` and `state`.
pub const MAILBOXES: &str = "mailbridge_events_mailboxes";
pub const SLICES: &str = "mailbridge_events_slices";

/// Spans that a collector has taken.
pub const SPANS_EXPORTED: &str = "mailbridge_spans_exported_total";
/// Spans that nobody has, by `reason`: `queue_full` or `collector`.
pub const SPANS_DROPPED: &str = "mailbridge_spans_dropped_total";

/// Times that the configuration was read again, by `result`.
pub const RELOADS: &str = "mailbridge_config_reloads_total";
/// 0 while the files have mistakes, and what they said before is run.
pub const RELOADED: &str = "mailbridge_config_last_reload_successful";

/// Every metric of the engine with its meaning, for the program to describe them.
pub const ALL: &[(&str, &str)] = &[
    (RECEIVED, "deliveries taken from the bus"),
    (
        RELOADS,
        "times that the configuration was read again, by result: `applied`, `unchanged` or `refused`",
    ),
    (RELOADED, "0 while the files have mistakes, and what they said before is run; else 1"),
    (SPANS_EXPORTED, "spans that a collector has taken"),
    (SPANS_DROPPED, "spans that no collector has, by reason: `queue_full` or `collector`"),
    (SKIPPED, "messages that `compose.when` passes by: settled, without an outcome"),
    (COPIES, "copies of requests that had been sent already: answered, not sent again"),
    (OUTCOMES, "requests that ended, by status and code"),
    (AGAIN, "deliveries given back to the bus to come again, by code"),
    (IN_FLIGHT, "deliveries in the worker now"),
    (WAITING, "deliveries sent back that wait on the bus; at its bound nothing new comes"),
    (SECONDS, "seconds from delivery to settled, for requests that ended"),
    (HELD, "1 while the stream is held"),
    (STALE, "settles that came too late: the delivery was no longer ours"),
    (BOUNCES, "outcomes `bounced` that were published"),
    (BOUNCE_LOOKS, "looks at an inbox for reports of bounces, by code (empty when it went well)"),
    (BOUNCE_LOOK_AGE, "seconds since the last look at the watched mailbox that has waited longest"),
    (LEFT_OUT, "parts of mails that events do not hold, or only refer to, by what and code"),
    (AFTER, "what was done to mails whose events are out, by operation and code"),
    (NOTIFICATIONS, "what Graph told a callback, by result"),
    (SUBSCRIPTIONS, "mailboxes by the state of their subscription"),
    (EVENTS, "events about mails that are out, by change"),
    (MESSAGES_READ, "messages that were read, also those of which there is nothing to tell"),
    (QUARANTINED, "messages of which no event could be made, by code"),
    (RESYNCS, "folders read from their beginning because Graph had forgotten the cursor"),
    (TURNS_FAILED, "turns of mailboxes that failed, by code"),
    (MAILBOXES, "mailboxes by what is done about them"),
    (SLICES, "slices of the mailboxes that this worker holds, where workers share them"),
];
