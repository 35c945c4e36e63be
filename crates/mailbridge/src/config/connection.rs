//! What is wrong with a connection's values, as far as that shows offline.

use mailbridge_core::plugin::Malformed;
use mailbridge_graph::{
    Connection, Limits, SandboxAccess,
    cloud::{Cloud, Named},
    config::{Credential, Kind},
};
use serde_json::Value;

/// Takes out what is the program's own of a connection: where it is told that a credential ends.
pub fn take_notify(section: &mut Value) -> Option<Value> {
    section.as_object_mut()?.remove("notify").filter(|section| !section.is_null())
}

/// All mistakes of a connection. Its own check tells the first; so what was told is replaced by
/// something right, and it is checked again.
pub fn mistakes(connection: &Connection, stand_in: &SandboxAccess) -> Vec<Malformed> {
    let mut connection = connection.clone();
    let mut found: Vec<Malformed> = Vec::new();
    while let Err(error) = connection.clone().resolve(Some(stand_in)) {
        let mut mistake = Malformed::from(&error);
        mistake.path = whole_tenant(mistake.path);
        let told_before = found.iter().any(|earlier| earlier.path == mistake.path);
        let replaced = replace(&mut connection, &mistake.path, stand_in);
        if !told_before {
            // the other of two that do not fit together, so that both places are told
            let other = error.field("other").zip(mistake.path.last());
            let other = other.map(|(other, one)| Malformed {
                path: vec!["tenants".to_owned(), other.to_owned()],
                detail: format!("{} (other: {one})", error.detail()),
            });
            found.push(mistake);
            found.extend(other);
        }
        if told_before || !replaced {
            break;
        }
    }
    found
}

/// A tenant's name has dots of its own.
fn whole_tenant(path: Vec<String>) -> Vec<String> {
    match path.split_first() {
        Some((first, tenant)) if first == "tenants" && !tenant.is_empty() => {
            vec![first.clone(), tenant.join(".")]
        }
        _ => path,
    }
}

fn replace(connection: &mut Connection, path: &[String], stand_in: &SandboxAccess) -> bool {
    let (Some(key), below) = (path.first(), path.get(1)) else { return false };
    match key.as_str() {
        "tenants" if below.is_some_and(|tenant| connection.tenants.remove(tenant).is_some()) => {
            if connection.tenants.is_empty() {
                connection.tenant = Some(stand_in.tenant.clone());
            }
        }
        "tenant" | "tenants" => {
            connection.tenants.clear();
            connection.tenant = Some(stand_in.tenant.clone());
        }
        "client_id" => connection.client_id = Some(stand_in.client_id.clone()),
        "credential" => {
            let secret = stand_in.client_secret.clone();
            let credential = Credential { kind: Kind::ClientSecret(secret), expires: None };
            connection.credential = Some(credential.into());
        }
        "cloud" => connection.cloud = Cloud::Named(Named::Global),
        "token_endpoint" => connection.token_endpoint = None,
        "limits" => connection.limits = Limits::default(),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandboxes::stand_in;

    #[test]
    fn every_mistake_is_told() {
        let connection = json!({
            "tenant": "common", "client_id": "me", "cloud": { "login": "http://x", "graph": "y" },
            "token_endpoint": "z", "limits": { "mailbox_requests_at_once": 0 }
        });
        let connection: Connection = serde_json::from_value(connection).unwrap();
        let found = mistakes(&connection, &stand_in());
        let mut keys: Vec<_> = found.iter().map(|it| it.path[0].as_str()).collect();
        keys.sort_unstable();
        let all = ["client_id", "cloud", "credential", "limits", "tenant", "token_endpoint"];
        assert_eq!(keys, all, "{found:?}");
    }

    #[test]
    fn every_tenants_mistake_is_told_at_its_own_place_and_of_two_that_clash_both() {
        let connection = json!({
            "tenants": {
                "a.com": ["*@a.com", "it@x.org"], "b.com": ["*@x.org"], "c.com": [],
                "common": ["*@d.com"], "e.com": ["*@e.com"],
            },
            "client_id": "00000000-0000-4000-8000-000000000001",
            "credential": { "client_secret": { "file": "s" } },
        });
        let connection: Connection = serde_json::from_value(connection).unwrap();
        let found = mistakes(&connection, &stand_in());
        let keys: Vec<_> = found.iter().map(|it| it.path.join("/")).collect();
        assert_eq!(keys, ["tenants/b.com", "tenants/a.com", "tenants/c.com", "tenants/common"]);
        assert!(found[0].detail.ends_with("(other: a.com)"), "{found:?}");
        assert!(found[1].detail.ends_with("(other: b.com)"), "{found:?}");
    }
}
