//! The `claims` parameter: whether a client takes claims challenges, and which one it answers.
//!
//! Facts: learn.microsoft.com/entra/identity-platform/claims-challenge. A challenge is
//! `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`; a client that takes
//! challenges declares `{"access_token":{"xms_cc":{"values":["cp1"]}}}`, in the same JSON.

use serde_json::Value;

use super::Form;
use super::refusal::{self, Refusal};

/// The challenge that a client which takes challenges has answered: 0 when there was none. `None`
/// for a client that does not take them.
pub type Answered = Option<i64>;

pub fn read(form: &Form) -> Result<Answered, Refusal> {
    let Some(text) = form.get("claims") else { return Ok(None) };
    let claims: Value = serde_json::from_str(text).map_err(|_| refusal::malformed())?;
    let token = &claims["access_token"];
    let capabilities = token["xms_cc"]["values"].as_array();
    // Microsoft's own samples write it in both cases
    let is_cp1 = |one: &Value| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case("cp1"));
    let capable = capabilities.is_some_and(|all| all.iter().any(is_cp1));
    let nbf = &token["nbf"]["value"];
    let nbf = nbf.as_i64().or_else(|| nbf.as_str()?.parse().ok());
    Ok(capable.then(|| nbf.unwrap_or(0)))
}
