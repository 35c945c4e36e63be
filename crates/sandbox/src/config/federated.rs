//! Federated credentials: which tokens of another issuer an app takes for its own proof.
//!
//! The issuer's keys are given, never fetched: nothing here opens a connection.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde::Deserialize;

use super::BadCredential;

/// The audience that Microsoft recommends, and every kubelet and pipeline is told to ask for.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Trust in one subject of one issuer. All three names are compared with case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    #[serde(default = "usual_audience")]
    pub(crate) audience: String,
    pub(crate) keys: IssuerKeys,
}

fn usual_audience() -> String {
    TOKEN_EXCHANGE_AUDIENCE.to_owned()
}

impl FederatedCredential {
    /// Trust in a subject, such as `system:serviceaccount:mail:bridge`, of an issuer with these
    /// keys, for the usual audience `api://AzureADTokenExchange`.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>, keys: IssuerKeys) -> Self {
        Self { issuer: issuer.into(), subject: subject.into(), audience: usual_audience(), keys }
    }

    /// Another audience than the usual one.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }
}

/// One public key of an issuer.
#[derive(Clone)]
pub struct IssuerKey {
    pub id: Option<String>,
    pub key: DecodingKey,
}

/// The public keys of an issuer: one in PEM, or a JWK set.
#[derive(Clone, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct IssuerKeys(pub(crate) Vec<IssuerKey>);

impl IssuerKeys {
    /// One public key in PEM (`-----BEGIN PUBLIC KEY-----`), RSA or on the curve P-256.
    ///
    /// # Errors
    /// When it is neither.
    pub fn pem(pem: &str) -> Result<Self, BadCredential> {
        let bytes = pem.as_bytes();
        let key = DecodingKey::from_rsa_pem(bytes)
            .or_else(|_| DecodingKey::from_ec_pem(bytes))
            .map_err(|error| {
                BadCredential::new(format!("not an RSA or P-256 public key in PEM: {error}"))
            })?;
        Ok(Self(vec![IssuerKey { id: None, key }]))
    }

    /// A JWK set, as issuers publish it: `{"keys": [...]}`.
    ///
    /// # Errors
    /// When it is no such set, or holds a key that is neither RSA nor on a curve.
    pub fn jwks(json: &str) -> Result<Self, BadCredential> {
        let set: JwkSet = serde_json::from_str(json)
            .map_err(|error| BadCredential::new(format!("not a JWK set: {error}")))?;
        Self::set(&set)
    }

    fn set(set: &JwkSet) -> Result<Self, BadCredential> {
        let keys = set.keys.iter().map(|jwk| {
            let key = DecodingKey::from_jwk(jwk)
                .map_err(|error| BadCredential::new(format!("a JWK is not usable: {error}")))?;
            if ![AlgorithmFamily::Rsa, AlgorithmFamily::Ec].contains(&key.family()) {
                return Err(BadCredential::new("a JWK is neither RSA nor EC"));
            }
            Ok(IssuerKey { id: jwk.common.key_id.clone(), key })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// A string is PEM, an object a JWK set.
impl TryFrom<serde_json::Value> for IssuerKeys {
    type Error = BadCredential;

    fn try_from(value: serde_json::Value) -> Result<Self, BadCredential> {
        match value {
            serde_json::Value::String(pem) => Self::pem(&pem),
            other => Self::jwks(&other.to_string()),
        }
    }
}
