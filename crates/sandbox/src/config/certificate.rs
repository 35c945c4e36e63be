//! Certificates that an app has registered: the public half, which is all that Entra keeps.
//!
//! Only what the token endpoint needs is read out: key, thumbprints, validity. Nobody checks a
//! chain: Entra does not either, it compares thumbprints.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

use super::BadCredential;
use crate::text::hex;

const RSA: &str = "1.2.840.113549.1.1.1";

/// A registered certificate with an RSA key.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Certificate {
    /// PKCS #1 form of the public key, as signatures are checked with it
    pub(crate) public_key: Vec<u8>,
    pub(crate) sha1: [u8; 20],
    pub(crate) sha256: [u8; 32],
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
}

impl Certificate {
    /// A certificate in PEM; keys and further certificates beside it are left alone.
    ///
    /// # Errors
    /// When there is no certificate in it, or its key is not an RSA key, the only kind that Entra
    /// takes for client assertions.
    pub fn pem(pem: &str) -> Result<Self, BadCredential> {
        let mut rest = pem.as_bytes();
        while let Ok((after, block)) = parse_x509_pem(rest) {
            if block.label == "CERTIFICATE" {
                return Self::der(&block.contents);
            }
            rest = after;
        }
        Err(BadCredential::new("there is no -----BEGIN CERTIFICATE----- block in it"))
    }

    /// A certificate in DER.
    ///
    /// # Errors
    /// As [`Certificate::pem`].
    pub fn der(der: &[u8]) -> Result<Self, BadCredential> {
        let (_, parsed) = parse_x509_certificate(der)
            .map_err(|error| BadCredential::new(format!("it is not a certificate: {error}")))?;
        let key = parsed.public_key();
        let algorithm = key.algorithm.algorithm.to_id_string();
        if algorithm != RSA {
            return Err(BadCredential::new(format!(
                "its key is of the algorithm {algorithm}; Entra takes RSA keys only"
            )));
        }
        let mut thumbprint = [0; 20];
        thumbprint.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, der).as_ref());
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        Ok(Self {
            public_key: key.subject_public_key.data.to_vec(),
            sha1: thumbprint,
            sha256,
            valid_from: time(parsed.validity().not_before.timestamp()),
            valid_until: time(parsed.validity().not_after.timestamp()),
        })
    }

    /// The SHA-1 thumbprint in upper case hexadecimal: its name in portals and in the admin API.
    pub fn thumbprint(&self) -> String {
        hex(&self.sha1).to_ascii_uppercase()
    }

    /// Whether this is the one with a thumbprint; nothing names all.
    pub(crate) fn is(&self, thumbprint: Option<&str>) -> bool {
        thumbprint.is_none_or(|wanted| self.thumbprint().eq_ignore_ascii_case(wanted))
    }

    /// Whether a JWT header names this certificate; both forms must fit where both stand.
    /// Microsoft's own libraries pad them (MSAL for Python does), against RFC 7515.
    pub(crate) fn is_named(&self, x5t: Option<&str>, x5t_s256: Option<&str>) -> bool {
        let fits = |header: Option<&str>, digest: &[u8]| {
            header
                .is_none_or(|header| header.trim_end_matches('=') == URL_SAFE_NO_PAD.encode(digest))
        };
        fits(x5t, &self.sha1) && fits(x5t_s256, &self.sha256)
    }
}

/// PEM, or the base64 of DER as portals export it.
impl TryFrom<String> for Certificate {
    type Error = BadCredential;

    fn try_from(text: String) -> Result<Self, BadCredential> {
        if text.contains("-----BEGIN") {
            return Self::pem(&text);
        }
        let bare: String = text.split_ascii_whitespace().collect();
        let der = STANDARD.decode(bare).map_err(|_| {
            BadCredential::new("a certificate is PEM, or the base64 of DER; this is neither")
        })?;
        Self::der(&der)
    }
}
