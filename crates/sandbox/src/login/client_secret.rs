//! The client secret credential, in the form or as HTTP Basic.

use std::sync::Arc;

use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::Form;
use super::refusal::{self, Refusal};
use crate::directory::Denial;
use crate::text::form_decode;
use crate::world::World;

/// Who asks. No `Debug`: it holds the secret.
pub struct Client {
    pub id: String,
    basic_secret: Option<String>,
}

/// The client id and, when it came as HTTP Basic, the secret with it.
pub fn client(parts: &Parts, form: &Form) -> Result<Client, Refusal> {
    if let Some((id, secret)) = basic(parts) {
        return Ok(Client { id, basic_secret: Some(secret) });
    }
    let id = form.get("client_id").ok_or_else(|| refusal::missing("client_id"))?;
    Ok(Client { id: id.to_owned(), basic_secret: None })
}

/// RFC 6749 2.3.1: both parts are form-encoded before they are joined.
fn basic(parts: &Parts) -> Option<(String, String)> {
    let value = parts.headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    Some((form_decode(id)?, form_decode(secret)?))
}

pub fn authenticate(
    world: &World,
    tenant: usize,
    client: &Client,
    form: &Form,
    now: Timestamp,
) -> Result<(u32, Arc<[String]>), Refusal> {
    let secret = client
        .basic_secret
        .as_deref()
        .or_else(|| form.get("client_secret"))
        .ok_or_else(refusal::missing_credential)?;
    world.directory.authenticate(tenant, &client.id, secret, now).map_err(|denial| match denial {
        Denial::UnknownApp => refusal::app_not_found(&client.id, ""),
        Denial::Disabled => refusal::app_disabled(&client.id),
        Denial::WrongSecret => refusal::wrong_secret(&client.id),
        Denial::ExpiredSecret => refusal::expired_secret(&client.id),
    })
}
