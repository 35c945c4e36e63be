//! Every way an app proves who it is, against a login host that verifies it; and that nothing secret is
//! said about it, however much is logged.

use std::path::Path;

use mailbridge_sandbox::{
    ALL_ROLES, App, Budgets, Certificate, DEMO_CLIENT_ID, DEMO_DOMAIN, DEMO_TENANT_ID,
    FederatedCredential, IssuerKeys, ManagedIdentity, Running, Sandbox, Tenant,
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::{
    bus::On,
    rig::{Identity, LOAD, Plan, Rig, SOON},
};

const APP_LINES: &str =
    "    tenant: contoso.example\n    client_id: 5a0d0002-5a0d-4000-8000-0000000000a9";
const SUBJECT: &str = "system:serviceaccount:mail:mailbridge";
const ISSUER: &str = "https://issuer.example/";
const AUDIENCE: &str = "api://AzureADTokenExchange";

type Made = (String, Vec<(&'static str, String)>);

fn tenant(app: App) -> Tenant {
    Tenant::new(DEMO_TENANT_ID).domain(DEMO_DOMAIN).any_mailbox_of(DEMO_DOMAIN).app(app)
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key")
}

/// Registers a certificate, and leaves it with its key in the folder.
fn certificate(running: &Running, folder: &Path) -> String {
    let key = key();
    let params = CertificateParams::new(vec!["mailbridge".to_owned()]).expect("a name");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let registered = Certificate::pem(&pem).expect("a certificate");
    running.handle().add_certificate(DEMO_CLIENT_ID, &registered).expect("the app");
    std::fs::write(folder.join("app.pem"), pem).expect("a file");
    std::fs::write(folder.join("app.key"), key.serialize_pem()).expect("a file");
    "certificate: { file: app.pem, key_file: app.key".to_owned()
}

fn of_certificate(running: &Running, folder: &Path) -> Made {
    let kind = certificate(running, folder);
    (format!("{APP_LINES}\n    credential: {{ {kind} }} }}"), Vec::new())
}

fn of_certificate_in_the_older_form(running: &Running, folder: &Path) -> Made {
    let kind = certificate(running, folder);
    (format!("{APP_LINES}\n    credential: {{ {kind}, algorithm: rs256 }} }}"), Vec::new())
}

/// A token as Kubernetes writes it, and the environment that the webhook injects.
fn of_workload(running: &Running, folder: &Path) -> Made {
    let key = key();
    let keys = IssuerKeys::pem(&key.public_key_pem()).expect("a public key");
    let trusted = FederatedCredential::new(ISSUER, SUBJECT, keys);
    running.handle().add_federated(DEMO_CLIENT_ID, &trusted).expect("the app");
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 3600,
    });
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    let signer = jsonwebtoken::EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes());
    let token = jsonwebtoken::encode(&header, &claims, &signer.expect("a key")).expect("a token");
    let file = folder.join("federated-token");
    std::fs::write(&file, token).expect("a file");
    let environment = vec![
        ("AZURE_TENANT_ID", DEMO_TENANT_ID.to_owned()),
        ("AZURE_CLIENT_ID", DEMO_CLIENT_ID.to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()),
        ("AZURE_AUTHORITY_HOST", format!("{}/", running.base_url())),
    ];
    ("    credential: { federated_token: {} }".to_owned(), environment)
}

fn of_machine(running: &Running, _: &Path) -> Made {
    let environment = vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", running.base_url())];
    ("    credential: { managed_identity: {} }".to_owned(), environment)
}

fn of_app_service(running: &Running, _: &Path) -> Made {
    let environment = vec![
        ("IDENTITY_ENDPOINT", format!("{}/msi/token", running.base_url())),
        ("IDENTITY_HEADER", "header-that-is-secret".to_owned()),
    ];
    ("    credential: { managed_identity: {} }".to_owned(), environment)
}

/// Sends a hundred mails as this identity; gives everything that the program said, at trace.
async fn sends(identity: Identity) {
    let app = App::new(DEMO_CLIENT_ID).roles(ALL_ROLES);
    let machine = ManagedIdentity::system_assigned("5a0d0003-5a0d-4000-8000-0000000000b0");
    let sandbox = Sandbox::builder()
        .tenant(tenant(app).identity(machine.roles(ALL_ROLES)))
        .app_service("/msi/token", "header-that-is-secret")
        .refuse_replays(true)
        .budgets(Budgets::graph());
    let mut rig = Rig::new(On::Nats, Plan { identity, sandbox, ..Plan::default() }).await;
    rig.launch = rig.launch.env("MAILBRIDGE_LOG__LEVEL", "trace");
    rig.publish_load(0, 100, 10).await;
    let mut program = rig.start();
    rig.drained(LOAD).await;
    rig.assert_exactly_once(100).await;
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    let folder = rig.launch.folder();
    let mut secrets = vec!["header-that-is-secret".to_owned(), "someone-".to_owned()];
    for name in ["app.key", "federated-token"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        secrets.extend(text.lines().filter(|line| line.len() > 40).map(str::to_owned));
    }
    assert!(program.lines().len() > 100, "trace says much");
    for line in program.lines() {
        let told = secrets.iter().find(|secret| line.text.contains(secret.as_str()));
        assert!(told.is_none(), "{}", line.text);
        // the first characters of every token and assertion
        assert!(!line.text.contains("eyJ"), "{}", line.text);
        assert!(!line.text.contains("All work and no play"), "{}", line.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_sends() {
    sends(of_certificate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_in_the_older_form_sends() {
    sends(of_certificate_in_the_older_form).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_identity_sends() {
    sends(of_workload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machines_identity_sends() {
    sends(of_machine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_of_app_service_sends() {
    sends(of_app_service).await;
}
