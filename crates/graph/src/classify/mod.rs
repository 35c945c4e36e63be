//! What a failure of a request to Graph means: one pure, total function.
//!
//! It takes what was seen (no connection, silence, a broken line, a status with codes) and what the
//! request could have done, and gives a code and a verdict. It is the only place that reads a
//! status or a Graph code, and it is printed as a table into the documentation ([`table()`]).
//!
//! The rule that matters: a request that can send a mail is *in doubt* unless Graph's answer says
//! that it did not.

mod table;

use std::time::Duration;

use mailbridge_core::{Code, Scope, Verdict};

use table::{CODES, Meaning};

/// What a request could have done, had it got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it reads.
    None,
    /// A draft is made, changed or deleted. Nobody receives anything, so it may be repeated.
    Draft,
    /// A mail is sent, once for every time it gets through.
    Send,
    /// A message that the request names is read, changed or answered by a draft. Nobody receives
    /// anything, so it may be repeated; but what is not there is the request's mistake.
    Message,
    /// A draft is sent. The same draft cannot be sent twice: when it is not there any more, it may
    /// have been sent.
    SendDraft,
    /// Nothing: a mailbox's folders are read, or what changes in one, from the beginning.
    Folder,
    /// The same from a cursor, which Graph may have forgotten.
    Cursor,
    /// Nothing: a message of an event is read, its attachments, or content.
    Content,
    /// Nothing: users are looked up in the directory.
    Directory,
    /// A subscription is made, renewed or ended. Nobody receives anything, so it may be repeated.
    Subscription,
}

impl Effect {
    /// All of them: of requests, then of events.
    pub const ALL: [Self; 10] = [
        Self::None,
        Self::Draft,
        Self::Message,
        Self::Send,
        Self::SendDraft,
        Self::Folder,
        Self::Cursor,
        Self::Content,
        Self::Directory,
        Self::Subscription,
    ];

    /// How the tables call it.
    fn name(self) -> &'static str {
        match self {
            Self::None => "read",
            Self::Draft => "draft",
            Self::Message => "named message",
            Self::Send => "send",
            Self::SendDraft => "send of a draft",
            Self::Folder => "folder",
            Self::Cursor => "folder from a cursor",
            Self::Content => "message, attachment",
            Self::Directory => "directory",
            Self::Subscription => "subscription",
        }
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Send | Self::SendDraft)
    }

    /// A mailbox is being watched: what is wrong with it may pass, and nothing is lost meanwhile.
    fn watches(self) -> bool {
        matches!(self, Self::Folder | Self::Cursor | Self::Content | Self::Subscription)
    }
}

/// What was seen of a request.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// No connection was made: no byte has left.
    NotSent,
    /// Bytes may have left, and no answer came in time.
    TimedOut,
    /// Bytes may have left, and the connection broke before the answer.
    Cut,
    /// Graph, or something in its place, answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error codes of the body, the outermost first.
        codes: &'a [&'a str],
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
}

/// A mailbox that is denied is asked again this often: a change of Exchange's grants takes 30
/// minutes to 2 hours to show (learn.microsoft.com, exchange application-rbac).
const DENIED_WAIT: Duration = Duration::from_mins(5);
/// So is one that is not there, if it is watched: the mail calls of a new user fail for about 15
/// minutes (learn.microsoft.com, graph known-issues).
const MISSING_WAIT: Duration = Duration::from_mins(5);
/// A full mailbox is somebody's work to empty.
const FULL_WAIT: Duration = Duration::from_mins(10);
/// A suspension is lifted by an administrator.
const SUSPENDED_WAIT: Duration = Duration::from_mins(30);
/// Sending limits count over a day.
const QUOTA_WAIT: Duration = Duration::from_hours(1);

/// The failure that was seen, or nothing when it is a success: any 2xx, whatever else it says.
pub fn classify(effect: Effect, seen: &Seen<'_>) -> Option<(Code, Verdict)> {
    let unanswered = |code| {
        let verdict =
            if effect.is_final() { Verdict::InDoubt } else { Verdict::Transient { after: None } };
        Some((code, verdict))
    };
    match *seen {
        Seen::NotSent => Some((Code::GraphUnreachable, Verdict::Transient { after: None })),
        Seen::TimedOut => unanswered(Code::GraphTimeout),
        Seen::Cut => unanswered(Code::GraphCut),
        Seen::Answered { status: 200..=299, .. } => None,
        Seen::Answered { status, codes, retry_after } => {
            Some(judge(meaning(status, codes), status, effect, retry_after))
        }
    }
}

/// The innermost known code counts, else the status.
fn meaning(status: u16, codes: &[&str]) -> Meaning {
    let known = codes.iter().rev().find_map(|code| table::known(code)).map(|row| row.meaning);
    match known {
        Some(Meaning::AsStatus) => table::of_status(status, false),
        Some(meaning) => meaning,
        None => table::of_status(status, !codes.is_empty()),
    }
}

fn judge(
    meaning: Meaning,
    status: u16,
    effect: Effect,
    retry_after: Option<Duration>,
) -> (Code, Verdict) {
    let connection = Verdict::Blocked { scope: Scope::Connection, after: retry_after };
    let mailbox = |wait: Duration| Verdict::Blocked {
        scope: Scope::Mailbox,
        after: Some(retry_after.unwrap_or(wait).max(wait)),
    };
    let again = Verdict::Transient { after: retry_after };
    let doubt_or_again = if effect.is_final() { Verdict::InDoubt } else { again };
    let missing = if effect.watches() { mailbox(MISSING_WAIT) } else { Verdict::Permanent };
    if let Some(own) = own_meaning(meaning, status, effect, (again, connection)) {
        return own;
    }
    match meaning {
        Meaning::FolderGone => (Code::GraphFolderNotFound, Verdict::Permanent),
        Meaning::TokenRefused => (Code::GraphUnauthorized, connection),
        Meaning::PermissionMissing => (Code::GraphPermissionMissing, connection),
        Meaning::MailboxDenied => (Code::MailboxDenied, mailbox(DENIED_WAIT)),
        Meaning::MailboxMissing => (Code::MailboxNotFound, missing),
        Meaning::MailboxFull => (Code::MailboxFull, mailbox(FULL_WAIT)),
        Meaning::MailboxSuspended => (Code::MailboxSuspended, mailbox(SUSPENDED_WAIT)),
        Meaning::SendQuota => (Code::MailboxQuota, mailbox(QUOTA_WAIT)),
        Meaning::SendAsDenied => (Code::GraphSendAsDenied, Verdict::Permanent),
        Meaning::RecipientsRefused => (Code::GraphRecipientsRefused, Verdict::Permanent),
        Meaning::TooSmall => (Code::GraphAttachmentTooSmall, Verdict::Permanent),
        Meaning::TooLarge => (Code::GraphTooLarge, Verdict::Permanent),
        Meaning::NotAFile if effect == Effect::Content => {
            (Code::GraphAttachmentUnreadable, Verdict::Permanent)
        }
        Meaning::Malformed | Meaning::NotAFile | Meaning::CursorGone => {
            (Code::GraphRefused, Verdict::Permanent)
        }
        Meaning::PathGone if effect.watches() => (Code::MailboxNotFound, missing),
        Meaning::ItemGone | Meaning::PathGone | Meaning::Gone => gone(meaning, effect, again),
        // an answer 5xx that speaks of throttling may still have come after the effect
        Meaning::Throttled if status >= 500 && effect.is_final() => {
            (Code::GraphUnavailable, Verdict::InDoubt)
        }
        Meaning::Throttled => {
            (Code::GraphThrottled, Verdict::Blocked { scope: Scope::Mailbox, after: retry_after })
        }
        Meaning::Locked => (Code::GraphUnavailable, again),
        Meaning::Fault | Meaning::AsStatus => (Code::GraphUnavailable, doubt_or_again),
        Meaning::NotGraph => (Code::GraphUnexpected, connection),
    }
}

/// What an answer means to one kind of request and to no other.
fn own_meaning(
    meaning: Meaning,
    status: u16,
    effect: Effect,
    (again, connection): (Verdict, Verdict),
) -> Option<(Code, Verdict)> {
    let refused = (Code::GraphSubscriptionRefused, Verdict::Permanent);
    Some(match (effect, meaning) {
        (Effect::Cursor, Meaning::CursorGone) => (Code::GraphCursorExpired, again),
        // a status that nothing else has
        (Effect::Cursor, Meaning::Malformed) if status == 410 => (Code::GraphCursorExpired, again),
        // there was no cursor that could have expired
        (Effect::Folder, Meaning::CursorGone) => (Code::GraphUnavailable, again),
        (Effect::Folder | Effect::Cursor, Meaning::ItemGone) => {
            (Code::GraphFolderNotFound, Verdict::Permanent)
        }
        (Effect::Directory, Meaning::MailboxDenied) => (Code::GraphPermissionMissing, connection),
        (
            Effect::Directory,
            Meaning::ItemGone | Meaning::PathGone | Meaning::Gone | Meaning::MailboxMissing,
        ) => (Code::GraphGroupNotFound, Verdict::Permanent),
        // a renewal's; a subscription that is to be made names nothing but the mailbox
        (Effect::Subscription, Meaning::ItemGone | Meaning::PathGone | Meaning::Gone) => {
            (Code::GraphSubscriptionGone, Verdict::Permanent)
        }
        (Effect::Subscription, Meaning::Malformed) => refused,
        // there is one already, or there are too many
        (Effect::Subscription, Meaning::Fault) if status == 409 => refused,
        _ => return None,
    })
}

/// Something is not there. A draft that was to be sent may have been; another one is made anew.
fn gone(what: Meaning, effect: Effect, again: Verdict) -> (Code, Verdict) {
    match (effect, what) {
        (Effect::SendDraft, _) => (Code::GraphDraftGone, Verdict::InDoubt),
        (Effect::Message | Effect::Content, Meaning::ItemGone) => {
            (Code::GraphMessageGone, Verdict::Permanent)
        }
        (Effect::None | Effect::Draft, Meaning::ItemGone) => (Code::GraphDraftGone, again),
        (_, Meaning::PathGone) => (Code::MailboxNotFound, Verdict::Permanent),
        _ => (Code::GraphRefused, Verdict::Permanent),
    }
}

/// The whole of [`classify`] as two Markdown tables, for the documentation: every known code with
/// its usual status, every status without a code, an unknown code, and no answer at all.
pub fn table() -> String {
    let (requests, events) = Effect::ALL.split_at(5);
    format!("## Requests\n\n{}\n## Events\n\n{}", part(requests), part(events))
}

fn part(effects: &[Effect]) -> String {
    let names: Vec<_> = effects.iter().map(|effect| effect.name()).collect();
    let mut text = format!("| seen | graph code | {} |\n", names.join(" | "));
    text.push_str(&"|---".repeat(effects.len() + 2));
    text.push_str("|\n");
    for (name, seen) in
        [("no connection", Seen::NotSent), ("no answer", Seen::TimedOut), ("cut off", Seen::Cut)]
    {
        line(&mut text, effects, name, "", &seen);
    }
    for row in CODES {
        let codes = [row.code];
        let seen = Seen::Answered { status: row.status, codes: &codes, retry_after: None };
        line(&mut text, effects, &row.status.to_string(), row.code, &seen);
    }
    let statuses = [
        202, 302, 400, 401, 403, 404, 405, 407, 408, 409, 410, 411, 412, 413, 415, 423, 429, 500,
        501, 502, 503, 504, 507, 509,
    ];
    for status in statuses {
        let seen = Seen::Answered { status, codes: &[], retry_after: None };
        line(&mut text, effects, &status.to_string(), "(none)", &seen);
    }
    for status in [400, 403, 404, 418, 429, 500, 503] {
        let seen = Seen::Answered { status, codes: &["NeverHeardOf"], retry_after: None };
        line(&mut text, effects, &status.to_string(), "(unknown)", &seen);
    }
    text
}

fn line(text: &mut String, effects: &[Effect], seen_as: &str, code: &str, seen: &Seen<'_>) {
    let cell = |effect: &Effect| match classify(*effect, seen) {
        None => "success".to_owned(),
        Some((code, verdict)) => format!("{code}: {}", words(verdict)),
    };
    let cells: Vec<_> = effects.iter().map(cell).collect();
    text.extend(["| ", seen_as, " | ", code, " | ", &cells.join(" | "), " |\n"]);
}

fn words(verdict: Verdict) -> String {
    let (words, after) = match verdict {
        Verdict::Transient { after } => ("again", after),
        Verdict::InDoubt => ("in doubt", None),
        Verdict::Permanent => ("permanent", None),
        Verdict::Blocked { scope: Scope::Mailbox, after } => ("mailbox waits", after),
        Verdict::Blocked { scope: Scope::Connection, after } => ("connection waits", after),
    };
    match after {
        Some(after) => format!("{words} {} s", after.as_secs()),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests;
