//! A token for OAUTHBEARER, got again whenever librdkafka wants another: read from a file that
//! something else keeps fresh, or got by a connection's credentials.

use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mailbridge_core::{Code, Error, Result, Secret, SecretSource, plugin::Tokens};
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use tokio::runtime::Handle;

/// How long a token is taken to be good that does not say so.
const LIFETIME: Duration = Duration::from_mins(5);

/// Where a token comes from.
pub(crate) enum Token {
    /// With the token as it was when the client was made; for all that is no file, it stays so.
    Written(SecretSource, Secret),
    /// With where to wait for the next.
    Got(Arc<dyn Tokens>, Handle),
}

/// What a JSON Web Token says of itself, as far as it matters here (RFC 7519).
#[derive(Default, Deserialize)]
struct Claims {
    /// Seconds since 1970.
    exp: Option<u64>,
    sub: Option<String>,
}

impl Token {
    /// Reads it once, so that one that is missing is told at once.
    pub async fn read_from(source: &SecretSource) -> Result<Self> {
        Ok(Self::Written(source.clone(), source.read().await?))
    }

    /// Gets it once, for the same reason.
    pub async fn got_from(tokens: Arc<dyn Tokens>) -> Result<Self> {
        tokens.token().await?;
        Ok(Self::Got(tokens, Handle::current()))
    }

    /// Gets it now. Called on whatever thread serves a client, which may block.
    pub fn get(&self) -> Result<OAuthToken> {
        let token = match self {
            Self::Written(SecretSource::File(path), _) => {
                let text = std::fs::read_to_string(path).map_err(|cause| {
                    let detail = "the token's file cannot be read";
                    Error::blocked(Code::CredentialUnreadable, detail)
                        .with("file", path.display())
                        .with("cause", cause.kind())
                })?;
                Secret::new(text.trim())
            }
            Self::Written(_, first) => first.clone(),
            // on a thread of its own, since this one may be the runtime's
            Self::Got(tokens, runtime) => thread::scope(|threads| {
                let waits = threads.spawn(|| runtime.block_on(tokens.token()));
                waits.join().unwrap_or_else(|_| {
                    Err(Error::blocked(Code::Internal, "the wait for a token panicked"))
                })
            })?,
        };
        Ok(describe(token.expose()))
    }
}

/// The token with what librdkafka must know of it.
fn describe(token: &str) -> OAuthToken {
    let claims = claims(token).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = claims.exp.map_or(now + LIFETIME, Duration::from_secs);
    OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.unwrap_or_else(|| "mailbridge".to_owned()),
        lifetime_ms: i64::try_from(until.as_millis()).unwrap_or(i64::MAX),
    }
}

/// The claims of a JSON Web Token, if it is one. Nothing is verified: that is the brokers' part.
fn claims(token: &str) -> Option<Claims> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_until_when_it_is_good_and_for_whom() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":4000000000,"sub":"bridge"}"#);
        let found = describe(&format!("e30.{claims}.sig"));
        assert_eq!((&*found.principal_name, found.lifetime_ms), ("bridge", 4_000_000_000_000));
        let opaque = describe("opaque");
        assert_eq!(opaque.principal_name, "mailbridge");
        assert!(opaque.lifetime_ms > 0);
    }

    #[tokio::test]
    async fn a_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "one\n").unwrap();
        let token = Token::read_from(&SecretSource::File(file.clone())).await.unwrap();
        assert_eq!(token.get().unwrap().token, "one");
        std::fs::write(&file, "two").unwrap();
        assert_eq!(token.get().unwrap().token, "two");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(token.get().err().unwrap().code(), Code::CredentialUnreadable);
    }
}
