//! Keys, certificates and assertions, as clients and other issuers make them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mailbridge_sandbox::Certificate;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key and its self-signed certificate, valid from 2020 to 2099 unless told otherwise.
pub struct Signer {
    key: KeyPair,
    der: Vec<u8>,
    pub pem: String,
}

impl Signer {
    pub fn rsa() -> Self {
        Self::of(KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(), 2099)
    }

    /// A certificate that is past its time.
    pub fn expired() -> Self {
        Self::of(KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(), 2021)
    }

    pub fn elliptic() -> Self {
        Self::of(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), 2099)
    }

    fn of(key: KeyPair, until: i32) -> Self {
        let mut params = CertificateParams::new(vec!["bridge.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key }
    }

    pub fn certificate(&self) -> Certificate {
        Certificate::pem(&self.pem).unwrap()
    }

    pub fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    pub fn encoding_key(&self, algorithm: Algorithm) -> EncodingKey {
        let pem = self.key.serialize_pem();
        match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }

    /// Today's form: PS256 and `x5t#S256`.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der)));
        jsonwebtoken::encode(&header, claims, &self.encoding_key(Algorithm::PS256)).unwrap()
    }

    /// The form before: RS256 and `x5t`.
    pub fn sign_older(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.x5t = Some(URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der)));
        jsonwebtoken::encode(&header, claims, &self.encoding_key(Algorithm::RS256)).unwrap()
    }

    /// With a padded thumbprint, as MSAL for Python writes it.
    pub fn sign_padded(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(URL_SAFE.encode(digest(&SHA256, &self.der)));
        jsonwebtoken::encode(&header, claims, &self.encoding_key(Algorithm::PS256)).unwrap()
    }

    /// As an issuer signs: no thumbprint, and a key id if there is one.
    pub fn sign_as_issuer(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        claims: &Value,
    ) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.encoding_key(algorithm)).unwrap()
    }
}

/// Good claims of a client's own assertion.
pub fn own_claims(client_id: &str, audience: &str) -> Value {
    json!({
        "aud": audience, "iss": client_id, "sub": client_id, "jti": fresh(),
        "nbf": seconds_from_now(0), "iat": seconds_from_now(0), "exp": seconds_from_now(600),
    })
}

pub fn seconds_from_now(seconds: i64) -> i64 {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).as_second()
}

/// A value nobody has used before.
pub fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The claims with one of them changed, or taken away with null.
pub fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

pub fn assertion_form<'a>(client_id: &'a str, assertion: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("client_id", client_id),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
        ("scope", "https://graph.microsoft.com/.default"),
        ("grant_type", "client_credentials"),
    ]
}
