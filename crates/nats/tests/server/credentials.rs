//! Each way to prove who we are, with the right secret and a wrong one.

use mailbridge_core::Code;
use mailbridge_testkit::server::NatsServer;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::rig::{lets_in, nats, write};

/// Let in with the one, refused with the other, and the refusal shows no secret.
async fn decides(server: &NatsServer, right: Value, wrong: Value, secret: &str) {
    lets_in(&nats(server.url(), json!({ "auth": right }))).await.unwrap();
    for refused in [json!({ "auth": wrong }), json!({})] {
        let error = lets_in(&nats(server.url(), refused)).await.unwrap_err();
        assert_eq!(error.code(), Code::BusUnauthorized, "{error:?}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}

#[tokio::test]
async fn a_user_with_a_password() {
    let config = "authorization { user: bridge, password: s3cret }";
    let server = NatsServer::with_config(config).await.unwrap();
    let right = json!({ "user": "bridge", "password": "s3cret" });
    let wrong = json!({ "user": "bridge", "password": "s3cret-not" });
    decides(&server, right, wrong, "s3cret").await;
}

#[tokio::test]
async fn a_token() {
    let server = NatsServer::with_config("authorization { token: t0ken }").await.unwrap();
    decides(&server, json!({ "token": "t0ken" }), json!({ "token": "t0ken-not" }), "t0ken").await;
}

#[tokio::test]
async fn an_nkey() {
    let (known, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let config = format!("authorization {{ users: [{{ nkey: {} }}] }}", known.public_key());
    let server = NatsServer::with_config(&config).await.unwrap();
    let secret = stranger.seed().unwrap();
    let right = json!({ "nkey": known.seed().unwrap() });
    decides(&server, right, json!({ "nkey": secret }), &secret).await;
}

#[tokio::test]
async fn a_creds_file() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::new();
    let server = NatsServer::with_config(&operator.config()).await.unwrap();
    let good = write(folder.path(), "good.creds", &operator.creds());
    let other = write(folder.path(), "other.creds", &Operator::new().creds());
    let right = json!({ "credentials": { "file": good } });
    decides(&server, right, json!({ "credentials": { "file": other } }), "SEED").await;
}

#[tokio::test]
async fn a_secret_that_is_put_right_in_its_file_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = "authorization { user: bridge, password: new }";
    let server = NatsServer::with_config(config).await.unwrap();
    let file = write(folder.path(), "password", "old\n");
    let auth = json!({ "user": "bridge", "password": { "file": file } });
    let nats = nats(server.url(), json!({ "auth": auth }));
    assert_eq!(lets_in(&nats).await.unwrap_err().code(), Code::BusUnauthorized);
    write(folder.path(), "password", "new\n");
    lets_in(&nats).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_is_missing_is_told_as_such() {
    let server = NatsServer::start().await.unwrap();
    let auth = json!({ "token": { "file": "/nowhere/token" } });
    let error = lets_in(&nats(server.url(), json!({ "auth": auth }))).await.unwrap_err();
    assert_eq!(
        (error.code(), error.field("file")),
        (Code::CredentialUnreadable, Some("/nowhere/token"),)
    );
}

/// The keys and claims of a server that trusts one operator with one account.
struct Operator {
    itself: KeyPair,
    account: KeyPair,
    system: KeyPair,
    user: KeyPair,
}

impl Operator {
    fn new() -> Self {
        let (itself, account) = (KeyPair::new_operator(), KeyPair::new_account());
        Self { itself, account, system: KeyPair::new_account(), user: KeyPair::new_user() }
    }

    /// A JWT as NATS has them (github.com/nats-io/jwt, version 2).
    fn claims(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
        let claims = json!({
            "jti": subject.public_key(), "iat": 1_700_000_000, "name": "test",
            "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
        });
        let head = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let signed = format!("{head}.{}", base64(claims.to_string().as_bytes()));
        let signature = issuer.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64(&signature))
    }

    fn config(&self) -> String {
        let operator = json!({ "type": "operator", "version": 2 });
        let operator = Self::claims(&self.itself, &self.itself, &operator);
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
            "leaf": -1, "wildcards": true,
        });
        let mut limits = unlimited.clone();
        for kept in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[kept] = json!(-1);
        }
        let account = |account: &KeyPair, limits: &Value| {
            let claims = json!({ "type": "account", "version": 2, "limits": limits });
            let name = account.public_key();
            format!("{name}: {}", Self::claims(&self.itself, account, &claims))
        };
        format!(
            "operator: {operator}\nresolver: MEMORY\nsystem_account: {}\n\
             resolver_preload: {{\n{}\n{}\n}}\n",
            self.system.public_key(),
            account(&self.system, &unlimited),
            account(&self.account, &limits),
        )
    }

    fn creds(&self) -> String {
        let user = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let user = Self::claims(&self.account, &self.user, &user);
        format!(
            "-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            self.user.seed().unwrap()
        )
    }
}

/// Without padding, in the alphabet of URLs.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=chunk.len() {
            let index = bits >> (18 - 6 * place) & 0x3f;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}
