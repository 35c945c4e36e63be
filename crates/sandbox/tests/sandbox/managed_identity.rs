//! Managed identities: the two endpoints that give their tokens.

use mailbridge_sandbox::{
    ALL_ROLES, App, DEMO_IDENTITY_HEADER, Fault, ManagedIdentity, Operation, Sandbox, Tenant,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, Reply, World, finish, start_with};

const OWN: &str = "5a0d0004-5a0d-4000-8000-000000000001";
const OTHER: &str = "5a0d0004-5a0d-4000-8000-000000000002";
const OTHER_RESOURCE: &str =
    "/subscriptions/s/resourcegroups/r/providers/x/userAssignedIdentities/m";
const GRAPH: (&str, &str) = ("resource", "https://graph.microsoft.com/");
const IMDS_VERSION: (&str, &str) = ("api-version", "2018-02-01");
const APP_SERVICE_VERSION: (&str, &str) = ("api-version", "2019-08-01");

async fn machine() -> World {
    let own = ManagedIdentity::system_assigned(OWN).roles(["Mail.Send"]);
    let other = ManagedIdentity::user_assigned(OTHER)
        .object_id("object-2")
        .resource_id(OTHER_RESOURCE)
        .roles(ALL_ROLES);
    start_with(Sandbox::builder().tenant(Tenant::demo().identity(own).identity(other))).await
}

async fn imds(world: &World, query: &[(&str, &str)]) -> Reply {
    let url = format!("{}/metadata/identity/oauth2/token", world.sandbox.base_url());
    finish(world.http.get(url).query(query).header("metadata", "true")).await
}

async fn app_service(world: &World, header: &str, query: &[(&str, &str)]) -> Reply {
    let url = format!("{}/msi/token", world.sandbox.base_url());
    finish(world.http.get(url).query(query).header("x-identity-header", header)).await
}

#[track_caller]
fn refused(reply: &Reply, status: u16, error: &str) -> Value {
    let body = reply.json();
    assert_eq!((reply.status, &body["error"]), (status, &json!(error)), "{body}");
    body
}

#[tokio::test]
async fn the_machine_gets_a_token_and_sends_a_mail() {
    let world = machine().await;
    let body = imds(&world, &[IMDS_VERSION, GRAPH]).await.expect(StatusCode::OK).json();
    for number in ["expires_in", "expires_on", "not_before", "ext_expires_in"] {
        assert!(body[number].as_str().unwrap().parse::<u64>().is_ok(), "{number} in {body}");
    }
    assert_eq!(body["expires_in"], "86400");
    assert_eq!((&body["refresh_token"], &body["client_id"]), (&json!(""), &json!(OWN)));
    assert_eq!(body["resource"], GRAPH.1);
    let token = body["access_token"].as_str().unwrap().to_owned();
    let world = World { token, ..world };
    world.send_mail("from a machine").await.expect(StatusCode::ACCEPTED);
    world.get(&format!("users/{MAILBOX}/messages")).await.refused(403, "ErrorAccessDenied");
}

#[tokio::test]
async fn an_identity_is_named_in_three_ways() {
    let world = machine().await;
    for name in [
        ("client_id", OTHER),
        ("object_id", "object-2"),
        ("msi_res_id", OTHER_RESOURCE),
        ("mi_res_id", OTHER_RESOURCE),
    ] {
        let reply = imds(&world, &[IMDS_VERSION, GRAPH, name]).await.expect(StatusCode::OK);
        assert_eq!(reply.json()["client_id"], OTHER, "{name:?}");
    }
    for name in [("client_id", OTHER), ("principal_id", "object-2"), ("mi_res_id", OTHER_RESOURCE)]
    {
        let query = [APP_SERVICE_VERSION, GRAPH, name];
        let reply = app_service(&world, DEMO_IDENTITY_HEADER, &query).await;
        assert_eq!(reply.expect(StatusCode::OK).json()["client_id"], OTHER, "{name:?}");
    }
    let both = [IMDS_VERSION, GRAPH, ("client_id", OWN), ("object_id", "object-2")];
    refused(&imds(&world, &both).await, 400, "invalid_request");
    let unknown = imds(&world, &[IMDS_VERSION, GRAPH, ("client_id", "nobody")]).await;
    let body = refused(&unknown, 400, "invalid_request");
    assert_eq!(body["error_description"], "Identity not found");
}

#[tokio::test]
async fn imds_refuses_what_does_not_come_from_the_machine() {
    let world = machine().await;
    let url = format!("{}/metadata/identity/oauth2/token", world.sandbox.base_url());
    let ask = || world.http.get(&url).query(&[IMDS_VERSION, GRAPH]);
    for request in [ask(), ask().header("metadata", "True")] {
        let body = refused(&finish(request).await, 400, "bad_request_102");
        assert_eq!(body["error_description"], "Required metadata header not specified");
    }
    let proxied = ask().header("metadata", "true").header("x-forwarded-for", "10.0.0.1");
    refused(&finish(proxied).await, 400, "bad_request");
    let posted = world.http.post(&url).query(&[IMDS_VERSION, GRAPH]).header("metadata", "true");
    let posted = posted.header("content-length", "0");
    refused(&finish(posted).await, 405, "method_not_allowed");
    refused(&imds(&world, &[GRAPH]).await, 400, "bad_request");
    refused(&imds(&world, &[("api-version", "2017-01-01"), GRAPH]).await, 400, "bad_request");
    let scoped = ("scope", "https://graph.microsoft.com/.default");
    refused(&imds(&world, &[IMDS_VERSION, scoped]).await, 400, "invalid_request");
    let vault = ("resource", "https://vault.azure.net");
    refused(&imds(&world, &[IMDS_VERSION, vault]).await, 400, "invalid_resource");
}

#[tokio::test]
async fn app_service_has_its_own_shape() {
    let world = machine().await;
    let query = [APP_SERVICE_VERSION, GRAPH];
    let body = app_service(&world, DEMO_IDENTITY_HEADER, &query).await;
    let body = body.expect(StatusCode::OK).json();
    assert!(body["expires_on"].as_str().unwrap().parse::<u64>().is_ok(), "{body}");
    assert_eq!((&body["expires_in"], &body["token_type"]), (&Value::Null, &json!("Bearer")));
    assert_eq!(app_service(&world, "wrong", &query).await.status, 401);
    let version = app_service(&world, DEMO_IDENTITY_HEADER, &[IMDS_VERSION, GRAPH]).await;
    assert_eq!((version.status, &version.json()["statusCode"]), (400, &json!(400)));
    let unknown = [APP_SERVICE_VERSION, GRAPH, ("client_id", "nobody")];
    let unknown = app_service(&world, DEMO_IDENTITY_HEADER, &unknown).await;
    assert!(unknown.json()["message"].as_str().unwrap().starts_with("No User Assigned"));
}

#[tokio::test]
async fn path_and_header_can_be_set() {
    let identity = ManagedIdentity::system_assigned(OWN).roles(ALL_ROLES);
    let builder = Sandbox::builder().tenant(Tenant::demo().identity(identity));
    let world = start_with(builder.app_service("/identity", "h")).await;
    let url = format!("{}/identity", world.sandbox.base_url());
    let ask = world.http.get(url).query(&[APP_SERVICE_VERSION, GRAPH]);
    finish(ask.header("x-identity-header", "h")).await.expect(StatusCode::OK);
    assert_ne!(app_service(&world, "h", &[APP_SERVICE_VERSION, GRAPH]).await.status, 200);
}

#[tokio::test]
async fn several_identities_must_be_told_apart() {
    let tenant = Tenant::demo()
        .identity(ManagedIdentity::user_assigned(OWN))
        .identity(ManagedIdentity::user_assigned(OTHER));
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    refused(&imds(&world, &[IMDS_VERSION, GRAPH]).await, 400, "invalid_request");
    world.handle().set_app_disabled(OTHER, true).unwrap();
    imds(&world, &[IMDS_VERSION, GRAPH]).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn it_fails_on_demand_and_is_counted() {
    let world = machine().await;
    let query = [IMDS_VERSION, GRAPH];
    for status in [404, 410, 429, 500] {
        let fault = Fault::answer(status).on(Operation::Token).path("/metadata/*").first(1);
        world.handle().add_fault(fault);
        let error = if status == 404 { "not_found" } else { "temporarily_unavailable" };
        refused(&imds(&world, &query).await, status, error);
        imds(&world, &query).await.expect(StatusCode::OK);
    }
    let counted = world.admin_get("tokens").await;
    assert_eq!(counted["tokens"][OWN]["granted"], 4);
    // permissions are changed as an app's
    let change = json!({"client_id": OWN, "roles": []});
    world.admin(Method::POST, "apps", Some(change)).await.expect(StatusCode::OK);
    let body = imds(&world, &query).await.json();
    let world = World { token: body["access_token"].as_str().unwrap().to_owned(), ..world };
    world.send_mail("s").await.refused(403, "ErrorAccessDenied");
}

#[tokio::test]
async fn a_machine_without_identity_has_none() {
    let tenant = Tenant::demo().app(App::new("an-app"));
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let body = refused(&imds(&world, &[IMDS_VERSION, GRAPH]).await, 400, "invalid_request");
    assert_eq!(body["error_description"], "Identity not found");
}
