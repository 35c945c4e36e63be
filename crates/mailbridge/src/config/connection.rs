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
        let mistake = Malformed::from(&error);
        let told_before = found.iter().any(|earlier| earlier.path == mistake.path);
        let replaced =
            mistake.path.first().is_some_and(|key| replace(&mut connection, key, stand_in));
        if !told_before {
            found.push(mistake);
        }
        if told_before || !replaced {
            break;
        }
    }
    found
}

fn replace(connection: &mut Connection, key: &str, stand_in: &SandboxAccess) -> bool {
    match key {
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
}
