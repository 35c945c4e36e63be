//! An answer of Graph, of its login service, or of whatever stands in between. The input is the
//! status, `name: value` lines, an empty line and the body.

use std::time::Duration;

use mailbridge_core::{
    Code, Message, Position, Verdict,
    contract::{Answer, Operation, decode::decode},
};
use mailbridge_graph::{
    classify::Effect,
    probe::{Probed, probe},
};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::said;

/// Longer than any wait that is taken from a server or is our own.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Reads it as an answer to every kind of request.
pub fn run(input: &[u8]) {
    let Some((status, rest)) = line(input) else { return };
    let Ok(status) = StatusCode::from_bytes(status) else { return };
    let (mut headers, mut rest) = (HeaderMap::new(), rest);
    let body = loop {
        match line(rest) {
            Some(([], body)) => break body,
            Some((header, after)) => {
                headers.extend(parsed(header));
                rest = after;
            }
            None => return,
        }
    };
    holds(status, &probe(status, &headers, body, &reply()));
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn parsed(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((HeaderName::from_bytes(&line[..colon]).ok()?, value))
}

fn reply() -> Answer {
    let payload = r#"{"mailbox":"a@example.com","operation":"reply","message":"m","text":"1 < 2"}"#;
    let message = Message { payload: payload.into(), ..Message::default() };
    match decode(&message, &Position::new("fuzz:1")).map(|it| it.request.operation) {
        Ok(Operation::Answer(answer)) => *answer,
        _ => panic!("this is an answer to a mail"),
    }
}

fn holds(status: StatusCode, probed: &Probed) {
    for (effect, meaning) in &probed.meanings {
        assert_eq!(meaning.is_none(), status.is_success(), "{effect:?}");
        let Some((code, verdict)) = meaning else { continue };
        let sends = matches!(effect, Effect::Send | Effect::SendDraft);
        match verdict {
            Verdict::InDoubt => assert!(sends, "{effect:?}: {code}"),
            // what the login service or a proxy says is never the mail's fault
            Verdict::Permanent => assert_ne!(*code, Code::GraphUnexpected),
            Verdict::Transient { after } | Verdict::Blocked { after, .. } => {
                assert!(after.is_none_or(|wait| wait <= WAIT_MAX), "{effect:?}: {code}");
            }
        }
    }
    assert!(probed.retry_after.is_none_or(|wait| wait <= WAIT_MAX));
    assert!(probed.codes.iter().all(|code| is_word(code)), "{:?}", probed.codes);
    assert!(probed.ids.iter().all(|id| !id.is_empty()));
    assert!(probed.undelivered <= mailbridge_core::limits::RECIPIENTS_MAX);
    probed.errors.iter().for_each(said::is_fit_to_show);
}

fn is_word(code: &str) -> bool {
    code == "…" || code.len() <= 80 && code.chars().all(|it| it.is_ascii_graphic())
}
