//! What can be done in a mailbox, one module an operation, and the session that they work in.

pub(crate) mod bounce;
pub(crate) mod changes;
pub(crate) mod edit;
pub(crate) mod send;

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use mailbridge_core::{Code, Deadline, Error, Mailbox, Result, Scope, Verdict};
use reqwest::Url;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use crate::{
    graph::Graph,
    http::{Body, Call, Door, Operation, Prefer, Progress, Stream, UploadCall},
    pacing::Permit,
};

/// The longest wait for a mailbox's own pace in the middle of work that would have to be done again
/// from its beginning: the budget of uploaded bytes counts over five minutes.
const INSIST_WAIT_MAX: Duration = Duration::from_mins(6);
/// Tries of one request that the mailbox's pace, and nothing else, puts off.
const INSIST_TRIES_MAX: u32 = 5;

/// One attempt's way into one mailbox: a place among its requests, held until the attempt is over,
/// and a deadline.
pub(crate) struct Session<'a> {
    door: &'a Door,
    permit: Permit,
    /// `https://…/v1.0/users/{mailbox}`; for the directory without the user.
    user: String,
    deadline: &'a Deadline,
}

impl<'a> Session<'a> {
    pub(crate) async fn open(
        graph: &'a Graph,
        mailbox: &Mailbox,
        deadline: &'a Deadline,
    ) -> Result<Self> {
        let name = segment(mailbox.as_str()).ok_or_else(|| {
            Error::permanent(Code::MailboxNotFound, "the mailbox's name does not fit into a URL")
        })?;
        let permit = graph.pacing.enter(mailbox, deadline.at()).await?;
        let user = format!("{}/users/{name}", graph.base);
        Ok(Self { door: &graph.door, permit, user, deadline })
    }

    /// The same into the directory, which is no mailbox.
    pub(crate) async fn open_directory(graph: &'a Graph, deadline: &'a Deadline) -> Result<Self> {
        let permit = graph.pacing.enter_directory(deadline.at()).await?;
        Ok(Self { door: &graph.door, permit, user: graph.base.clone(), deadline })
    }

    /// Makes a request below the mailbox, such as `/messages`.
    pub(crate) async fn call(&self, operation: Operation, path: &str, body: Body) -> Result<Bytes> {
        self.call_at(operation, &self.url(path), body).await
    }

    /// Makes a request at a whole URL, which need not be below the mailbox.
    pub(crate) async fn call_at(
        &self,
        operation: Operation,
        url: &str,
        body: Body,
    ) -> Result<Bytes> {
        self.call_url(operation, url, body, Prefer::default()).await
    }

    /// Follows a link that Graph gave. The door refuses one that leads elsewhere.
    pub(crate) async fn follow(&self, operation: Operation, link: &str) -> Result<Bytes> {
        self.read(operation, link, Prefer::default()).await
    }

    /// Reads what is at a whole URL.
    pub(crate) async fn read(
        &self,
        operation: Operation,
        url: &str,
        prefer: Prefer,
    ) -> Result<Bytes> {
        self.call_url(operation, url, Body::Empty, prefer).await
    }

    /// The whole URL of what is below the mailbox.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.user)
    }

    async fn call_url(
        &self,
        operation: Operation,
        url: &str,
        body: Body,
        prefer: Prefer,
    ) -> Result<Bytes> {
        let call = Call { operation, url, body, prefer, deadline: self.deadline.at() };
        self.door.call(&self.permit, &call).await
    }

    /// Begins to read what is below the mailbox in pieces.
    pub(crate) async fn open_content(&self, operation: Operation, path: &str) -> Result<Stream> {
        let (url, deadline, prefer) = (self.url(path), self.deadline.at(), Prefer::default());
        let call = Call { operation, url: &url, body: Body::Empty, prefer, deadline };
        self.door.open(&self.permit, &call).await
    }

    /// Makes a request in the middle of longer work. Where nothing but the mailbox's pace is in the
    /// way, which means that it was not made, it waits and makes it again.
    pub(crate) async fn insist(
        &self,
        operation: Operation,
        path: &str,
        body: Body,
    ) -> Result<Bytes> {
        let mut tries = 1;
        loop {
            let error = match self.call(operation, path, body.clone()).await {
                Err(error) if tries < INSIST_TRIES_MAX => error,
                other => return other,
            };
            self.sit_out(error).await?;
            tries += 1;
        }
    }

    /// Waits as long as the mailbox's pace asks, if that is what the failure is and if it is not too
    /// long.
    async fn sit_out(&self, error: Error) -> Result<()> {
        let Verdict::Blocked { scope: Scope::Mailbox, after: Some(wait) } = error.verdict() else {
            return Err(error);
        };
        let end = Instant::now() + wait;
        let paced = error.code() == Code::GraphThrottled && wait <= INSIST_WAIT_MAX;
        if !paced || !self.deadline.wait_until(end) {
            return Err(error);
        }
        sleep_until(end).await;
        Ok(())
    }

    /// Makes a request to an upload session, and waits for the mailbox's pace as `insist` does.
    pub(crate) async fn upload(
        &self,
        operation: Operation,
        url: &Url,
        piece: Option<(Bytes, Range<u64>, u64)>,
    ) -> Result<Progress> {
        let mut tries = 1;
        loop {
            let (piece, deadline) = (piece.clone(), self.deadline.at());
            let call = UploadCall { operation, url, piece, deadline };
            let error = match self.door.upload(&self.permit, call).await {
                Err(error) if tries < INSIST_TRIES_MAX => error,
                other => return other,
            };
            self.sit_out(error).await?;
            tries += 1;
        }
    }

    /// Whether so many bytes can be uploaded without a long wait on the way.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<()> {
        self.permit.room_for(bytes)
    }

    /// Whether a link leads to this Graph.
    pub(crate) fn leads_here(&self, link: &str) -> bool {
        self.door.leads_here(link)
    }

    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    pub(crate) fn deadline(&self) -> &'a Deadline {
        self.deadline
    }
}

/// Reads an answer.
pub(crate) fn answer<T: DeserializeOwned>(body: &[u8], detail: &'static str) -> Result<T> {
    serde_json::from_slice(body).map_err(|_| Error::transient(Code::GraphUnexpected, detail))
}

/// A name as one segment of a path: encoded once, also `/`, `+` and `=`, which ids hold. Nothing,
/// when it cannot be one: a `.` or `..` would be taken out of the path by every URL parser, encoded
/// or not.
pub(crate) fn segment(name: &str) -> Option<String> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if name.is_empty() || name == "." || name == ".." {
        return None;
    }
    let mut text = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_addresses_are_one_segment() {
        assert_eq!(segment("AAMk/x+y=="), Some("AAMk%2Fx%2By%3D%3D".to_owned()));
        assert_eq!(segment("o'neil$1@x.org"), Some("o%27neil%241@x.org".to_owned()));
        assert_eq!(
            segment("guest_x.org#EXT#@y.org"),
            Some("guest_x.org%23EXT%23@y.org".to_owned())
        );
        for none in ["", ".", ".."] {
            assert_eq!(segment(none), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_name_the_path_keeps_its_shape(name in "\\PC{1,40}") {
            let Some(name) = segment(&name) else { return Ok(()) };
            let url = reqwest::Url::parse(&format!("https://g.example/v1.0/users/{name}/sendMail"));
            let url = url.unwrap();
            let path: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(path, ["v1.0", "users", &name, "sendMail"]);
            prop_assert!(url.query().is_none() && url.fragment().is_none());
        }
    }
}
