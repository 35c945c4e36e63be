//! Each kind of credential against a token endpoint that takes nothing on trust, alone and side by
//! side, and one app in two tenants.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use mailbridge_core::{Code, Doubt, Error, Guarantee::AtLeastOnce, Mail, Scope, Verdict};
use mailbridge_graph::{Connection, Graph, Options, Tenants};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    scene::{MAILBOX, PLAIN, perform, token},
    stub::{Asked, Reply, Stub},
};

const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_PATH: &str = "/contoso.com/oauth2/v2.0/token";
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";

/// A certificate in a file with its key, and what the login service was given of it.
struct Registered {
    file: PathBuf,
    public: String,
    certificate: Vec<u8>,
}

fn register(folder: &Path, name: &str) -> Registered {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["mailbridge".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
    Registered { file, public: key.public_key_pem(), certificate: certificate.der().to_vec() }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    jti: String,
    nbf: u64,
    iat: u64,
    exp: u64,
}

/// What a form holds.
fn form(asked: &Asked) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://x/?{}", asked.body)).unwrap();
    url.query_pairs().into_owned().collect()
}

/// A token endpoint that knows one certificate.
struct Strict {
    registered: Registered,
    algorithm: Algorithm,
    seen: Mutex<HashSet<String>>,
}

impl Strict {
    fn new(registered: Registered, algorithm: Algorithm) -> Self {
        Self { registered, algorithm, seen: Mutex::default() }
    }

    /// Why a token request is refused, if it is.
    fn check(&self, asked: &Asked) -> Result<(), String> {
        let form = form(asked);
        let is = |name: &str, value: &str| form.get(name).is_some_and(|it| it == value);
        let right = asked.target == TOKEN_PATH
            && is("grant_type", "client_credentials")
            && is("client_id", CLIENT)
            && is("client_assertion_type", ASSERTION)
            && !form.contains_key("client_secret");
        if !right {
            return Err(format!("the form: {:?}", form.keys()));
        }
        let assertion = &form["client_assertion"];
        let header = decode_header(assertion).map_err(|error| error.to_string())?;
        let s256 = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.registered.certificate));
        let sha1 = URL_SAFE_NO_PAD.encode(Sha1::digest(&self.registered.certificate));
        let thumbprints = match self.algorithm {
            Algorithm::PS256 => (Some(s256), None),
            _ => (None, Some(sha1)),
        };
        if (header.x5t_s256, header.x5t) != thumbprints {
            return Err("the thumbprint".to_owned());
        }
        let mut rules = Validation::new(self.algorithm);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_audience(&[format!("http://{}{TOKEN_PATH}", asked.header("host").unwrap())]);
        rules.set_required_spec_claims(&["aud", "exp", "nbf", "iss", "sub"]);
        let key = DecodingKey::from_rsa_pem(self.registered.public.as_bytes()).unwrap();
        let claims = decode::<Claims>(assertion, &key, &rules).map_err(|it| it.to_string())?.claims;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if (claims.iss.as_str(), claims.sub.as_str()) != (CLIENT, CLIENT) {
            return Err("who it is".to_owned());
        }
        if claims.exp - claims.nbf > 600 || claims.iat > now || claims.iat < now - 60 {
            return Err("its time".to_owned());
        }
        let new = self.seen.lock().unwrap().insert(claims.jti);
        if new { Ok(()) } else { Err("the assertion was used before".to_owned()) }
    }

    fn answer(&self, asked: &Asked) -> Reply {
        match self.check(asked) {
            Ok(()) => token("t", &[]),
            Err(why) => refusal(700_027, &why),
        }
    }
}

fn refusal(number: u32, why: &str) -> Reply {
    let body = json!({
        "error": "invalid_client", "error_codes": [number],
        "error_description": format!("AADSTS{number}: {why}"),
    });
    Reply::json(401, body.to_string())
}

/// A stub whose Graph takes all mail.
async fn stub(login: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(
        move |asked| {
            if asked.target.starts_with("/v1.0/") { Reply::status(202) } else { login(asked) }
        },
    )
    .await
}

fn connection(stub: &Stub, credential: &Value) -> Connection {
    let machine = credential.get("managed_identity").is_some();
    let mut keys = json!({
        "credential": credential,
        "cloud": { "login": stub.url(), "graph": stub.url() },
    });
    if !machine {
        keys["tenant"] = "contoso.com".into();
        keys["client_id"] = CLIENT.into();
    }
    serde_json::from_value(keys).unwrap()
}

fn connect(stub: &Stub, credential: &Value) -> Graph {
    let resolved = connection(stub, credential).resolve(None).unwrap();
    Graph::new("contoso", resolved, Options::default()).unwrap()
}

async fn send(mail: &Graph, mailbox: &str) -> Result<(), Error> {
    let within = Duration::from_secs(20);
    perform(mail, mailbox, PLAIN, AtLeastOnce, Doubt::None, within).await.map(drop)
}

#[tokio::test]
async fn five_hundred_from_cold_sign_one_assertion_and_the_next_is_another() {
    let folder = tempfile::tempdir().unwrap();
    for (name, algorithm) in [("ps256", Algorithm::PS256), ("rs256", Algorithm::RS256)] {
        let registered = register(folder.path(), name);
        let credential = json!({ "certificate": { "file": registered.file, "algorithm": name } });
        let strict = Arc::new(Strict::new(registered, algorithm));
        let checked = Arc::clone(&strict);
        let stub = stub(move |asked| checked.answer(asked)).await;
        let graph = Arc::new(connect(&stub, &credential));
        let mut callers = JoinSet::new();
        for number in 0..500 {
            let graph = Arc::clone(&graph);
            callers.spawn(async move { send(&graph, &format!("{number}@x.org")).await });
        }
        for sent in callers.join_all().await {
            sent.unwrap();
        }
        assert_eq!(stub.tokens_asked(), 1, "{name}");
        // the same certificate in another connection: the endpoint would refuse an old assertion
        connect(&stub, &credential).ready().await.unwrap();
        assert_eq!(strict.seen.lock().unwrap().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_the_app_does_not_have_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let strict = Strict::new(register(folder.path(), "registered"), Algorithm::PS256);
    let stub = stub(move |asked| strict.answer(asked)).await;
    let other = register(folder.path(), "other");
    let graph = connect(&stub, &json!({ "certificate": { "file": other.file } }));
    let error = send(&graph, MAILBOX).await.unwrap_err();
    assert_eq!(error.code(), Code::CredentialCertificateUnknown);
    assert_eq!(error.field("aadsts"), Some("AADSTS700027"));
    assert!(stub.graph_asked().is_empty());
}

#[tokio::test]
async fn a_federated_token_is_passed_on_as_the_file_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let stub = stub(|asked| {
        let form = form(asked);
        let fits = form["client_assertion_type"] == ASSERTION && form["client_id"] == CLIENT;
        match form["client_assertion"].as_str() {
            "head.new.signature" if fits => token("t", &[]),
            _ => refusal(700_211, "no matching federated identity record found"),
        }
    })
    .await;
    let credential = json!({ "federated_token": { "file": file } });
    std::fs::write(&file, "head.old.signature").unwrap();
    let error = connect(&stub, &credential).ready().await.unwrap_err();
    assert_eq!(error.code(), Code::CredentialFederationUnknown);
    std::fs::write(&file, "head.new.signature\n").unwrap();
    send(&connect(&stub, &credential), MAILBOX).await.unwrap();
}

#[tokio::test]
async fn of_two_credentials_the_second_serves_when_the_first_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let registered = register(folder.path(), "new");
    let certificate = json!({ "certificate": { "file": registered.file } });
    let strict = Strict::new(registered, Algorithm::PS256);
    let stub = stub(move |asked| {
        if form(asked).contains_key("client_secret") {
            refusal(7_000_222, "the secret 'old one' has expired")
        } else {
            strict.answer(asked)
        }
    })
    .await;
    let graph = connect(&stub, &json!([{ "client_secret": "old one" }, certificate]));
    for number in 0..20 {
        send(&graph, &format!("{number}@x.org")).await.unwrap();
    }
    assert_eq!(stub.tokens_asked(), 2, "one for each, and one token for all");
    assert_eq!(stub.graph_asked().len(), 20);
}

#[tokio::test]
async fn a_managed_identity_is_asked_in_the_platforms_own_way() {
    let stub = stub(|asked| {
        let url = Url::parse(&format!("http://x{}", asked.target)).unwrap();
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        let is = |name: &str, value: &str| query.get(name).is_some_and(|it| it == value);
        let resource = format!("http://{}/", asked.header("host").unwrap());
        let fits = asked.method == "GET"
            && url.path() == IMDS_PATH
            && asked.header("metadata") == Some("true")
            && is("api-version", "2018-02-01")
            && is("resource", &resource)
            && is("client_id", CLIENT)
            && query.len() == 3;
        if !fits {
            return Reply::json(400, r#"{"error":"invalid_request"}"#);
        }
        let body = r#"{"access_token":"t","refresh_token":"","expires_in":"3599",
            "expires_on":"1506484173","not_before":"1506480273","token_type":"Bearer"}"#;
        Reply::json(200, body)
    })
    .await;
    let identity = json!({ "endpoint": stub.url(), "client_id": CLIENT });
    let graph = connect(&stub, &json!({ "managed_identity": identity }));
    send(&graph, MAILBOX).await.unwrap();
    send(&graph, MAILBOX).await.unwrap();
    assert_eq!(stub.asked().len(), 3, "one token for both");

    let unknown = json!({ "managed_identity": { "endpoint": stub.url() } });
    let error = connect(&stub, &unknown).ready().await.unwrap_err();
    assert_eq!(error.code(), Code::CredentialIdentityMissing);
}

#[tokio::test]
async fn nobody_leads_a_token_request_elsewhere() {
    let elsewhere = stub(|_| token("t", &[])).await;
    let folder = tempfile::tempdir().unwrap();
    for status in [301, 302, 307, 308] {
        let to = format!("{}{IMDS_PATH}", elsewhere.url());
        let stub = stub(move |_| Reply::status(status).with("location", to.clone())).await;
        for (name, credential) in kinds(&stub, &folder) {
            let error = connect(&stub, &credential).ready().await.unwrap_err();
            assert!(matches!(error.verdict(), Verdict::Blocked { .. }), "{name}: {error:?}");
        }
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn every_kind_keeps_the_wait_that_the_login_service_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let stub = stub(|_| Reply::json(429, "{}").with("retry-after", "60")).await;
    for (name, credential) in kinds(&stub, &folder) {
        let before = stub.asked().len();
        let graph = connect(&stub, &credential);
        for _ in 0..3 {
            let error = graph.ready().await.unwrap_err();
            assert_eq!(error.code(), Code::LoginUnavailable, "{name}");
            let Verdict::Blocked { scope: Scope::Connection, after: Some(after) } = error.verdict()
            else {
                panic!("{name}: {error:?}")
            };
            assert!(after > Duration::from_secs(55), "{name}: {after:?}");
        }
        assert_eq!(stub.asked().len() - before, 1, "{name}");
    }
}

/// A credential of each kind.
fn kinds(stub: &Stub, folder: &TempDir) -> [(&'static str, Value); 4] {
    let registered = register(folder.path(), "certificate");
    let token = folder.path().join("token");
    std::fs::write(&token, "head.body.signature").unwrap();
    [
        ("client_secret", json!({ "client_secret": "open sesame" })),
        ("certificate", json!({ "certificate": { "file": registered.file } })),
        ("federated_token", json!({ "federated_token": { "file": token } })),
        ("managed_identity", json!({ "managed_identity": { "endpoint": stub.url() } })),
    ]
}

#[tokio::test]
async fn one_app_in_two_tenants_has_a_token_of_each() {
    let stub = Stub::start(|asked| {
        let bearer = asked.header("authorization").unwrap_or_default();
        match asked.target.as_str() {
            "/contoso.com/oauth2/v2.0/token" => token("of-contoso", &[]),
            "/fabrikam.com/oauth2/v2.0/token" => refusal(7_000_229, "no service principal"),
            "/v1.0/users/it@contoso.com/sendMail" if bearer == "Bearer of-contoso" => {
                Reply::status(202)
            }
            _ => Reply::error(403, "ErrorAccessDenied"),
        }
    })
    .await;
    let connection: Connection = serde_json::from_value(json!({
        "tenants": { "contoso.com": ["*@contoso.com"], "fabrikam.com": ["*@fabrikam.com"] },
        "client_id": CLIENT,
        "credential": { "client_secret": "open sesame" },
        "cloud": { "login": stub.url(), "graph": stub.url() },
    }))
    .unwrap();
    let tenancies = connection.resolve_all(None).unwrap();
    let mail = Tenants::open("both", tenancies, Options::default()).unwrap();
    let within = Duration::from_secs(20);
    let send = |mailbox| perform(&mail, mailbox, PLAIN, AtLeastOnce, Doubt::None, within);

    let error = send("it@fabrikam.com").await.unwrap_err();
    assert_eq!(error.code(), Code::CredentialAppNotFound);
    assert_eq!(error.field("tenant"), Some("fabrikam.com"));
    assert!(matches!(error.verdict(), Verdict::Blocked { scope: Scope::Mailbox, .. }));
    send("it@contoso.com").await.unwrap();
    let error = send("it@elsewhere.com").await.unwrap_err();
    assert_eq!(error.code(), Code::RequestMailboxNoTenant);
    assert_eq!(stub.graph_asked().len(), 1);
}
