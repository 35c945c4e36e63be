//! What a client asks for when it subscribes, and what of it is refused
//! (learn.microsoft.com/graph/api/subscription-post-subscriptions).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::ClientState;
use crate::clock::until;
use crate::error::GraphError;
use crate::metadata;
use crate::text::percent_decode;

/// learn.microsoft.com/graph/change-notifications-overview, "Subscription lifetime".
const LONGEST_MINUTES: i64 = 10_080;
/// What is shorter is raised to this.
const SHORTEST_MINUTES: i64 = 45;
const CLIENT_STATE_LIMIT: usize = 128;

/// A kind of change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    Created,
    Updated,
    Deleted,
}

impl Change {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Created, Self::Updated, Self::Deleted]
            .into_iter()
            .find(|change| change.as_str().eq_ignore_ascii_case(text))
    }
}

/// A checked request.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub change_type: String,
    pub changes: Vec<Change>,
    pub notification_url: String,
    pub lifecycle_url: Option<String>,
    /// As it was written
    pub resource: String,
    pub client_state: Option<ClientState>,
    pub tls_version: String,
    pub expires: Timestamp,
}

/// What `resource` names.
#[derive(Debug, Eq, PartialEq)]
pub struct Resource {
    pub user: String,
    pub folder: Option<String>,
}

impl Wanted {
    pub fn read(object: &Map<String, Value>, now: Timestamp) -> Result<Self, GraphError> {
        metadata::check_object("subscription", object)?;
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let need = |name: &str| {
            text(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                GraphError::invalid_subscription(format!("The property '{name}' is required."))
            })
        };
        if object.get("includeResourceData").and_then(Value::as_bool) == Some(true) {
            return Err(GraphError::invalid_subscription(
                "Resource data in notifications is not emulated by the sandbox.",
            ));
        }
        let change_type = need("changeType")?;
        let changes: Option<Vec<Change>> =
            change_type.split(',').map(|one| Change::read(one.trim())).collect();
        let client_state = text("clientState");
        if client_state.as_ref().is_some_and(|state| state.chars().count() > CLIENT_STATE_LIMIT) {
            return Err(GraphError::invalid_subscription(format!(
                "The clientState is longer than {CLIENT_STATE_LIMIT} characters."
            )));
        }
        Ok(Self {
            changes: changes.ok_or_else(|| {
                GraphError::invalid_subscription("The changeType holds an unknown value.")
            })?,
            change_type,
            notification_url: need("notificationUrl")?,
            lifecycle_url: text("lifecycleNotificationUrl"),
            resource: need("resource")?,
            client_state: client_state.map(ClientState),
            tls_version: text("latestSupportedTlsVersion").unwrap_or_else(|| "v1_2".to_owned()),
            expires: new_end(object, now)?,
        })
    }

    pub fn target(&self) -> Result<Resource, GraphError> {
        resource(&self.resource).ok_or_else(|| {
            GraphError::invalid_subscription(format!(
                "The resource '{}' is not supported: expected users/{{id}}/messages or \
                 users/{{id}}/mailFolders('{{id}}')/messages, without a filter.",
                self.resource
            ))
        })
    }
}

/// When a subscription is to end, out of a request.
pub fn new_end(object: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, GraphError> {
    let asked = object
        .get("expirationDateTime")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<Timestamp>().ok())
        .ok_or_else(|| {
            GraphError::invalid_subscription("The property 'expirationDateTime' is required.")
        })?;
    if asked <= now {
        return Err(GraphError::invalid_subscription(
            "Subscription expiration must be in the future.",
        ));
    }
    let minutes = |count| SignedDuration::from_mins(count).unsigned_abs();
    if until(now, asked) > minutes(LONGEST_MINUTES) {
        return Err(GraphError::invalid_subscription(format!(
            "Subscription expiration can only be {LONGEST_MINUTES} minutes in the future."
        )));
    }
    Ok(asked.max(crate::clock::after(now, minutes(SHORTEST_MINUTES))))
}

/// `/users/{id}/messages`, `users('x')/mailFolders('inbox')/messages?$select=subject`.
fn resource(text: &str) -> Option<Resource> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if query.to_ascii_lowercase().contains("filter") {
        return None;
    }
    let mut parts = Vec::new();
    for raw in path.split('/').filter(|part| !part.is_empty()) {
        let part = percent_decode(raw)?;
        match part.split_once("('").and_then(|(name, rest)| Some((name, rest.strip_suffix("')")?)))
        {
            Some((name, key)) => parts.extend([name.to_owned(), key.replace("''", "'")]),
            None => parts.push(part),
        }
    }
    let is = |part: &String, name: &str| part.eq_ignore_ascii_case(name);
    match parts.as_slice() {
        [users, user, messages] if is(users, "users") && is(messages, "messages") => {
            Some(Resource { user: user.clone(), folder: None })
        }
        [users, user, folders, folder, messages]
            if is(users, "users") && is(folders, "mailFolders") && is(messages, "messages") =>
        {
            Some(Resource { user: user.clone(), folder: Some(folder.clone()) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_read() {
        let of = |user: &str, folder: Option<&str>| {
            Some(Resource { user: user.to_owned(), folder: folder.map(str::to_owned) })
        };
        assert_eq!(resource("users/a@b.example/messages"), of("a@b.example", None));
        let spelled = "/Users('o''neil@b.example')/mailFolders('inbox')/messages?$select=subject";
        assert_eq!(resource(spelled), of("o'neil@b.example", Some("inbox")));
        assert_eq!(resource("users/a/mailfolders/AA%2F%3D/messages"), of("a", Some("AA/=")));
        for bad in ["me/messages", "users/a", "users/a/events", "users/a/messages?$filter=x"] {
            assert_eq!(resource(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_end_is_bounded() {
        let now = Timestamp::UNIX_EPOCH;
        let end = |text: &str| {
            let object = json!({"expirationDateTime": text});
            new_end(object.as_object().unwrap(), now).map(|end| end.as_second() / 60)
        };
        assert_eq!(end("1970-01-01T00:10:00Z"), Ok(45), "raised");
        assert_eq!(end("1970-01-08T00:00:00Z"), Ok(10_080));
        assert!(end("1970-01-08T00:00:01Z").is_err());
        assert!(end("1969-12-31T00:00:00Z").is_err());
        assert!(end("soon").is_err());
    }
}
