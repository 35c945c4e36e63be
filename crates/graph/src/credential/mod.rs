//! Credentials: what an app proves itself with. One file a kind.
//!
//! A kind only produces the form fields of one token request, afresh each time. Caching, early
//! refresh, single flight and back-off wrap every kind alike: see [`crate::token`].

mod client_secret;

use async_trait::async_trait;
use mailbridge_core::{Result, Secret};

use crate::config::CredentialSource;
use client_secret::ClientSecret;

/// One way for an app to prove itself.
#[async_trait]
pub(crate) trait Credential: Send + Sync {
    /// The form fields that prove it, for one token request. Asked again for each, so that a
    /// rotated secret is taken up.
    async fn fields(&self) -> Result<Vec<(&'static str, Secret)>>;
}

/// The credential that a connection names.
pub(crate) fn of(source: CredentialSource) -> Box<dyn Credential> {
    match source {
        CredentialSource::ClientSecret(source) => Box::new(ClientSecret { source }),
    }
}
