//! What can be done in a mailbox, one module an operation, and the session that they work in.

pub(crate) mod send;

use bytes::Bytes;
use mailbridge_core::{Code, Error, Mailbox, Result};
use tokio::time::Instant;

use crate::{
    graph::Graph,
    http::{Body, Call, Door, Operation},
    pacing::Permit,
};

/// One attempt's way into one mailbox: a place among its requests, held until the attempt is over,
/// and a deadline.
pub(crate) struct Session<'a> {
    door: &'a Door,
    permit: Permit,
    /// `https://…/v1.0/users/{mailbox}`
    user: String,
    deadline: Instant,
}

impl<'a> Session<'a> {
    pub(crate) async fn open(
        graph: &'a Graph,
        mailbox: &Mailbox,
        deadline: Instant,
    ) -> Result<Self> {
        let name = segment(mailbox.as_str()).ok_or_else(|| {
            Error::permanent(Code::MailboxNotFound, "the mailbox's name does not fit into a URL")
        })?;
        let permit = graph.pacing.enter(mailbox, deadline).await?;
        let user = format!("{}/users/{name}", graph.base);
        Ok(Self { door: &graph.door, permit, user, deadline })
    }

    /// Makes a request below the mailbox, such as `/messages`.
    pub(crate) async fn call(&self, operation: Operation, path: &str, body: Body) -> Result<Bytes> {
        self.call_url(operation, &format!("{}{path}", self.user), body).await
    }

    /// Follows a link that Graph gave. The door refuses one that leads elsewhere.
    pub(crate) async fn follow(&self, operation: Operation, link: &str) -> Result<Bytes> {
        self.call_url(operation, link, Body::Empty).await
    }

    async fn call_url(&self, operation: Operation, url: &str, body: Body) -> Result<Bytes> {
        let call = Call { operation, url, body, deadline: self.deadline };
        self.door.call(&self.permit, &call).await
    }
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
