//! Proving who we are: each kind of credential, read afresh for each connection.
//!
//! A signature is made here from the server's nonce; the seed itself never leaves this module.

use async_nats::Auth as Proof;
use mailbridge_core::{Code, Error, Result, Secret, SecretSource};
use nkeys::KeyPair;

use crate::config::{self, wrong};

/// The one way that a configuration names. Holds no secret, only where secrets are.
#[derive(Clone, Debug)]
pub(crate) enum Method {
    Anonymous,
    Password { user: String, password: SecretSource },
    Token(SecretSource),
    Nkey(SecretSource),
    Credentials(SecretSource),
}

impl Method {
    /// Takes the one that is given.
    pub fn new(auth: Option<config::Auth>) -> Result<Self> {
        const ONE: &str = "exactly one of `user` with `password`, `token`, `nkey`, `credentials`";
        let Some(config::Auth { user, password, token, nkey, credentials }) = auth else {
            return Ok(Self::Anonymous);
        };
        match (user, password, token, nkey, credentials) {
            (Some(user), Some(password), None, None, None) => Ok(Self::Password { user, password }),
            (None, None, Some(token), None, None) => Ok(Self::Token(token)),
            (None, None, None, Some(seed), None) => Ok(Self::Nkey(seed)),
            (None, None, None, None, Some(file)) => Ok(Self::Credentials(file)),
            _ => Err(wrong("auth", ONE)),
        }
    }

    /// Answers the server's nonce. Called for each connection.
    pub async fn prove(&self, nonce: &[u8]) -> Result<Proof> {
        let mut proof = Proof::new();
        match self {
            Self::Anonymous => {}
            Self::Password { user, password } => {
                proof.username = Some(user.clone());
                proof.password = Some(password.read().await?.expose().to_owned());
            }
            Self::Token(token) => proof.token = Some(token.read().await?.expose().to_owned()),
            Self::Nkey(seed) => {
                let pair = key_pair(seed.read().await?.expose().trim())?;
                proof.signature = Some(sign(&pair, nonce)?);
                proof.nkey = Some(pair.public_key());
            }
            Self::Credentials(file) => {
                let text = file.read().await?;
                let (jwt, seed) = parts(&text)?;
                proof.signature = Some(sign(&key_pair(seed)?, nonce)?);
                proof.jwt = Some(jwt.to_owned());
            }
        }
        Ok(proof)
    }
}

fn key_pair(seed: &str) -> Result<KeyPair> {
    KeyPair::from_seed(seed).map_err(|_| unreadable("an nkey seed, which starts with `SU`"))
}

fn sign(pair: &KeyPair, nonce: &[u8]) -> Result<Vec<u8>> {
    pair.sign(nonce).map_err(|_| unreadable("a seed that can sign"))
}

/// The JWT and the seed of a `.creds` file: the text between its first and second pair of dashed
/// lines (docs.nats.io, user credentials).
fn parts(text: &Secret) -> Result<(&str, &str)> {
    let mut inside = false;
    let mut found = text.expose().lines().filter_map(|line| {
        let line = line.trim();
        if line.starts_with("---") {
            inside = line.contains("BEGIN");
            return None;
        }
        (inside && !line.is_empty()).then_some(line)
    });
    match (found.next(), found.next()) {
        (Some(jwt), Some(seed)) => Ok((jwt, seed)),
        _ => Err(unreadable(
            "the content of a `.creds` file: a JWT and a seed, each in dashed lines",
        )),
    }
}

fn unreadable(expected: &'static str) -> Error {
    Error::blocked(Code::CredentialUnreadable, "the bus's credentials cannot be read")
        .with("expected", expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(seed: &str) -> Secret {
        Secret::new(format!(
            "-----BEGIN NATS USER JWT-----\r\nabc.def\r\n------END NATS USER JWT------\r\n\r\n\
             ************************* IMPORTANT *************************\r\nkeep it\r\n\r\n\
             -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------"
        ))
    }

    #[test]
    fn a_creds_file_is_a_jwt_and_a_seed() {
        assert_eq!(parts(&creds("SUABC")).unwrap(), ("abc.def", "SUABC"));
        let error = parts(&Secret::new("SUABC")).unwrap_err();
        assert_eq!(error.code(), Code::CredentialUnreadable);
        assert!(!format!("{error:?}").contains("SUABC"));
    }

    #[tokio::test]
    async fn a_nonce_is_signed_with_the_seed() {
        let pair = KeyPair::new_user();
        let seed = Secret::new(pair.seed().unwrap());
        for method in [
            Method::Nkey(SecretSource::Literal(seed.clone())),
            Method::Credentials(SecretSource::Literal(creds(seed.expose()))),
        ] {
            let proof = method.prove(b"nonce").await.unwrap();
            pair.verify(b"nonce", &proof.signature.unwrap()).unwrap();
        }
    }

    #[test]
    fn two_ways_at_once_are_refused() {
        let auth = serde_json::json!({ "user": "a", "password": "b", "token": "c" });
        let error = Method::new(Some(serde_json::from_value(auth).unwrap())).unwrap_err();
        assert_eq!(error.field("key"), Some("auth"));
        let half = serde_json::from_value(serde_json::json!({ "user": "a" })).unwrap();
        assert!(Method::new(Some(half)).is_err());
    }
}
