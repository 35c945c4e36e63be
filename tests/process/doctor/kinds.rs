//! Every kind of credential: right, and wrong in every way that the doctor can name.

use std::{fs, path::Path, sync::LazyLock};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mailbridge_graph::doctor::Finding;
use mailbridge_sandbox::{Certificate, DEMO_CLIENT_ID, FederatedCredential, Handle, IssuerKeys};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use serde_json::json;

use super::{
    cases::{warning, wrong},
    world::{Case, Values},
};

const SUBJECT: &str = "system:serviceaccount:mail:mailbridge";
const ISSUER: &str = "https://issuer.example/";

/// Keys take long to make.
static KEY: LazyLock<KeyPair> = LazyLock::new(key);
static OTHER: LazyLock<KeyPair> = LazyLock::new(key);

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key")
}

/// A healthy configuration for each kind.
pub fn healthy() -> Vec<Case> {
    let with = |name, change: fn(&mut Values), files: fn(&Handle, &Path)| {
        let mut case = Case { name, files, ..Case::healthy() };
        change(&mut case.values);
        case
    };
    vec![
        with("a certificate", of_certificate, |handle, folder| {
            register(handle, &put_certificate(folder, &KEY, &KEY, 2099));
        }),
        with("a federated token", of_token, |handle, folder| {
            trust(handle, SUBJECT, &KEY);
            put_token(folder, 3600);
        }),
        with("a managed identity", of_machine, |_, _| {}),
    ]
}

pub fn cases() -> Vec<Case> {
    [certificates(), tokens(), identities(), ends()].into_iter().flatten().collect()
}

fn of_certificate(values: &mut Values) {
    values.credential = "{ certificate: { file: app.pem } }";
}

fn of_token(values: &mut Values) {
    values.credential = "{ federated_token: { file: token } }";
}

fn of_machine(values: &mut Values) {
    (values.tenant, values.client_id) = ("", "");
    values.credential = "{ managed_identity: { endpoint: \"{sandbox}\" } }";
}

/// A certificate of one key, with another or the same key beside it.
fn put_certificate(folder: &Path, certified: &KeyPair, beside: &KeyPair, until: i32) -> String {
    let mut params = CertificateParams::new(vec!["mailbridge".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let pem = params.self_signed(certified).expect("a certificate").pem();
    fs::write(folder.join("app.pem"), beside.serialize_pem() + &pem).expect("a file");
    pem
}

fn register(handle: &Handle, pem: &str) {
    let certificate = Certificate::pem(pem).expect("a certificate");
    handle.add_certificate(DEMO_CLIENT_ID, &certificate).expect("the app is known");
}

fn trust(handle: &Handle, subject: &str, key: &KeyPair) {
    let keys = IssuerKeys::pem(&key.public_key_pem()).expect("a public key");
    let credential = FederatedCredential::new(ISSUER, subject, keys);
    handle.add_federated(DEMO_CLIENT_ID, &credential).expect("the app is known");
}

/// A token of our issuer, good for some seconds more.
fn put_token(folder: &Path, seconds: i64) {
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange",
        "iat": now - 7200, "nbf": now - 7200, "exp": now + seconds,
    });
    let key = EncodingKey::from_rsa_pem(KEY.serialize_pem().as_bytes()).expect("a key");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key);
    fs::write(folder.join("token"), token.expect("a token")).expect("a file");
}

fn certificates() -> Vec<Case> {
    let with = |name, finding, files| Case { files, ..wrong(name, finding, of_certificate) };
    let skewed: fn(&Handle) = |handle| handle.set_login_skew(-3600);
    vec![
        with("a certificate of nobody", Finding::CertificateUnknown, |_, folder| {
            put_certificate(folder, &KEY, &KEY, 2099);
        }),
        with("the key of another certificate", Finding::CertificateMismatch, |handle, folder| {
            register(handle, &put_certificate(folder, &KEY, &OTHER, 2099));
        }),
        with("an expired certificate", Finding::CertificateExpired, |handle, folder| {
            register(handle, &put_certificate(folder, &KEY, &KEY, 2021));
        }),
        with("a file that is no certificate", Finding::CredentialUnreadable, |_, folder| {
            fs::write(folder.join("app.pem"), "hush-nothing").expect("a file");
        }),
        Case {
            act: skewed,
            ..with("a clock an hour off", Finding::ClockWrong, |handle, folder| {
                register(handle, &put_certificate(folder, &KEY, &KEY, 2099));
            })
        },
    ]
}

fn tokens() -> Vec<Case> {
    let with = |name, finding, files| Case { files, ..wrong(name, finding, of_token) };
    vec![
        with("another subject", Finding::FederatedNoMatch, |handle, folder| {
            trust(handle, "system:serviceaccount:mail:another", &KEY);
            put_token(folder, 3600);
        }),
        with("no federated credential", Finding::FederatedNoMatch, |_, folder| {
            put_token(folder, 3600);
        }),
        with("the issuer has other keys", Finding::FederatedRefused, |handle, folder| {
            trust(handle, SUBJECT, &OTHER);
            put_token(folder, 3600);
        }),
        with("a token that has expired", Finding::FederatedRefused, |handle, folder| {
            trust(handle, SUBJECT, &KEY);
            put_token(folder, -3600);
        }),
    ]
}

fn identities() -> Vec<Case> {
    vec![
        wrong("an identity that is not assigned", Finding::IdentityNotAssigned, |values| {
            of_machine(values);
            values.credential = "{ managed_identity: { endpoint: \"{sandbox}\", \
                                 client_id: 5a0d0003-5a0d-4000-8000-0000000000ff } }";
        }),
        wrong("not in Azure", Finding::IdentityUnreachable, |values| {
            of_machine(values);
            values.credential = "{ managed_identity: { endpoint: \"{nobody}\" } }";
        }),
    ]
}

/// Credentials that end soon, and two side by side.
fn ends() -> Vec<Case> {
    let soon: fn(&Handle, &Path) = |handle, folder| {
        let soon = Timestamp::now() + SignedDuration::from_hours(24 * 10);
        let mut params = CertificateParams::new(vec!["mailbridge".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        let date = jiff::tz::Offset::UTC.to_datetime(soon).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        params.not_after = date_time_ymd(i32::from(date.year()), month, day);
        let pem = params.self_signed(&*KEY).expect("a certificate").pem();
        fs::write(folder.join("app.pem"), KEY.serialize_pem() + &pem).expect("a file");
        register(handle, &pem);
    };
    vec![
        warning(wrong("its owner says when it ends", Finding::CredentialExpiring, |values| {
            values.credential = "{ client_secret: { file: secret }, expires: 2020-01-31 }";
        })),
        warning(Case {
            files: soon,
            ..wrong("a certificate ends soon", Finding::CredentialExpiring, of_certificate)
        }),
        warning(wrong("the first of two is wrong", Finding::SecretWrong, |values| {
            values.credential =
                "[{ client_secret: hush-wrong }, { client_secret: { file: secret } }]";
        })),
        warning(wrong("the second of two is gone", Finding::CredentialUnreadable, |values| {
            values.credential =
                "[{ client_secret: { file: secret } }, { client_secret: { file: nowhere } }]";
        })),
        wrong("both of two are wrong", Finding::SecretWrong, |values| {
            values.credential =
                "[{ client_secret: hush-wrong }, { client_secret: hush-wrong-too }]";
        }),
    ]
}
