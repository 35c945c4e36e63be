//! Credentials: what an app proves itself with. One file a kind.
//!
//! A kind proves who the app is, for one token request at a time, and nothing else. Caching, early
//! refresh, single flight and back-off wrap every kind alike: see [`crate::token`]. Files are read
//! for each token request, so that a rotated one is taken up.

mod certificate;
mod client_secret;
mod expiry;
mod federated_token;
mod managed_identity;
mod pair;
mod watch;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{Code, Error, Result, Secret, SecretSource};
use reqwest::Client;

use crate::{
    config::{Credential as Source, Kind, Resolved},
    token::{Clock, Endpoint, Issuer},
};
use certificate::Certificate;
use client_secret::ClientSecret;
pub(crate) use expiry::SOON;
pub use expiry::{Expiring, Expiry, Notify};
use federated_token::FederatedToken;
use managed_identity::ManagedIdentity;
use pair::Pair;
pub(crate) use watch::Watch;

/// One way for an app to prove itself at the token endpoint.
#[async_trait]
pub(crate) trait Credential: Send + Sync {
    /// The form fields that prove it, for one token request.
    async fn fields(&self) -> Result<Vec<(&'static str, Secret)>>;
}

/// Where a connection's tokens come from: its credentials, tried in order.
pub(crate) fn issuer(
    connection: &Arc<str>,
    client: &Client,
    resolved: &Resolved,
) -> Result<Box<dyn Issuer>> {
    let mut issuers = Vec::with_capacity(resolved.credentials.len());
    for source in labelled(resolved) {
        issuers.push((source.label, one(client, resolved, source.credential)?));
    }
    Ok(Box::new(Pair::new(Arc::clone(connection), issuers)))
}

/// A credential with what logs and metrics call it: `certificate`, or `certificate 2` where it is
/// one of two.
pub(crate) struct Labelled<'a> {
    pub(crate) label: String,
    pub(crate) credential: &'a Source,
}

pub(crate) fn labelled(resolved: &Resolved) -> impl Iterator<Item = Labelled<'_>> {
    let several = resolved.credentials.len() > 1;
    resolved.credentials.iter().enumerate().map(move |(index, credential)| {
        let name = credential.kind.name();
        let label = if several { format!("{name} {}", index + 1) } else { name.to_owned() };
        Labelled { label, credential }
    })
}

/// What gives tokens for one credential.
pub(crate) fn one(
    client: &Client,
    resolved: &Resolved,
    source: &Source,
) -> Result<Box<dyn Issuer>> {
    if let Kind::ManagedIdentity(identity) = &source.kind {
        return Ok(Box::new(ManagedIdentity::new(identity, resolved)?));
    }
    let Some(app) = &resolved.app else {
        return Err(Error::blocked(Code::Internal, "this credential needs an app"));
    };
    let credential: Box<dyn Credential> = match &source.kind {
        Kind::ClientSecret(source) => Box::new(ClientSecret { source: source.clone() }),
        Kind::Certificate(source) => Box::new(Certificate {
            source: source.clone(),
            audience: app.token_endpoint.to_string(),
            client_id: app.client_id.clone(),
        }),
        Kind::FederatedToken(source) => {
            Box::new(FederatedToken { file: source.file.clone().unwrap_or_default() })
        }
        Kind::ManagedIdentity(_) => {
            return Err(Error::blocked(Code::Internal, "a managed identity has no token endpoint"));
        }
    };
    Ok(Box::new(Endpoint {
        client: client.clone(),
        url: app.token_endpoint.clone(),
        client_id: app.client_id.clone(),
        scope: resolved.scope(),
        credential,
        clock: Clock::default(),
    }))
}

/// The files that a connection's credentials are in.
pub(crate) fn all_files(resolved: &Resolved) -> Vec<PathBuf> {
    resolved.credentials.iter().flat_map(files).collect()
}

/// The files that a credential is in.
pub(crate) fn files(source: &Source) -> Vec<PathBuf> {
    let secret = |source: &SecretSource| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Env(_) | SecretSource::Literal(_) => None,
    };
    match &source.kind {
        Kind::ClientSecret(source) => secret(source).into_iter().collect(),
        Kind::Certificate(source) => {
            let password = source.password.as_ref().and_then(secret);
            let all = [Some(source.file.clone()), source.key_file.clone(), password];
            all.into_iter().flatten().collect()
        }
        Kind::FederatedToken(source) => source.file.iter().cloned().collect(),
        Kind::ManagedIdentity(_) => Vec::new(),
    }
}

/// Reads a credential as far as it can be judged here, without a word to anybody, and says when it
/// ends: as its owner says, or the certificate, whichever is earlier.
///
/// # Errors
/// *Blocked*, `credential_…`: what is wrong with it.
pub(crate) async fn inspect(source: &Source) -> Result<Option<Timestamp>> {
    let own = match &source.kind {
        Kind::ClientSecret(source) => {
            ClientSecret { source: source.clone() }.fields().await?;
            None
        }
        Kind::Certificate(source) => Some(certificate::load(source).await?.ends),
        // it lives for an hour or so and is written anew before
        Kind::FederatedToken(source) => {
            let file = source.file.clone().unwrap_or_default();
            FederatedToken { file }.fields().await?;
            None
        }
        Kind::ManagedIdentity(_) => None,
    };
    Ok(own.into_iter().chain(source.expires).min())
}
