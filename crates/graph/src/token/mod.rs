//! Tokens: got by a credential, kept by a cache, presented to Graph.
//!
//! A token is opaque to its client (learn.microsoft.com, entra access-tokens). The one look inside,
//! at the roles it was granted, is a hint that makes an error message better and decides nothing
//! alone.

mod aadsts;
mod cache;
mod claims;
mod clock;
pub(crate) mod endpoint;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) use cache::{Issued, Issuer, TokenCache};
pub(crate) use claims::Challenge;
pub(crate) use clock::Clock;
pub(crate) use endpoint::Endpoint;

/// An access token, ready to be presented.
pub(crate) struct Token {
    /// `Bearer …`, marked sensitive: it prints as nothing and is kept out of header compression.
    authorization: HeaderValue,
    /// Which one of this cache it is, counted from 1.
    generation: u64,
    roles: Roles,
}

impl Token {
    /// One that lists no permission.
    #[cfg(test)]
    pub(crate) fn that_lacks_everything(generation: u64) -> Self {
        let roles = Roles { lacks_send: true, lacks_read_write: true, lacks_read: true };
        Self { authorization: HeaderValue::from_static("Bearer x"), generation, roles }
    }

    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn roles(&self) -> Roles {
        self.roles
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What an operation needs to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// `Mail.Send`.
    Send,
    /// `Mail.ReadWrite`.
    ReadWrite,
    /// `Mail.Read`, which `Mail.ReadWrite` contains.
    Read,
}

/// Which application permissions the token seems to carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    lacks_send: bool,
    lacks_read_write: bool,
    lacks_read: bool,
}

impl Roles {
    /// Whether the token says what it is granted, and this is not among it. Grants made in Exchange
    /// (RBAC for Applications) never show in a token.
    pub(crate) fn lack(self, permission: Permission) -> bool {
        match permission {
            Permission::Send => self.lacks_send,
            Permission::ReadWrite => self.lacks_read_write,
            Permission::Read => self.lacks_read,
        }
    }

    /// Reads the hint; a token that cannot be read lacks nothing.
    fn of(token: &str) -> Self {
        #[derive(Deserialize)]
        struct Claims {
            #[serde(default)]
            roles: Vec<String>,
        }
        let Some(Claims { roles }) = claims(token) else { return Self::default() };
        let has = |name: &str| roles.iter().any(|role| role.eq_ignore_ascii_case(name));
        let lacks_read_write = !has("Mail.ReadWrite");
        let lacks_read = lacks_read_write && !has("Mail.Read");
        Self { lacks_send: !has("Mail.Send"), lacks_read_write, lacks_read }
    }
}

/// What a token says of itself, if it can be read.
pub(crate) fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn roles_are_a_hint_and_an_opaque_token_lacks_nothing() {
        let roles = Roles::of(&jwt(r#"{"roles":["Mail.Send"],"aud":"x"}"#));
        assert!(!roles.lack(Permission::Send) && roles.lack(Permission::ReadWrite));
        let none = Roles::of(&jwt(r#"{"aud":"x"}"#));
        assert!(none.lack(Permission::Send) && none.lack(Permission::Read));
        for role in ["Mail.Read", "Mail.ReadWrite"] {
            let reads = Roles::of(&jwt(&format!(r#"{{"roles":["{role}"]}}"#)));
            assert!(!reads.lack(Permission::Read), "{role}");
        }
        for opaque in ["EwBwA8l6", "a.b.c", "", &jwt("not json")] {
            assert!(!Roles::of(opaque).lack(Permission::Send), "{opaque}");
        }
    }

    #[test]
    fn a_token_cannot_be_printed() {
        let mut authorization = HeaderValue::from_static("Bearer hush");
        authorization.set_sensitive(true);
        let token = Token { authorization, generation: 1, roles: Roles::default() };
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("hush"));
    }
}
