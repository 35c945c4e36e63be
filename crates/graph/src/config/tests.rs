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

fn endpoint(resolved: &Resolved) -> &str {
    resolved.app.as_ref().unwrap().token_endpoint.as_str()
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
        endpoint(&global),
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    );
    assert_eq!(global.graph, "https://graph.microsoft.com/v1.0");
    assert_eq!(global.scope(), "https://graph.microsoft.com/.default");
    assert_eq!(resolved(json!("us_gov_l4")).graph, "https://graph.microsoft.us/v1.0");
    assert_eq!(resolved(json!("us_gov_l5")).graph, "https://dod-graph.microsoft.us/v1.0");
    assert_eq!(resolved(json!("china")).graph, "https://microsoftgraph.chinacloudapi.cn/v1.0");
    let own = resolved(json!({ "login": "http://localhost:1", "graph": "https://g.example/p/" }));
    assert_eq!(own.graph, "https://g.example/p/v1.0");
    assert_eq!(own.scope(), "https://g.example/.default");
}

#[test]
fn only_the_sandbox_needs_no_identity() {
    let bare: Connection = serde_json::from_value(json!({ "cloud": "sandbox" })).unwrap();
    let resolved = bare.clone().resolve(Some(&sandbox())).unwrap();
    assert_eq!(resolved.graph, "http://127.0.0.1:7001/v1.0");
    assert!(endpoint(&resolved).contains("/contoso.example/"));
    assert_eq!(refused(bare).0, "cloud");

    let nothing: Connection = serde_json::from_value(json!({})).unwrap();
    // the credential first: where it is a federated one, tenant and client id may come with it
    assert_eq!(nothing.resolve(Some(&sandbox())).unwrap_err().field("key"), Some("credential"));
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
        ("limits", json!({ "scale": 0 }), "limits.scale", "600"),
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
    assert_eq!(endpoint(&resolved), good);
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
            "cae",
            "client_id",
            "cloud",
            "credential",
            "grant_type",
            "limits",
            "provider",
            "tenant",
            "tenants",
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

#[test]
fn each_kind_of_credential_is_read_and_its_mistakes_are_named() {
    let kinds = |value: Value| -> Vec<&'static str> {
        let resolved = with("credential", value).resolve(None).unwrap();
        resolved.credentials.iter().map(|credential| credential.kind.name()).collect()
    };
    assert_eq!(kinds(json!({ "client_secret": { "env": "X" } })), ["client_secret"]);
    assert_eq!(kinds(json!({ "certificate": { "file": "a.pem" } })), ["certificate"]);
    assert_eq!(kinds(json!({ "federated_token": { "file": "t" } })), ["federated_token"]);
    let two = json!([
        { "client_secret": { "file": "new" }, "expires": "2027-01-31" },
        { "certificate": { "file": "old.pfx", "password": { "env": "P" }, "algorithm": "rs256" } }
    ]);
    assert_eq!(kinds(two.clone()), ["client_secret", "certificate"]);
    let resolved = with("credential", two).resolve(None).unwrap();
    assert_eq!(resolved.credentials[0].expires, Some("2027-02-01T00:00:00Z".parse().unwrap()));

    let guid = "0b5f3a0e-0000-4000-8000-00000000abcd";
    for (value, key) in [
        (json!({ "client_secret": guid }), "credential.client_secret"),
        (
            json!([{ "client_secret": { "env": "X" } }, { "client_secret": guid }]),
            "credential.1.client_secret",
        ),
        (json!({ "certificate": { "file": "" } }), "credential.certificate.file"),
        (json!({ "federated_token": {} }), "credential.federated_token"),
        (
            json!({ "managed_identity": { "client_id": guid, "object_id": guid } }),
            "credential.managed_identity",
        ),
        (
            json!({ "managed_identity": { "client_id": "me" } }),
            "credential.managed_identity.client_id",
        ),
        (
            json!({ "managed_identity": { "endpoint": "http://identity.example" } }),
            "credential.managed_identity.endpoint",
        ),
    ] {
        let (found, _) = refused(with("credential", value.clone()));
        assert_eq!(found, key, "{value}");
    }
    for (value, told) in [
        (json!({}), "expected one of client_secret"),
        (json!({ "client_secret": { "env": "X" }, "certificate": { "file": "a" } }), "list of two"),
        (json!([]), "expected one credential, or two"),
        (json!({ "client_secret": { "env": "X" }, "expires": "soon" }), "expected a date"),
        (json!({ "certificat": { "file": "a" } }), "unknown field"),
        (json!("hush"), "expected a credential such as"),
    ] {
        let mut section = base();
        section["credential"] = value;
        let error = serde_json::from_value::<Connection>(section).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn what_the_webhook_sets_is_taken_where_nothing_was_said() {
    let environment = |name: &str| {
        Some(match name {
            "AZURE_TENANT_ID" => "fabrikam.com".to_owned(),
            "AZURE_CLIENT_ID" => APP.to_owned(),
            "AZURE_FEDERATED_TOKEN_FILE" => "/var/run/token".to_owned(),
            "AZURE_AUTHORITY_HOST" => "https://login.microsoftonline.us/".to_owned(),
            _ => return None,
        })
    };
    let bare = json!({ "credential": { "federated_token": {} } });
    let mut connection: Connection = serde_json::from_value(bare).unwrap();
    connection.environment = Environment::of(environment);
    let resolved = connection.clone().resolve(None).unwrap();
    let expected = "https://login.microsoftonline.us/fabrikam.com/oauth2/v2.0/token";
    assert_eq!(
        (endpoint(&resolved), resolved.graph.as_str()),
        (expected, "https://graph.microsoft.us/v1.0")
    );
    connection.tenant = Some("contoso.com".to_owned());
    let resolved = connection.clone().resolve(None).unwrap();
    assert!(endpoint(&resolved).contains("/contoso.com/"), "what was said counts more");
    // a secret has nothing to do with the webhook
    let secret = serde_json::from_value(json!({ "client_secret": { "env": "X" } })).unwrap();
    connection.credential = Some(secret);
    let resolved = connection.resolve(None);
    assert_eq!(resolved.unwrap_err().field("key"), Some("client_id"));
}

#[test]
fn a_managed_identity_needs_no_tenant_and_takes_none() {
    let bare = json!({ "credential": { "managed_identity": {} } });
    let connection: Connection = serde_json::from_value(bare).unwrap();
    let resolved = connection.clone().resolve(None).unwrap();
    assert!(resolved.app.is_none());
    let wrong = Connection { tenant: Some("contoso.com".to_owned()), ..connection };
    assert_eq!(refused(wrong).0, "tenant");
}

#[test]
fn one_registration_in_several_tenants() {
    let tenants = |value: Value| {
        let mut section = base();
        section.as_object_mut().unwrap().remove("tenant");
        section["tenants"] = value;
        serde_json::from_value::<Connection>(section).unwrap()
    };
    let two = json!({ "contoso.com": ["*@contoso.com"], "fabrikam.com": ["*@fabrikam.com"] });
    let all = tenants(two.clone()).resolve_all(None).unwrap();
    let told: Vec<_> = all.iter().map(|it| (it.tenant.as_deref(), &it.mailboxes[..])).collect();
    assert_eq!(told[1], (Some("fabrikam.com"), &["*@fabrikam.com".to_owned()][..]));
    assert!(endpoint(&all[0].resolved).contains("/contoso.com/"));
    for (value, key) in [
        (json!({ "common": ["*"] }), "tenants.common"),
        (json!({ "contoso.com": [] }), "tenants.contoso.com"),
        (json!({ "a.com": ["*@X.com"], "b.com": ["*@x.com"] }), "tenants.b.com"),
        (json!({ "a.com": ["*@x.com"], "b.com": ["it@x.com"] }), "tenants.b.com"),
        (json!({ "a.com": ["*"], "b.com": ["*@y.com"] }), "tenants.b.com"),
    ] {
        assert_eq!(refused(tenants(value)).0, key);
    }
    assert_eq!(refused(with("tenants", two)).0, "tenants");
}

#[test]
fn a_mailbox_is_reached_where_a_tenant_has_it() {
    let mut connection = with("tenants", json!({ "contoso.com": ["*@contoso.com"] }));
    assert!(connection.reaches("it@contoso.com") && connection.reaches("sales*"));
    assert!(!connection.reaches("*@fabrikam.com"));
    connection.tenants.clear();
    assert!(connection.reaches("*@fabrikam.com"));
}

#[test]
fn the_ids_that_people_mix_up_are_told_apart() {
    let tenant = "99999999-2222-3333-4444-555555555555";
    let mut section = base();
    section["tenant"] = tenant.into();
    section["client_id"] = tenant.into();
    let (key, detail) = refused(serde_json::from_value(section).unwrap());
    assert_eq!(key, "client_id");
    assert!(detail.contains("the tenant's id"), "{detail}");
    assert!(refused(with("tenant", json!("outlook.com"))).1.contains("personal accounts"));
}
