use std::path::PathBuf;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use mailbridge_core::SecretSource;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::Value;
use tempfile::TempDir;

use super::*;

const APP: &str = "11111111-2222-3333-4444-555555555555";
const ENDPOINT: &str = "https://login.example/t/oauth2/v2.0/token";

/// A certificate with its key, as PEM.
struct Made {
    certificate: String,
    key: String,
}

fn make(change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new(vec!["mailbridge".to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap().pem();
    Made { certificate, key: key.serialize_pem() }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// One PEM file with both.
    fn source(&self, made: &Made) -> Source {
        source(self.file("app.pem", format!("{}{}", made.key, made.certificate)))
    }
}

fn source(file: PathBuf) -> Source {
    Source { file, key_file: None, password: None, algorithm: Algorithm::Ps256 }
}

async fn refused(source: &Source) -> String {
    let error = load(source).await.err().expect("a refusal");
    assert!(error.code().as_str().starts_with("credential_"), "{error}");
    assert!(matches!(error.verdict(), mailbridge_core::Verdict::Blocked { .. }));
    let told = error.to_string();
    assert!(!told.contains("hush"), "{told}");
    told
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[tokio::test]
async fn an_assertion_says_who_for_whom_and_until_when_and_its_signature_is_the_keys() {
    let place = Place::new();
    let made = make(|_| ());
    let cases: [(Algorithm, &str, &str, &RsaParameters); 2] = [
        (Algorithm::Ps256, "PS256", "x5t#S256", &RSA_PSS_2048_8192_SHA256),
        (Algorithm::Rs256, "RS256", "x5t", &RSA_PKCS1_2048_8192_SHA256),
    ];
    let mut ids = Vec::new();
    for (algorithm, name, thumbprint, parameters) in cases {
        let source = Source { algorithm, ..place.source(&made) };
        let (audience, client_id) = (ENDPOINT.to_owned(), APP.to_owned());
        let credential = Certificate { source, audience, client_id };
        let fields = credential.fields().await.unwrap();
        assert_eq!(fields[0].0, "client_assertion_type");
        let token = fields[1].1.expose();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let (header, claims) = (part(header), part(claims));
        assert_eq!((&header["alg"], &header["typ"]), (&name.into(), &"JWT".into()));
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let digest = match algorithm {
            Algorithm::Ps256 => Sha256::digest(&der).to_vec(),
            Algorithm::Rs256 => Sha1::digest(&der).to_vec(),
        };
        assert_eq!(header[thumbprint], URL_SAFE_NO_PAD.encode(digest).as_str());
        assert_eq!((&claims["aud"], &claims["iss"]), (&ENDPOINT.into(), &APP.into()));
        assert_eq!((&claims["sub"], &claims["nbf"]), (&APP.into(), &claims["iat"]));
        let (from, until) = (claims["nbf"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert_eq!(until - from, 600);
        assert!((Timestamp::now().as_second() - from).abs() < 60);
        ids.push(claims["jti"].clone());
        let public = certified_key(&der).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(parameters, public).verify(signed.as_bytes(), &signature).unwrap();
    }
    assert_ne!(ids[0], ids[1], "an assertion is used once");
}

#[tokio::test]
async fn pem_in_one_file_or_two_in_any_order_with_a_chain_and_pfx_are_read() {
    let place = Place::new();
    let (made, authority) = (make(|_| ()), make(|_| ()));
    let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
    assert_eq!(load(&place.source(&made)).await.unwrap().certificate, der.as_ref());
    // the chain's first certificate is another's, and the lines end as on Windows
    let chain = format!("{}{}", authority.certificate, made.certificate).replace('\n', "\r\n");
    let two = Source {
        key_file: Some(place.file("app.key", &made.key)),
        ..source(place.file("chain.pem", chain))
    };
    assert_eq!(load(&two).await.unwrap().certificate, der.as_ref());

    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let certificate = p12_keystore::Certificate::from_der(&der).unwrap();
    let key = p12_keystore::PrivateKey::from_der(key.secret_der()).unwrap();
    let chain = p12_keystore::PrivateKeyChain::new(vec![1], key, [certificate]);
    let mut store = KeyStore::new();
    store.add_entry("app", p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
    let pfx = place.file("app.pfx", store.writer("hush").write().unwrap());
    let with = |password: Option<&str>| Source {
        password: password.map(|text| SecretSource::Literal(Secret::new(text))),
        ..source(pfx.clone())
    };
    let loaded = load(&with(Some("hush"))).await.unwrap();
    assert_eq!(loaded.certificate, der.as_ref());
    assert!(refused(&with(Some("wrong"))).await.contains("this password"));
    assert!(refused(&with(None)).await.contains("give `password`"));
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_named() {
    let place = Place::new();
    let (made, other) = (make(|_| ()), make(|_| ()));
    let told = refused(&source(place.0.path().join("none.pem"))).await;
    assert!(told.contains("cannot be read") && told.contains("none.pem"), "{told}");
    let empty = source(place.file("empty.pem", " \n"));
    assert!(refused(&empty).await.contains("is empty"));
    let alone = source(place.file("alone.pem", &made.certificate));
    assert!(refused(&alone).await.contains("holds no private key"));
    let alone = source(place.file("key.pem", &made.key));
    assert!(refused(&alone).await.contains("holds no certificate"));
    let cut = source(place.file("cut.pem", &made.certificate[..200]));
    assert!(refused(&cut).await.contains("cut off"));
    let garbage = source(place.file("garbage.pfx", b"hush \x00\x01"));
    assert!(refused(&garbage).await.contains("neither PEM nor a PFX file"));
    let mixed = source(place.file("mixed.pem", format!("{}{}", made.certificate, other.key)));
    assert!(refused(&mixed).await.contains("does not belong to the certificate"));
    let locked = made.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let locked = source(place.file("locked.pem", format!("{}{locked}", made.certificate)));
    assert!(refused(&locked).await.contains("encrypted"));
    let curve = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
    let pem = params.self_signed(&curve).unwrap().pem() + &curve.serialize_pem();
    assert!(refused(&source(place.file("curve.pem", pem))).await.contains("no RSA key"));
}

#[tokio::test]
async fn a_certificate_outside_its_time_is_named_and_its_end_is_known() {
    let place = Place::new();
    let past = make(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let told = refused(&place.source(&past)).await;
    assert!(told.contains("has expired") && told.contains("2020-01-01"), "{told}");
    let future = make(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    assert!(refused(&place.source(&future)).await.contains("not valid yet"));
    let good = make(|params| params.not_after = rcgen::date_time_ymd(2998, 1, 1));
    let loaded = load(&place.source(&good)).await.unwrap();
    assert_eq!(loaded.ends, "2998-01-01T00:00:00Z".parse().unwrap());
}
