//! A certificate: each token request carries an assertion of our own, signed with its key
//! (learn.microsoft.com, entra certificate-credentials).
//!
//! The files are read and checked for each assertion: a token request is rare, and a certificate that
//! was renewed is then simply there.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{rsa::KeyPair as RsaKeyPair, signature::KeyPair as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm as Jws, EncodingKey, Header};
use mailbridge_core::{Code, Error, Result, Secret};
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Credential;
use crate::config::{Algorithm, Certificate as Source};

/// What the form says that an assertion is (RFC 7523).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good for, as Microsoft recommends.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(10);

pub(super) struct Certificate {
    pub(super) source: Source,
    /// The token endpoint, for which alone the assertion is.
    pub(super) audience: String,
    pub(super) client_id: String,
}

#[async_trait]
impl Credential for Certificate {
    async fn fields(&self) -> Result<Vec<(&'static str, Secret)>> {
        let loaded = load(&self.source).await?;
        let assertion = self.assertion(&loaded, Timestamp::now())?;
        Ok(vec![
            ("client_assertion_type", Secret::new(ASSERTION_TYPE)),
            ("client_assertion", assertion),
        ])
    }
}

impl Certificate {
    fn assertion(&self, loaded: &Loaded, now: Timestamp) -> Result<Secret> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            iss: &'a str,
            sub: &'a str,
            jti: Uuid,
            nbf: i64,
            iat: i64,
            exp: i64,
        }
        let now = now.as_second();
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: Uuid::new_v4(),
            nbf: now,
            iat: now,
            exp: now.saturating_add_unsigned(ASSERTION_LIFETIME.as_secs()),
        };
        let header = match self.source.algorithm {
            Algorithm::Ps256 => {
                let x5t_s256 = Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&loaded.certificate)));
                Header { x5t_s256, ..Header::new(Jws::PS256) }
            }
            Algorithm::Rs256 => {
                let x5t = Some(URL_SAFE_NO_PAD.encode(Sha1::digest(&loaded.certificate)));
                Header { x5t, ..Header::new(Jws::RS256) }
            }
        };
        let key = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", &loaded.key).as_bytes());
        let signed = key.and_then(|key| jsonwebtoken::encode(&header, &claims, &key));
        signed
            .map(Secret::new)
            .map_err(|_| unreadable("no assertion can be signed with this key", &self.source.file))
    }
}

/// A certificate and its key, read and found to belong together.
pub(super) struct Loaded {
    /// DER.
    certificate: Vec<u8>,
    /// PKCS #8, DER.
    key: Vec<u8>,
    /// The end of its validity.
    pub(super) ends: Timestamp,
}

/// Reads the files.
pub(super) async fn load(source: &Source) -> Result<Loaded> {
    let bytes = read(&source.file).await?;
    let (certificate, key) = if has_pem(&bytes) {
        let key = match &source.key_file {
            Some(path) => (read(path).await?, path.as_path()),
            None => (bytes.clone(), source.file.as_path()),
        };
        (pem_certificate(&bytes, &key.0, &source.file)?, pem_key(&key.0, key.1)?)
    } else {
        let password = match &source.password {
            Some(password) => password.read().await?,
            None => Secret::new(""),
        };
        pfx(&bytes, &password, source)?
    };
    check(certificate, key, source, Timestamp::now())
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|cause| unreadable("the file cannot be read", path).with("cause", cause.kind()))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(unreadable("the file is empty", path));
    }
    Ok(bytes)
}

fn unreadable(detail: &'static str, path: &Path) -> Error {
    Error::blocked(Code::CredentialUnreadable, detail).with("file", path.display())
}

fn has_pem(bytes: &[u8]) -> bool {
    let mark = b"-----BEGIN ";
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// Of several certificates in a file, as with a chain, the one that the key belongs to.
fn pem_certificate(bytes: &[u8], key: &[u8], path: &Path) -> Result<Vec<u8>> {
    let none = || unreadable("the file holds no certificate: -----BEGIN CERTIFICATE-----", path);
    let all: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable("the file is not PEM, or is cut off", path))?;
    let own = PrivateKeyDer::from_pem_slice(key).ok();
    let own = own.and_then(|key| public_key(key.secret_der()));
    let fits = |der: &&CertificateDer<'_>| own.is_some() && own == certified_key(der.as_ref());
    let found = all.iter().find(fits).or(all.first());
    Ok(found.ok_or_else(none)?.to_vec())
}

fn pem_key(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("ENCRYPTED") {
        let detail = "the private key is encrypted: give it without a password in a file that only \
                      mailbridge reads, or use a PFX file with `password`";
        return Err(unreadable(detail, path));
    }
    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        unreadable("the file holds no private key: -----BEGIN PRIVATE KEY-----", path)
    })?;
    let key = match &key {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(unreadable("the private key is no RSA key, which entra wants", path)),
    };
    let key = key.map_err(|_| unreadable(NO_RSA, path))?;
    pkcs8(&key, path)
}

const NO_RSA: &str = "the private key is no RSA key of 2048 bits or more, which entra wants";

fn pkcs8(key: &RsaKeyPair, path: &Path) -> Result<Vec<u8>> {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let der: Result<Pkcs8V1Der<'_>, _> = key.as_der();
    der.map(|der| der.as_ref().to_vec()).map_err(|_| unreadable(NO_RSA, path))
}

fn pfx(bytes: &[u8], password: &Secret, source: &Source) -> Result<(Vec<u8>, Vec<u8>)> {
    let path = &source.file;
    let store = KeyStore::from_pkcs12(bytes, password.expose(), Pkcs12ImportPolicy::Strict);
    let store = store.map_err(|_| {
        let detail = if source.password.is_some() {
            "the file is neither PEM nor a PFX file that opens with this password"
        } else {
            "the file is neither PEM nor a PFX file without a password; give `password`"
        };
        unreadable(detail, path)
    })?;
    let Some((_, chain)) = store.private_key_chain() else {
        return Err(unreadable("the PFX file holds no private key with its certificate", path));
    };
    let certificate = chain.certs().first();
    let certificate = certificate
        .ok_or_else(|| unreadable("the PFX file holds no certificate for its key", path))?;
    let key = RsaKeyPair::from_pkcs8(chain.key().as_der()).map_err(|_| unreadable(NO_RSA, path))?;
    Ok((certificate.as_der().to_vec(), pkcs8(&key, path)?))
}

/// The public key of a private one, in whichever DER form, as certificates hold it.
fn public_key(private: &[u8]) -> Option<Vec<u8>> {
    let key = RsaKeyPair::from_pkcs8(private).or_else(|_| RsaKeyPair::from_der(private)).ok()?;
    Some(key.public_key().as_ref().to_vec())
}

fn certified_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

fn check(certificate: Vec<u8>, key: Vec<u8>, source: &Source, now: Timestamp) -> Result<Loaded> {
    let path = &source.file;
    let (_, parsed) = X509Certificate::from_der(&certificate)
        .map_err(|_| unreadable("the file holds no certificate that can be read", path))?;
    if public_key(&key) != certified_key(&certificate) {
        let detail = "the private key does not belong to the certificate";
        let error = Error::blocked(Code::CredentialKeyMismatch, detail);
        let error = error.with("file", path.display());
        return Err(match &source.key_file {
            Some(key) => error.with("key_file", key.display()),
            None => error,
        });
    }
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let begins = time(parsed.validity().not_before.timestamp());
    let ends = time(parsed.validity().not_after.timestamp());
    let wrong = |detail| Error::blocked(Code::CredentialCertificateExpired, detail);
    if now >= ends {
        let error = wrong("the certificate has expired");
        return Err(error.with("file", path.display()).with("ended", ends));
    }
    if now < begins {
        let error = wrong("the certificate is not valid yet; is this machine's clock right?");
        return Err(error.with("file", path.display()).with("begins", begins));
    }
    Ok(Loaded { certificate, key, ends })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
