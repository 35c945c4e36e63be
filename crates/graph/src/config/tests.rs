use mailbridge_core::{Code, Secret};
use serde_json::{Value, json};

use super::*;

const APP: &str = "11111111-2222-3333-4444-555555555555";

fn base() -> Value {
    json!({
        "provider": "microsoft365",
        "grant_type": "client_credentials",
        "tenant": "contoso.onmicrosoft.com",
        "client_id": APP,
        "credential": { "client_secret": { "file": "/run/secrets/graph" } },
    })
}

fn with(key: &str, value: Value) -> Connection {
    let mut section = base();
    section[key] = value;
    serde_json::from_value(section).unwrap()
}

fn refused(connection: Connection) -> (String, String) {
    let error = connection.resolve(None).unwrap_err();
    assert_eq!(error.code(), Code::ConfigInvalid);
    (error.field("key").unwrap().to_owned(), error.detail().to_owned())
}

fn sandbox() -> SandboxAccess {
    SandboxAccess {
        login: "http://127.0.0.1:7001".into(),
        graph: "http://127.0.0.1:7001/".into(),
        tenant: "contoso.example".into(),
        client_id: APP.into(),
        client_secret: SecretSource::Literal(Secret::new("open sesame")),
    }
}

#[test]
fn a_connection_of_each_cloud_knows_its_endpoints() {
    let resolved = |cloud| with("cloud", cloud).resolve(None).unwrap();
    let global = resolved(json!("global"));
    assert_eq!(
        global.token_endpoint.as_str(),
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    );
    assert_eq!(global.graph, "https://graph.microsoft.com/v1.0");
    assert_eq!(global.scope, "https://graph.microsoft.com/.default");
    assert_eq!(resolved(json!("us_gov_l4")).graph, "https://graph.microsoft.us/v1.0");
    assert_eq!(resolved(json!("us_gov_l5")).graph, "https://dod-graph.microsoft.us/v1.0");
    assert_eq!(resolved(json!("china")).graph, "https://microsoftgraph.chinacloudapi.cn/v1.0");
    let own = resolved(json!({ "login": "http://localhost:1", "graph": "https://g.example/p/" }));
    assert_eq!(own.graph, "https://g.example/p/v1.0");
    assert_eq!(own.scope, "https://g.example/.default");
}

#[test]
fn only_the_sandbox_needs_no_identity() {
    let bare: Connection = serde_json::from_value(json!({ "cloud": "sandbox" })).unwrap();
    let resolved = bare.clone().resolve(Some(&sandbox())).unwrap();
    assert_eq!(resolved.graph, "http://127.0.0.1:7001/v1.0");
    assert!(resolved.token_endpoint.path().starts_with("/contoso.example/"));
    assert_eq!(refused(bare).0, "cloud");

    let nothing: Connection = serde_json::from_value(json!({})).unwrap();
    assert_eq!(nothing.resolve(Some(&sandbox())).unwrap_err().field("key"), Some("tenant"));
}

#[test]
fn each_mistake_is_refused_by_its_key_and_name() {
    let guid = "0b5f3a0e-0000-4000-8000-00000000abcd";
    let cases = [
        ("tenant", json!("common"), "tenant", "any tenant"),
        ("tenant", json!("consumers"), "tenant", "personal accounts"),
        ("tenant", json!("contoso"), "tenant", "neither a GUID nor a domain"),
        ("tenant", json!("../x.y"), "tenant", "neither"),
        ("tenant", Value::Null, "tenant", "give the tenant"),
        ("client_id", json!("my-app"), "client_id", "not a GUID"),
        ("credential", Value::Null, "credential", "give a credential"),
        (
            "credential",
            json!({ "client_secret": guid }),
            "credential.client_secret",
            "the secret's id",
        ),
        ("cloud", json!("sandbox"), "cloud", "no sandbox"),
        (
            "cloud",
            json!({ "login": "http://login.example", "graph": "https://g" }),
            "cloud.login",
            "plain http",
        ),
        (
            "limits",
            json!({ "mailbox_requests_at_once": 0 }),
            "limits.mailbox_requests_at_once",
            "1",
        ),
    ];
    for (key, value, at, says) in cases {
        let (found, detail) = refused(with(key, value));
        assert_eq!(found, at);
        assert!(detail.contains(says), "{detail}");
        assert!(!detail.contains(guid));
    }
}

#[test]
fn only_a_v2_token_endpoint_of_one_tenant_is_taken() {
    let host = "https://login.microsoftonline.com";
    let cases = [
        ("contoso.com/oauth2/token", "v1 endpoint"),
        ("common/oauth2/v2.0/token", "names no tenant"),
        ("consumers/oauth2/v2.0/token", "names no tenant"),
        ("contoso.com/oauth2/v2.0/authorize", "users sign in"),
        ("contoso.com", "ends in /oauth2/v2.0/token"),
    ];
    for (path, says) in cases {
        let (key, detail) = refused(with("token_endpoint", json!(format!("{host}/{path}"))));
        assert_eq!(key, "token_endpoint");
        assert!(detail.contains(says), "{path}: {detail}");
    }
    let good = format!("{host}/contoso.com/oauth2/v2.0/token");
    let resolved = with("token_endpoint", json!(good)).resolve(None).unwrap();
    assert_eq!(resolved.token_endpoint.as_str(), good);
}

#[test]
fn the_schema_names_every_key() {
    let schema = schemars::schema_for!(Connection);
    let keys = schema.get("properties").unwrap().as_object().unwrap();
    let mut names: Vec<_> = keys.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "client_id",
            "cloud",
            "credential",
            "grant_type",
            "limits",
            "provider",
            "tenant",
            "token_endpoint"
        ]
    );
}

#[test]
fn an_unknown_key_is_refused_and_no_secret_is_shown() {
    let mut section = base();
    section["redirect_uri"] = json!("x");
    assert!(serde_json::from_value::<Connection>(section).is_err());
    let shown = format!("{:?}", with("credential", json!({ "client_secret": "hunter2" })));
    assert!(!shown.contains("hunter2"), "{shown}");
}
