//! Client assertions (RFC 7523): taking a JWT apart, and what both kinds of issuer have in common.
//!
//! Only the signature is left to a library. The claims are read here, because each mistake has its
//! own number, and a library has one error for all of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::refusal::{Refusal, assertion as wrong};
use crate::directory::TenantEntry;

/// How far a client's clock may be off. Entra's own tolerance is not documented for assertions;
/// five minutes is what its tokens are validated with.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The token endpoint that was asked.
pub struct Endpoint<'a> {
    /// Scheme, host and port as the client sees them
    pub base: &'a str,
    pub tenant: &'a TenantEntry,
}

/// A JWT in its parts; nothing of it is believed yet.
pub struct Assertion<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Assertion<'a> {
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let (signed, signature) = text.rsplit_once('.').ok_or_else(wrong::malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(wrong::malformed)?;
        Ok(Self { header: object(header)?, claims: object(claims)?, signed, signature })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    pub fn require(&self, name: &'static str) -> Result<&str, Refusal> {
        self.claim(name).filter(|value| !value.is_empty()).ok_or_else(|| wrong::missing(name))
    }

    /// All audiences: a JWT may name one, or several in an array.
    pub fn audiences(&self) -> Result<Vec<&str>, Refusal> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => Ok(vec![one.as_str()]),
            Some(Value::Array(all)) if !all.is_empty() => {
                Ok(all.iter().filter_map(Value::as_str).collect())
            }
            _ => Err(wrong::missing("aud")),
        }
    }

    /// Whether the client speaks for itself, with its certificate, and not through an issuer.
    pub fn is_own(&self, client_id: &str) -> Result<bool, Refusal> {
        let named = ["x5t", "x5t#S256"].iter().any(|name| self.header.contains_key(*name));
        Ok(named || self.require("iss")?.eq_ignore_ascii_case(client_id))
    }

    /// The signature's algorithm, when it is one of these.
    pub fn algorithm(&self, known: &[(&str, Algorithm)]) -> Result<Algorithm, Refusal> {
        let name = self.header("alg").unwrap_or_default();
        let found = known.iter().find(|(one, _)| *one == name);
        let names: Vec<&str> = known.iter().map(|(one, _)| *one).collect();
        found
            .map(|(_, algorithm)| *algorithm)
            .ok_or_else(|| wrong::unsupported_algorithm(name, &names.join(",")))
    }

    /// Whether the signature was made with the key's other half.
    pub fn is_signed_by(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm).unwrap_or(false)
    }

    /// Checks `nbf`, which may be missing, and `exp`; gives the end.
    pub fn check_time(&self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let time = |name| self.claims.get(name).and_then(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let (from, until) = (time("nbf"), time("exp"));
        let early = now.duration_since(from) < -TOLERANCE;
        let late = now.duration_since(until) > TOLERANCE;
        if early || late {
            return Err(wrong::out_of_time(now, from, until));
        }
        Ok(until)
    }
}

/// A number of seconds, whole or not.
fn seconds(value: &Value) -> Option<Timestamp> {
    if let Some(whole) = value.as_i64() {
        return Timestamp::from_second(whole).ok();
    }
    let since = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(since).ok()
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| wrong::malformed())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong::malformed())
}

impl Endpoint<'_> {
    /// Whether an audience means this endpoint: the tenant by its id or any of its domains. The
    /// older form without `/oauth2` and `/token` belongs to the older signature.
    pub fn is_meant_by(&self, audience: &str, older_form: bool) -> bool {
        let base = self.base.len();
        let same_host =
            audience.get(..base).is_some_and(|start| start.eq_ignore_ascii_case(self.base));
        let path = audience.get(base..).and_then(|path| path.strip_prefix('/'));
        let Some((tenant, rest)) = path.and_then(|path| path.split_once('/')) else { return false };
        let fits = rest.eq_ignore_ascii_case("oauth2/v2.0/token")
            || rest.eq_ignore_ascii_case("oauth2/token")
            || (older_form && rest.eq_ignore_ascii_case("v2.0"));
        same_host && fits && self.tenant.is_named(tenant)
    }
}
