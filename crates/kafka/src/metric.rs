//! The names of this crate's metrics, each with what it counts and its labels.

/// Records that were deleted from the log before this group had read them. Labels: `topic`,
/// `partition`.
pub const LOST: &str = "mailbridge_kafka_records_lost_total";

/// Every metric with its help text, for whoever describes them to a recorder.
pub const ALL: &[(&str, &str)] =
    &[(LOST, "records that were deleted from a topic before they were read")];
