//! The token cache: one token for all who ask, whatever the credential.
//!
//! - **Single flight**: any number of callers without a token make one request.
//! - **Early refresh**: from `refresh_in` (or half the lifetime) on, a background task gets the
//!   next token while the old one serves until it really expires. If that fails, nobody is held up.
//! - **One forced refresh** for a refused token, however many callers it was refused to. If Graph
//!   challenged it, the next one is asked for with the claims that Graph wants.
//! - **Renewal** when the credential has changed: the next token is got at once, while the old one
//!   serves, and what was wrong with the old credential is forgotten.
//! - **Back-off**: a failure is remembered for 1 to 10 seconds, or as long as the login service
//!   asked, and told to all who ask meanwhile.
//!
//! The request runs in a task of the cache's own, so that a caller who gives up takes nothing with
//! him. Nothing is written to disk.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Result, Scope, Verdict};
use reqwest::header::HeaderValue;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{Challenge, Roles, Token, claims};
use crate::{chance::jitter, metric};

/// A token request that takes longer is given up.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// The first wait after a failure; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A refused token is thrown away at most this often: a fresh one that is refused too is not at
/// fault. The same for one that was got for a claims challenge and is challenged.
const FORCED_EVERY: Duration = Duration::from_secs(30);
/// How long before its end a token is no longer used, at most: clocks differ, and a request takes
/// time.
const MARGIN_MAX: Duration = Duration::from_mins(1);

/// Where tokens come from.
#[async_trait]
pub(crate) trait Issuer: Send + Sync {
    /// Asks for one token. `claims` is the JSON that goes into the form field of that name, if any:
    /// what the client can do, and what a claims challenge asked for.
    async fn issue(&self, claims: Option<&str>) -> Result<Issued>;
}

/// A token as it was issued.
pub(crate) struct Issued {
    pub(crate) access_token: mailbridge_core::Secret,
    pub(crate) expires_in: Duration,
    pub(crate) refresh_in: Option<Duration>,
}

pub(crate) struct TokenCache {
    shared: Arc<Shared>,
    /// At most one task. Dropped with the cache, which aborts it.
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    connection: Arc<str>,
    issuer: Box<dyn Issuer>,
    cae: bool,
    state: Mutex<State>,
    /// Moves when a request has ended, either way.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failure: Option<Failure>,
    failures_in_a_row: u32,
    generation: u64,
    fetching: bool,
    forced: Option<Instant>,
    /// How often the credential has changed.
    renewals: u64,
    /// What the next token must have. Once it has come, those after it need not.
    challenge: Option<Challenge>,
    challenged: Option<Instant>,
}

struct Held {
    token: Arc<Token>,
    /// It was got for a claims challenge.
    answers_challenge: bool,
    refresh_at: Instant,
    usable_until: Instant,
}

struct Failure {
    error: Error,
    until: Instant,
}

/// What the state has for somebody who asks.
enum Look {
    Serve(Arc<Token>),
    /// It serves, and its successor should be got.
    Due(Arc<Token>),
    Failed(Error),
    Missing,
}

impl TokenCache {
    /// `cae`: each token is asked for as a client that understands claims challenges.
    pub(crate) fn new(connection: Arc<str>, issuer: Box<dyn Issuer>, cae: bool) -> Self {
        let state = Mutex::default();
        let shared = Shared { connection, issuer, cae, state, ended: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// A token that is thought good. Waits for one at most until `deadline`.
    ///
    /// # Errors
    /// Always *blocked* for the whole connection: no request is at fault.
    pub(crate) async fn get(&self, deadline: Instant) -> Result<Arc<Token>> {
        if let Look::Serve(token) = self.shared.look(Instant::now()) {
            return Ok(token);
        }
        loop {
            // before the look, so that a request that ends in between is not missed
            let mut ended = self.shared.ended.subscribe();
            match self.shared.look(Instant::now()) {
                Look::Serve(token) => return Ok(token),
                Look::Due(token) => {
                    self.fetch();
                    return Ok(token);
                }
                Look::Failed(error) => return Err(error),
                Look::Missing => self.fetch(),
            }
            if timeout_at(deadline, ended.changed()).await.is_err() {
                return Err(Error::blocked(
                    Code::LoginUnreachable,
                    "the login service did not give a token in time",
                ));
            }
        }
    }

    /// For whoever keeps a token for most of its life, and asks again only near its end: one that is
    /// not due for its successor, if that comes until `patience`; else as [`TokenCache::get`].
    ///
    /// # Errors
    /// As of [`TokenCache::get`].
    pub(crate) async fn newest(&self, patience: Instant, deadline: Instant) -> Result<Arc<Token>> {
        let mut ended = self.shared.ended.subscribe();
        if let Look::Due(_) = self.shared.look(Instant::now()) {
            self.fetch();
            timeout_at(patience, ended.changed()).await.ok();
        }
        self.get(deadline).await
    }

    /// Throws a token away that Graph refused, perhaps with a claims challenge. Says whether asking
    /// again gives another one: false when this one was got for that very reason a moment ago.
    pub(crate) fn refuse(&self, refused: &Token, challenge: Option<&Challenge>) -> bool {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let answers_challenge = match &state.held {
            Some(held) if held.token.generation() == refused.generation() => held.answers_challenge,
            _ => return true,
        };
        let recent = |at: Option<Instant>| at.is_some_and(|at| now < at + FORCED_EVERY);
        if let Some(challenge) = challenge {
            if answers_challenge && recent(state.challenged) {
                return false;
            }
            state.challenged = Some(now);
            state.challenge = Some(challenge.clone());
        } else {
            if recent(state.forced) {
                return false;
            }
            state.forced = Some(now);
        }
        state.held = None;
        true
    }

    /// The credential has changed: a failure counts no longer, unless the login service asked for
    /// the wait, and a token that serves gets its successor, now or as soon as it may.
    pub(crate) fn renew(&self) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.renewals += 1;
        if state.failure.as_ref().is_some_and(|failure| asked_to_wait(&failure.error).is_none()) {
            state.failure = None;
            state.failures_in_a_row = 0;
        }
        if let Some(held) = &mut state.held {
            held.refresh_at = now;
        }
        drop(state);
        if let Look::Due(_) = self.shared.look(now) {
            self.fetch();
        }
    }

    /// Starts a request unless one is on its way.
    fn fetch(&self) {
        let mut state = self.shared.lock();
        if state.fetching {
            return;
        }
        state.fetching = true;
        let (challenge, renewals) = (state.challenge.clone(), state.renewals);
        drop(state);
        let flight = Flight { shared: Arc::clone(&self.shared), challenge, renewals };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(flight.run());
    }
}

/// A request on its way. Its end is told even if it ends by a panic.
struct Flight {
    shared: Arc<Shared>,
    challenge: Option<Challenge>,
    /// How often the credential had changed when it was used.
    renewals: u64,
}

impl Flight {
    async fn run(self) {
        let asked = Instant::now();
        let claims = claims::field(self.shared.cae, self.challenge.as_ref());
        let request = self.shared.issuer.issue(claims.as_deref());
        let issued = match timeout(REQUEST_MAX, request).await {
            Ok(issued) => issued,
            Err(_) => Err(Error::blocked(
                Code::LoginUnreachable,
                "the login service did not answer in time",
            )
            .with("seconds", REQUEST_MAX.as_secs())),
        };
        self.settle(asked, issued);
    }

    fn settle(&self, asked: Instant, issued: Result<Issued>) {
        let kept =
            issued.and_then(|issued| self.shared.keep(asked, self.challenge.as_ref(), &issued));
        let result = kept.as_ref().map_or_else(|error| error.code().as_str(), |()| "ok");
        let connection = self.shared.connection.to_string();
        metrics::counter!(
            metric::TOKEN_REQUESTS, "connection" => connection, "result" => result
        )
        .increment(1);
        if let Err(error) = kept {
            self.shared.remember(error, self.renewals);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.lock().fetching = false;
        self.shared.ended.send_modify(|count| *count += 1);
    }
}

impl Shared {
    /// A panic elsewhere leaves nothing half done here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Instant) -> Look {
        let state = self.lock();
        let failure = state.failure.as_ref().filter(|failure| now < failure.until);
        match (&state.held, failure) {
            (Some(held), failure) if now < held.usable_until => {
                let token = Arc::clone(&held.token);
                let due = now >= held.refresh_at && failure.is_none();
                if due { Look::Due(token) } else { Look::Serve(token) }
            }
            (_, Some(failure)) => Look::Failed(blocked(&failure.error, failure.until - now)),
            (_, None) => Look::Missing,
        }
    }

    fn keep(&self, asked: Instant, answered: Option<&Challenge>, issued: &Issued) -> Result<()> {
        let text = issued.access_token.expose();
        let mut authorization = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| {
            Error::blocked(Code::LoginUnexpected, "the access token is not one line of text")
        })?;
        authorization.set_sensitive(true);
        let lifetime = issued.expires_in;
        let margin = MARGIN_MAX.min(lifetime / 10);
        let refresh_in = issued.refresh_in.unwrap_or(lifetime / 2).min(lifetime);
        let mut state = self.lock();
        if state.challenge.as_ref() != answered {
            // asked for before the challenge came, so Graph would refuse it as well
            return Ok(());
        }
        let answers_challenge = state.challenge.take().is_some();
        state.generation += 1;
        let token = Token { authorization, generation: state.generation, roles: Roles::of(text) };
        state.held = Some(Held {
            token: Arc::new(token),
            answers_challenge,
            refresh_at: asked + jitter(refresh_in, 0.9),
            usable_until: asked + lifetime.saturating_sub(margin),
        });
        state.failure = None;
        state.failures_in_a_row = 0;
        tracing::debug!(
            connection = %self.connection,
            generation = state.generation,
            expires_in_seconds = lifetime.as_secs(),
            "got a token"
        );
        Ok(())
    }

    /// `renewals`: how often the credential had changed when this was tried.
    fn remember(&self, error: Error, renewals: u64) {
        let now = Instant::now();
        let mut state = self.lock();
        if renewals != state.renewals && asked_to_wait(&error).is_none() {
            tracing::debug!(
                connection = %self.connection, code = %error.code(),
                "got no token with a credential that has changed since"
            );
            return;
        }
        let doubled = BACKOFF_MIN * 2_u32.saturating_pow(state.failures_in_a_row.min(8));
        let wait = asked_to_wait(&error).unwrap_or_default().max(doubled.min(BACKOFF_MAX));
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        let still_serves = state.held.as_ref().is_some_and(|held| now < held.usable_until);
        tracing::warn!(
            connection = %self.connection,
            code = %error.code(),
            reason = %error,
            cure = error.code().cure(),
            again_in_seconds = wait.as_secs(),
            old_token_serves = still_serves,
            "got no token"
        );
        state.failure = Some(Failure { error, until: now + wait });
    }
}

fn asked_to_wait(error: &Error) -> Option<Duration> {
    match error.verdict() {
        Verdict::Blocked { after, .. } | Verdict::Transient { after } => after,
        Verdict::InDoubt | Verdict::Permanent => None,
    }
}

fn blocked(error: &Error, left: Duration) -> Error {
    error.clone().as_verdict(Verdict::Blocked { scope: Scope::Connection, after: Some(left) })
}

#[cfg(test)]
mod tests;
