//! TLS: our own authority, a client certificate, the handshake before the greeting.

use mailbridge_core::{Code, Error};
use mailbridge_testkit::server::NatsServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{lets_in, nats, write};

/// An authority, and what it has signed for a server on the loopback and for a client.
struct Papers {
    folder: TempDir,
    ca: String,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        for (name, host) in [("server", "127.0.0.1"), ("client", "client.example")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            write(folder.path(), &format!("{name}.pem"), &certificate.pem());
            write(folder.path(), &format!("{name}.key"), &key.serialize_pem());
        }
        let ca = write(folder.path(), "ca.pem", &ca.pem());
        Self { folder, ca }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    async fn server(&self, more: &str) -> NatsServer {
        let (cert, key, ca) = (self.path("server.pem"), self.path("server.key"), &self.ca);
        let tls = format!("cert_file: '{cert}', key_file: '{key}', ca_file: '{ca}', {more}");
        NatsServer::with_config(&format!("tls {{ {tls} }}")).await.unwrap()
    }
}

async fn with(server: &NatsServer, tls: Value) -> Result<(), Error> {
    let url = server.url().replace("tls://", "nats://");
    lets_in(&nats(&url, json!({ "tls": tls }))).await
}

#[tokio::test]
async fn a_server_is_believed_when_our_authority_signed_for_it() {
    let (papers, others) = (Papers::new(), Papers::new());
    let server = papers.server("").await;
    with(&server, json!({ "ca": papers.ca })).await.unwrap();
    let error = with(&server, json!({ "ca": others.ca })).await.unwrap_err();
    assert_eq!(error.code(), Code::BusUnreachable, "{error:?}");
    assert!(error.field("cause").unwrap().contains("certificate"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let papers = Papers::new();
    let server = papers.server("verify: true").await;
    let (cert, key) = (papers.path("client.pem"), papers.path("client.key"));
    with(&server, json!({ "ca": papers.ca, "cert": cert, "key": key })).await.unwrap();
    with(&server, json!({ "ca": papers.ca })).await.unwrap_err();
}

#[tokio::test]
async fn the_handshake_may_come_first() {
    let papers = Papers::new();
    let server = papers.server("handshake_first: true").await;
    with(&server, json!({ "ca": papers.ca, "first": true })).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_the_section_is_there() {
    let server = NatsServer::start().await.unwrap();
    let error = with(&server, json!({})).await.unwrap_err();
    assert_eq!(error.code(), Code::BusUnreachable, "{error:?}");
    with(&server, json!({ "require": false })).await.unwrap();
}
