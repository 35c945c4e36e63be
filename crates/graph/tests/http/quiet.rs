//! Nothing secret reaches a log, at trace level, of this program or of any library, whatever the
//! credential and whatever goes wrong.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mailbridge_core::{Doubt, Guarantee::AtLeastOnce};
use mailbridge_graph::Options;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use reqwest::Url;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt as _};

use crate::{
    scene,
    stub::{Asked, Reply, Stub},
};

const MAIL: &str = r#"{"id":"1","to":"hush-to@x.org","subject":"hush-subject","text":"hush-text"}"#;
const CLAIMS: &str = r#"{"access_token":{"nbf":{"value":"hush-claims"}}}"#;

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<u8>>>);

impl io::Write for Book {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Book {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Book {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Gives a token, but after it has refused; challenges the first one, then takes the mail.
async fn stub() -> Stub {
    let requests = Mutex::new(0);
    Stub::start(move |asked| {
        let mut number = requests.lock().unwrap();
        *number += 1;
        let claims = URL_SAFE_NO_PAD.encode(CLAIMS);
        let challenge = format!(r#"Bearer error="insufficient_claims", claims="{claims}""#);
        let token = json!({ "access_token": format!("hush-token-{number}"), "expires_in": 3600 });
        match (*number, asked.target.starts_with("/v1.0/")) {
            (1, _) => Reply::json(
                400,
                r#"{"error":"invalid_client","error_codes":[7000215],
                    "error_description":"AADSTS7000215: hush-description"}"#,
            ),
            (_, false) => Reply::json(200, token.to_string()),
            (3, true) => {
                Reply::error(401, "InvalidAuthenticationToken").with("www-authenticate", challenge)
            }
            (_, true) => Reply::status(202),
        }
    })
    .await
}

/// The secrets that were sent: what the form proves, claims, tokens, the mail.
fn sent_secrets(asked: &[Asked]) -> Vec<String> {
    let mut secrets = Vec::new();
    for asked in asked {
        let form = Url::parse(&format!("http://x/?{}", asked.body)).unwrap();
        let proofs = ["client_secret", "client_assertion", "claims"];
        let proof = form.query_pairs().filter(|(name, _)| proofs.contains(&&**name));
        secrets.extend(proof.map(|(_, value)| value.into_owned()));
        let token = asked.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        secrets.extend(token.map(str::to_owned));
    }
    secrets
}

async fn run(credential: Value) -> (String, Vec<Asked>) {
    let book = Book::default();
    // What a place in the code hears first is remembered for all threads: a test beside this one,
    // which nobody listens to, would silence it. So there is always somebody.
    tracing_subscriber::registry().try_init().ok();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    // for this thread, which runs all of the test; also what libraries log by `log`
    let _installed = subscriber.with_writer(book.clone()).finish().set_default();
    let stub = stub().await;
    let keys = json!({ "credential": credential, "cae": true });
    let graph = scene::graph_with(&stub, Options::default(), &keys);
    let (mailbox, within) = ("noreply@contoso.com", Duration::from_secs(20));
    let send = || scene::perform(&graph, mailbox, MAIL, AtLeastOnce, Doubt::None, within);
    let refused = send().await.unwrap_err();
    assert!(!refused.to_string().contains("hush"), "{refused}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    send().await.unwrap();
    (book.text(), stub.asked())
}

fn pem() -> String {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["mailbridge".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    format!("{}{certificate}", key.serialize_pem())
}

#[tokio::test]
async fn no_credential_token_claim_or_mail_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let federated = URL_SAFE_NO_PAD.encode(r#"{"iss":"x","sub":"hush"}"#);
    let credentials = [
        json!({ "client_secret": "hush-secret" }),
        json!({ "certificate": { "file": file("app.pem", pem()) } }),
        json!({ "federated_token": { "file": file("token", format!("e30.{federated}.aHVzaA")) } }),
    ];
    for credential in credentials {
        let (told, asked) = run(credential.clone()).await;
        // it does listen: to mailbridge, and to what is below it
        for heard in ["got no token", "got a token", "graph request", "hyper", "reqwest"] {
            assert!(told.contains(heard), "{heard} was not logged");
        }
        let secrets = sent_secrets(&asked);
        // refused, then a token, then another for the challenge, with two requests to Graph
        assert_eq!(secrets.len(), 3 * 2 + 2, "{credential}");
        for secret in secrets {
            assert!(secret.len() > 5 && !told.contains(&secret), "{credential}");
        }
        assert!(!told.contains("hush"), "{credential}: {told}");
    }
}
