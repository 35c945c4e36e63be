//! A sandbox described by a document.

use mailbridge_sandbox::{Description, Sandbox};
use reqwest::StatusCode;
use serde_json::json;

use crate::signing::{Signer, assertion_form, own_claims};
use crate::support::{aadsts, finish, form, http};

const TENANT: &str = "00000000-0000-4000-8000-0000000000d1";

#[tokio::test]
async fn tenants_apps_credentials_and_mailboxes() {
    let (signer, issuer) = (Signer::rsa(), Signer::rsa());
    let federated = json!({"issuer": "i", "subject": "s", "keys": issuer.public_pem()});
    let description: Description = serde_json::from_value(json!({
        "tenants": [{
            "id": TENANT,
            "domain": "d.example",
            "open_domains": ["open.example"],
            "mailboxes": ["anna@d.example", {"address": "bob@d.example", "name": "Bob"}],
            "apps": [{
                "client_id": "app",
                "secrets": ["s", {"value": "old", "id": "i", "expires": "2020-01-01T00:00:00Z"}],
                "certificates": [signer.pem],
                "federated": [federated],
                "roles": ["Mail.Send"],
                "grants": [{"role": "Application Mail.Read", "mailboxes": ["anna@*"]}],
                "access_policy": ["anna@d.example"],
            }],
            "identities": [{"client_id": "machine", "system_assigned": true}],
        }],
        "app_service": {"path": "/own", "header": "h"},
        "loop_limit": 50,
    }))
    .unwrap();
    let sandbox = Sandbox::builder().describe(description).start_local().await.unwrap();
    let url = format!("{}/d.example/oauth2/v2.0/token", sandbox.login_url());
    let http = http();
    let ask = async |form: &[(&str, &str)]| finish(http.post(&url).form(form)).await;
    ask(&form("app", "s")).await.expect(StatusCode::OK);
    aadsts(&ask(&form("app", "old")).await.json(), "invalid_client", 7_000_222);
    let assertion = signer.sign(&own_claims("app", &url));
    ask(&assertion_form("app", &assertion)).await.expect(StatusCode::OK);
    let machine = http
        .get(format!("{}/own", sandbox.base_url()))
        .query(&[("api-version", "2019-08-01"), ("resource", "https://graph.microsoft.com")])
        .header("x-identity-header", "h");
    finish(machine).await.expect(StatusCode::OK);
}

#[test]
fn what_is_not_known_is_refused() {
    let refused = |value| serde_json::from_value::<Description>(value).unwrap_err().to_string();
    let tenant = |field: &str, value| json!({"tenants": [{"id": "t", field: value}]});
    assert!(refused(json!({"tenant": []})).contains("unknown field `tenant`"));
    assert!(refused(tenant("apps", json!([{"client_id": "a", "secret": "s"}]))).contains("secret"));
    let app = |certificate| json!([{"client_id": "a", "certificates": [certificate]}]);
    assert!(refused(tenant("apps", app("x"))).contains("base64 of DER"));
    let identity = json!([{"client_id": "a", "principal": "s"}]);
    assert!(refused(tenant("identities", identity)).contains("principal"));
}
