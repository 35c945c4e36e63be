//! The one door to HTTP. Every request to Graph leaves here: with the token, only to the
//! connection's own host, at the mailbox's pace, within the attempt's deadline; and what comes of
//! it is classified here.
//!
//! Nothing is repeated, with one exception that cannot do harm: a request that Graph refused for
//! its token is made once more with a fresh one, got with the claims that Graph asked for.
//! Redirects are not followed, and the client's own retries are off: every repetition is somebody's
//! decision.

mod answer;
mod call;
mod challenge;
mod clock;
mod exchange;
mod origin;
mod spans;
mod stream;
mod upload;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mailbridge_core::{Code, Error, Result};
use reqwest::{Client, redirect, retry};
use tokio::time::Instant;

use crate::{
    grants::Grants,
    pacing::Permit,
    token::{Challenge, Token, TokenCache},
};
pub(crate) use answer::{Answer, Take, body, printable};
pub(crate) use call::{Body, Call, Operation, Prefer};
pub(crate) use clock::Skew;
use exchange::Meters;
pub(crate) use exchange::{Outcome, exchange};
pub(crate) use origin::{Authorized, Origin};
pub(crate) use stream::Stream;
pub(crate) use upload::{Progress, UploadCall, answered as upload_answered};

/// A connection that is not there by then is not made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Shorter than the idle time of the servers and balancers on the way, so that a request is not
/// written into a connection that is being closed: that would put it in doubt.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// The HTTP client of a connection: one pool for Graph and its login host.
pub(crate) fn client() -> Result<Client> {
    Client::builder()
        .user_agent(concat!("mailbridge/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_MAX)
        .pool_idle_timeout(IDLE_MAX)
        .build()
        .map_err(|error| {
            Error::blocked(Code::Internal, "no HTTP client can be made on this machine")
                .with("cause", error)
        })
}

/// The door of one connection.
pub(crate) struct Door {
    connection: Arc<str>,
    client: Client,
    origin: Origin,
    tokens: Arc<TokenCache>,
    grants: Grants,
    request_timeout: Duration,
    meters: Meters,
}

impl Door {
    pub(crate) fn new(
        connection: Arc<str>,
        client: Client,
        origin: Origin,
        tokens: Arc<TokenCache>,
        request_timeout: Duration,
    ) -> Self {
        let (meters, grants) = (Meters::new(&connection), Grants::default());
        Self { connection, client, origin, tokens, grants, request_timeout, meters }
    }

    /// Whether a token can be had.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.tokens.get(Instant::now() + self.request_timeout).await.map(drop)
    }

    /// Makes a request and returns the body of its success.
    ///
    /// # Errors
    /// As [`crate::classify`] has it, with Graph's code, the status and both request ids as fields.
    /// *Blocked* when there is no token, or when the mailbox has to wait.
    pub(crate) async fn call(&self, permit: &Permit, call: &Call<'_>) -> Result<Bytes> {
        match self.admitted(permit, call).await? {
            Outcome::Answered(answer) => Ok(answer.body),
            _ => Err(Error::permanent(Code::Internal, "an answer was opened and not read")),
        }
    }

    /// Whether a link in an answer leads to this Graph. To be asked before it is kept; it is asked
    /// again when it is followed.
    pub(crate) fn leads_here(&self, link: &str) -> bool {
        self.origin.is_of(link)
    }

    /// Makes a request, with a fresh token if that is all that is wrong. What is returned is a
    /// success.
    async fn admitted(&self, permit: &Permit, call: &Call<'_>) -> Result<Outcome> {
        let token = self.tokens.get(call.deadline).await?;
        let refusal = match self.attempt(permit, call, &token).await {
            Err(refusal) if self.blames_token(&refusal, call, &token) => refusal,
            other => return other.map_err(|refusal| refusal.error),
        };
        if !self.tokens.refuse(&token, refusal.challenge.as_ref()) {
            return Err(identity_failure(refusal));
        }
        let fresh = self.tokens.get(call.deadline).await?;
        match self.attempt(permit, call, &fresh).await {
            Err(refusal) if self.blames_token(&refusal, call, &fresh) => {
                Err(identity_failure(refusal))
            }
            other => other.map_err(|refusal| refusal.error),
        }
    }

    /// Whether a fresh token may help: the token was refused, or lacks a claim, or a permission
    /// that may have been granted since.
    fn blames_token(&self, refusal: &Refusal, call: &Call<'_>, token: &Token) -> bool {
        refusal.challenge.is_some()
            || match refusal.error.code() {
                Code::GraphUnauthorized | Code::GraphPermissionMissing => true,
                Code::MailboxDenied => {
                    let permission = call.operation.permission();
                    permission.is_some_and(|permission| self.grants.suspect(permission, token))
                }
                _ => false,
            }
    }
}

/// A failed request, and the claims challenge that came with it.
struct Refusal {
    error: Error,
    challenge: Option<Challenge>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, challenge: None }
    }
}

/// A refusal that a fresh token does not cure is the app's, not the mailbox's.
fn identity_failure(Refusal { error: refusal, challenge }: Refusal) -> Error {
    let (code, detail) = if challenge.is_some() {
        let detail = "graph asks for claims that the login service does not give the app";
        (Code::CredentialPolicyBlocked, detail)
    } else if refusal.code() == Code::GraphUnauthorized {
        return refusal;
    } else {
        let detail = "graph denies access, and the token lists no permission that this needs";
        (Code::GraphPermissionMissing, detail)
    };
    let error = Error::blocked(code, detail);
    refusal.fields().fold(error, |error, (name, value)| error.with(name, value))
}
