//! What the readers of this crate make of an answer that no server gave: for fuzzing, and for
//! nothing else. All of an answer is somebody else's, so each reader has to end with a value, or with
//! an error that may be shown.
//!
//! No request is made, and no mailbox's pace changes.

use std::time::Duration;

use bytes::Bytes;
use mailbridge_core::{
    Code, Error, Result, Verdict,
    changes::{Bodies, Item, Select},
    contract::Answer as Reply,
};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::value::RawValue;

use crate::{
    classify::{Effect, Seen, classify},
    http::{Answer, upload_answered},
    operation::{bounce::status, changes::page, send::draft::Draft},
    token::endpoint,
    wire::{
        answer::{Original, update},
        attached::attachment,
        message::Tags,
    },
};

/// What was made of an answer.
pub struct Probed {
    /// Its meaning to each kind of request; nothing where it is a success.
    pub meanings: Vec<(Effect, Option<(Code, Verdict)>)>,
    /// The error codes that were found in it, which go into logs.
    pub codes: Vec<String>,
    /// The wait that was taken from it.
    pub retry_after: Option<Duration>,
    /// The ids of messages and attachments.
    pub ids: Vec<String>,
    /// Whom a report names.
    pub undelivered: usize,
    /// What the readers refused, which goes into logs too.
    pub errors: Vec<Error>,
}

/// Reads an answer as all that it may be an answer to; `reply` is an answer to a mail that Graph's
/// draft is taken into.
pub fn probe(status: StatusCode, headers: &HeaderMap, body: &[u8], reply: &Reply) -> Probed {
    let mut answer = Answer::head(status, headers);
    answer.body = Bytes::copy_from_slice(body);
    let codes = answer.codes();
    let retry_after = answer.retry_after;
    let seen_codes: Vec<_> = codes.iter().map(String::as_str).collect();
    let seen = Seen::Answered { status: status.as_u16(), codes: &seen_codes, retry_after };
    let meanings = Effect::ALL.map(|effect| (effect, classify(effect, &seen))).to_vec();
    let mut probed = Probed {
        meanings,
        codes,
        retry_after,
        ids: Vec::new(),
        undelivered: 0,
        errors: Vec::new(),
    };
    // whether it can be read does not matter, only that this ends
    let _progress = upload_answered(&answer);
    probed.undelivered = status::read(body).undelivered.map_or(0, |all| all.len());
    probed.note(endpoint::read(status, retry_after, None, body).map(drop));
    probed.note(draft(body, reply));
    probed.page(&String::from_utf8_lossy(body));
    probed.attachments(body);
    probed
}

/// A draft of Graph's, and the text that is put before what it holds.
fn draft(body: &[u8], reply: &Reply) -> Result<()> {
    Draft::read(body)?.path("/send")?;
    if let Ok(original) = serde_json::from_slice::<Original>(body) {
        update(reply, &original, Tags { mark: Some("m"), origin: None })?;
    }
    Ok(())
}

impl Probed {
    fn note(&mut self, result: Result<()>) {
        self.errors.extend(result.err());
    }

    fn page(&mut self, text: &str) {
        let everything =
            Select { bodies: Bodies::Both, headers: true, raw: true, ..Select::default() };
        for select in [Select::default(), everything] {
            match page::read(text, &select) {
                Ok(page) => page.items.into_iter().for_each(|item| self.item(item)),
                Err(error) => self.errors.push(error),
            }
        }
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Present(found) => self.ids.push(found.id.0),
            Item::Removed(id) => self.ids.push(id.0),
            Item::Unreadable { id, error } => {
                self.ids.extend(id.map(|id| id.0));
                self.errors.push(error);
            }
        }
    }

    fn attachments(&mut self, body: &[u8]) {
        let entries = serde_json::from_slice::<Vec<&RawValue>>(body).unwrap_or_default();
        self.ids.extend(entries.into_iter().filter_map(attachment).map(|it| it.id));
    }
}
