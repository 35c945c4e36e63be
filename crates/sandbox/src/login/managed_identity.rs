//! The endpoints of managed identities: IMDS on a machine, and App Service's.
//!
//! Facts: learn.microsoft.com/entra/identity/managed-identities-azure-resources how-to-use-vm-token
//! and learn.microsoft.com/azure/app-service/overview-managed-identity. Numbers are strings in
//! both. The back end's cache of some hours is not emulated: each request gets a token of its own.
//! 404, 410, 429 and 5xx are made by fault rules on `token` with the endpoint's path.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::token;
use crate::answer::{Answer, Correlation};
use crate::directory::{AppEntry, TenantEntry};
use crate::text::pairs;
use crate::world::World;

const IMDS: &str = "/metadata/identity/oauth2/token";
const APP_SERVICE_VERSION: &str = "2019-08-01";
const IMDS_VERSIONS: [&str; 4] = ["2018-02-01", "2019-08-01", "2020-06-01", "2021-02-01"];

/// The two shapes of question and answer.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Imds,
    AppService,
}

impl Shape {
    fn of(world: &World, path: &str) -> Option<Self> {
        match path {
            IMDS => Some(Self::Imds),
            path if path == world.settings.identity_path => Some(Self::AppService),
            _ => None,
        }
    }

    /// The parameters by which an identity can be named: client, object and resource id.
    fn names(self) -> [&'static [&'static str]; 3] {
        match self {
            Self::Imds => [&["client_id"], &["object_id"], &["msi_res_id", "mi_res_id"]],
            Self::AppService => [&["client_id"], &["principal_id", "object_id"], &["mi_res_id"]],
        }
    }
}

/// A refused request: status, error and sentence.
type Refused = (StatusCode, &'static str, String);

fn bad(error: &'static str, sentence: impl Into<String>) -> Refused {
    (StatusCode::BAD_REQUEST, error, sentence.into())
}

pub fn is_path(world: &World, path: &str) -> bool {
    Shape::of(world, path).is_some()
}

pub fn answer(world: &World, parts: &Parts, ids: &Correlation) -> Answer {
    let shape = Shape::of(world, parts.uri.path()).unwrap_or(Shape::Imds);
    match grant(world, parts, shape) {
        Ok((app, body)) => {
            world.ledger.request(&app.client_id, None, world.clock.now());
            world.ledger.granted(&app.client_id);
            Answer::json(StatusCode::OK, &body)
        }
        Err((status, error, sentence)) => {
            let body = match shape {
                Shape::Imds => json!({"error": error, "error_description": sentence}),
                Shape::AppService => json!({
                    "statusCode": status.as_u16(),
                    "message": sentence,
                    "correlationId": ids.request_id,
                }),
            };
            Answer::json(status, &body)
        }
    }
}

fn grant(world: &World, parts: &Parts, shape: Shape) -> Result<(Arc<AppEntry>, Value), Refused> {
    check_headers(world, parts, shape)?;
    if parts.method != Method::GET {
        let sentence = "The requested resource does not support this method.".to_owned();
        return Err((StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", sentence));
    }
    let query = pairs(parts.uri.query().unwrap_or_default());
    let query = query.ok_or_else(|| bad("invalid_request", "The query cannot be read."))?;
    let get = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let version = get("api-version").unwrap_or_default();
    let known = match shape {
        Shape::Imds => IMDS_VERSIONS.contains(&version),
        Shape::AppService => version == APP_SERVICE_VERSION,
    };
    if !known {
        let sentence = format!("api-version '{version}' is missing or not supported");
        return Err(bad("bad_request", sentence));
    }
    let resource = get("resource")
        .ok_or_else(|| bad("invalid_request", "Required query variable 'resource' is missing"))?;
    let (tenant, entry, app) = identity(world, shape, get)?;
    let audience = token::resource(resource, &entry.id).map_err(|_| {
        let sentence = format!(
            "AADSTS50001: The application named {resource} was not found in the tenant named {}.",
            entry.id
        );
        bad("invalid_resource", sentence)
    })?;
    let issued = token::issue(world, (tenant, &entry.id), &app, audience, None);
    let mut body = json!({
        "access_token": issued.token,
        "expires_on": issued.expires.as_second().to_string(),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": app.client_id.as_ref(),
    });
    if shape == Shape::Imds {
        body["refresh_token"] = json!("");
        body["expires_in"] = json!(issued.lifetime.as_secs().to_string());
        body["ext_expires_in"] = json!(issued.lifetime.as_secs().to_string());
        body["not_before"] = json!(issued.from.as_second().to_string());
    }
    Ok((app, body))
}

/// The headers that a request forged from outside would lack, or would not.
fn check_headers(world: &World, parts: &Parts, shape: Shape) -> Result<(), Refused> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    match shape {
        Shape::Imds if header("metadata") != Some("true") => {
            Err(bad("bad_request_102", "Required metadata header not specified"))
        }
        // IMDS answers nothing that came through a proxy
        Shape::Imds if header("x-forwarded-for").is_some() => {
            Err(bad("bad_request", "X-Forwarded-For is not allowed"))
        }
        // the status is from memory: the page says only that the header is required
        Shape::AppService
            if header("x-identity-header") != Some(world.settings.identity_header.as_str()) =>
        {
            let sentence = "X-IDENTITY-HEADER is missing or wrong.".to_owned();
            Err((StatusCode::UNAUTHORIZED, "unauthorized", sentence))
        }
        _ => Ok(()),
    }
}

/// The identity that the request names; without a name the machine's own, or the only one.
fn identity<'w, 'q>(
    world: &'w World,
    shape: Shape,
    get: impl Fn(&str) -> Option<&'q str>,
) -> Result<(usize, &'w TenantEntry, Arc<AppEntry>), Refused> {
    let [client, object, resource] =
        shape.names().map(|names| names.iter().find_map(|name| get(name)));
    if [client, object, resource].iter().flatten().count() > 1 {
        let sentence = "client_id, object_id and resource id exclude each other";
        return Err(bad("invalid_request", sentence));
    }
    let assigned: Vec<_> = world
        .directory
        .tenants()
        .flat_map(|(number, entry)| {
            entry.identities().into_iter().map(move |app| (number, entry, app))
        })
        .filter(|(_, _, app)| !app.state().app.disabled)
        .collect();
    let is_named = client.is_some() || object.is_some() || resource.is_some();
    let only = assigned.len() == 1;
    let fits = |app: &AppEntry| {
        let Some(names) = &app.identity else { return false };
        let same = |own: Option<&str>, asked: Option<&str>| {
            asked.is_some_and(|asked| own.is_some_and(|own| own.eq_ignore_ascii_case(asked)))
        };
        if !is_named {
            return names.system_assigned || (only && shape == Shape::Imds);
        }
        same(Some(&names.client_id), client)
            || same(names.object_id.as_deref(), object)
            || same(names.resource_id.as_deref(), resource)
    };
    assigned.into_iter().find(|(_, _, app)| fits(app)).ok_or_else(|| match shape {
        Shape::Imds => bad("invalid_request", "Identity not found"),
        Shape::AppService => bad(
            "invalid_request",
            "No User Assigned or Delegated Managed Identity found for specified \
             ClientId/ResourceId/PrincipalId.",
        ),
    })
}
