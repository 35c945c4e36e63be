//! Asking Graph without changing anything.
//!
//! Reading is tried by reading the inbox. Changing and sending are tried on a message that cannot
//! exist: its id is none that Exchange ever gave. Without the permission Graph answers 403, with it
//! 404 or 400; either way there is nothing that could be changed or sent.

use std::time::Duration;

use reqwest::{
    Client, Method,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::time::timeout;
use uuid::Uuid;

use super::access::{Access, Probe};
use crate::{
    classify::Seen,
    http::{Authorized, Origin, Outcome, Take, exchange},
    operation::segment,
};

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Not an id of Exchange's: no message can have it.
const NO_MESSAGE: &str = "bWFpbGJyaWRnZSBkb2N0b3I6IG5vIHN1Y2ggbWVzc2FnZQ";
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// Graph, as one app sees it.
pub(super) struct Graph<'a> {
    pub(super) client: &'a Client,
    /// `https://…/v1.0`
    pub(super) base: &'a str,
    /// `Bearer …`, marked sensitive.
    pub(super) authorization: HeaderValue,
}

/// What came of a probe.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) access: Access,
    /// The status, Graph's code and the request's ids.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Answer {
    /// What was seen, for an observation.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Graph<'_> {
    /// Asks once. `mailbox` is empty for the directory.
    pub(super) async fn ask(&self, probe: Probe, mailbox: &str) -> Answer {
        let id = Uuid::new_v4();
        let Some(request) = self.request(probe, mailbox, id) else {
            return Answer { access: Access::NoUser, fields: Vec::new() };
        };
        let outcome = timeout(PATIENCE, exchange(self.client, request, Take::ORDINARY)).await;
        let answer = answer(probe, &outcome.unwrap_or(Outcome::TimedOut), id);
        let access = answer.access;
        tracing::debug!(?probe, ?access, client_request_id = %id, "graph was asked");
        answer
    }

    /// Nothing, when the mailbox's name cannot be a part of a URL.
    fn request(&self, probe: Probe, mailbox: &str, id: Uuid) -> Option<Authorized> {
        // the directory is asked without a mailbox
        let user = if probe == Probe::Users { String::new() } else { segment(mailbox)? };
        let message = format!("/users/{user}/messages/{NO_MESSAGE}");
        let (method, path) = match probe {
            Probe::Users => (Method::GET, "/users?$top=1&$select=id".to_owned()),
            Probe::Inbox => (Method::GET, format!("/users/{user}/mailFolders/inbox?$select=id")),
            Probe::Change => (Method::PATCH, message),
            Probe::Send => (Method::POST, format!("{message}/send")),
        };
        let url = format!("{}{path}", self.base);
        let origin = Origin::of(self.base).ok()?;
        let mut request = origin.request(method, &url, self.authorization.clone()).ok()?;
        let headers = request.headers();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CLIENT_REQUEST_ID, HeaderValue::from_str(&id.to_string()).ok()?);
        match probe {
            Probe::Change => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                request.body(r#"{"isRead":true}"#);
            }
            // `send` wants it said that there is no body (learn.microsoft.com, message-send)
            Probe::Send => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Probe::Users | Probe::Inbox => {}
        }
        Some(request)
    }
}

fn answer(probe: Probe, outcome: &Outcome, id: Uuid) -> Answer {
    let answered = match outcome {
        Outcome::Answered(answer) => answer,
        Outcome::NotSent => return silence(probe, &Seen::NotSent, "no connection"),
        Outcome::TimedOut => return silence(probe, &Seen::TimedOut, "no answer in time"),
        // a body is always read here
        Outcome::Cut | Outcome::Opened(_) => {
            return silence(probe, &Seen::Cut, "the connection broke");
        }
    };
    let codes = answered.codes();
    let plain: Vec<_> = codes.iter().map(String::as_str).collect();
    let seen = Seen::Answered { status: answered.status, codes: &plain, retry_after: None };
    let mut access = Access::of(probe, &seen);
    // a captive portal answers 200 to everything
    let success = (200..300).contains(&answered.status);
    if success && !is_object(&answered.body) {
        access = Access::NotGraph;
    }
    let mut fields = vec![("status", answered.status.to_string())];
    if !codes.is_empty() {
        fields.push(("graph_code", codes.join("/")));
    }
    if let Some(id) = &answered.request_id {
        fields.push(("request-id", id.clone()));
    }
    fields.push(("client-request-id", id.to_string()));
    Answer { access, fields }
}

fn silence(probe: Probe, seen: &Seen<'_>, cause: &str) -> Answer {
    Answer { access: Access::of(probe, seen), fields: vec![("cause", cause.to_owned())] }
}

fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}
