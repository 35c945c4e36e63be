//! Tokens for something else than Graph, by a connection's credentials: a bus that lets its users in
//! by Entra's tokens, as Azure Event Hubs does.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Result, Secret, plugin::Tokens};
use tokio::time::Instant;

use crate::{
    config::Resolved,
    credential::{self, Watch},
    http,
    token::TokenCache,
};

/// How long a token may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How long the next one is waited for where the last still serves. A bus keeps a token until near
/// its end: one that is already half through would leave it no time to get another.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tokens for one resource.
pub struct Bearer {
    tokens: Arc<TokenCache>,
    /// Takes up a changed credential.
    _watch: Watch,
}

impl Bearer {
    /// By the credentials of a connection, for a resource such as
    /// `https://NAMESPACE.servicebus.windows.net`. Opens nothing yet.
    ///
    /// # Errors
    /// When this machine cannot do TLS.
    pub fn new(name: &str, connection: Resolved, resource: &str) -> Result<Self> {
        let connection = Resolved { resource: resource.to_owned(), cae: false, ..connection };
        let name: Arc<str> = name.into();
        let client = http::client()?;
        let issuer = credential::issuer(&name, &client, &connection)?;
        let tokens = Arc::new(TokenCache::new(name, issuer, connection.cae));
        let watched = Arc::clone(&tokens);
        let files = credential::all_files(&connection);
        Ok(Self { tokens, _watch: Watch::start(files, move || watched.renew()) })
    }
}

#[async_trait]
impl Tokens for Bearer {
    async fn token(&self) -> Result<Secret> {
        let now = Instant::now();
        let token = self.tokens.newest(now + PATIENCE, now + WITHIN).await?;
        let authorization = token.authorization();
        let token = authorization.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let detail = "the token cannot be presented";
        token.map(Secret::new).ok_or_else(|| Error::blocked(Code::Internal, detail))
    }
}
