//! What a token says of itself. Hints: a token is opaque to its client (learn.microsoft.com, entra
//! access-tokens), and what Exchange grants never shows in it.

use serde::Deserialize;

use crate::token;

/// The claims that help an administrator.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Claims {
    /// Application permissions that are granted in Entra; absent when there are none.
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// The enterprise application's object id.
    #[serde(default)]
    pub(super) oid: Option<String>,
    /// The app's client id, in tokens of v1 and of v2.
    #[serde(default, alias = "azp")]
    pub(super) appid: Option<String>,
}

impl Claims {
    /// None when the token cannot be read.
    pub(super) fn of(token: &str) -> Option<Self> {
        let mut claims: Self = token::claims(token)?;
        let plain = |role: &String| role.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        claims.roles.retain(plain);
        claims.oid = claims.oid.filter(|oid| crate::config::is_guid(oid));
        Some(claims)
    }

    /// The app that the token is for.
    pub(super) fn app(&self) -> Option<&str> {
        self.appid.as_deref().filter(|id| crate::config::is_guid(id))
    }

    pub(super) fn lists(&self, permission: &str) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case(permission))
    }
}
