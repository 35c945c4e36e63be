//! `GET users` and `GET users/{id}` (learn.microsoft.com/graph/api/user-list): the directory's side
//! of a mailbox.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Call;
use crate::answer::Answer;
use crate::clock::seconds_text;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::{Mailbox, MailboxState};
use crate::odata::filter::{Subject, Value as Field};
use crate::odata::query::Query;

const PAGE: usize = 100;

/// Any of them lets an app read users.
pub const ROLES: [&str; 3] = ["User.Read.All", "User.ReadWrite.All", "Directory.Read.All"];

/// What `GET users` returns when nothing is selected.
const DEFAULT_PROPERTIES: [&str; 4] = ["displayName", "id", "mail", "userPrincipalName"];

pub fn list(call: &Call<'_>) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "user")?;
    let mut users: Vec<Arc<Mailbox>> = call
        .world
        .mailboxes
        .all()
        .into_iter()
        .filter(|mailbox| mailbox.tenant == call.grant.tenant)
        .filter(|mailbox| is_listed(mailbox, &query))
        .collect();
    if query.order.first().is_some_and(|(_, descends)| *descends) {
        users.reverse();
    }
    let context = format!("{}/v1.0/$metadata#users", call.base);
    Ok(call.page(&context, &query, &users, PAGE, |mailbox| render(mailbox, &query)))
}

/// Whether the directory knows the user, and the filter means him.
pub fn is_listed(mailbox: &Mailbox, query: &Query) -> bool {
    let meant = || query.filter.as_ref().is_none_or(|filter| filter.accepts(&Person(mailbox)));
    lock(&mailbox.inner).state != MailboxState::Missing && meant()
}

pub fn get(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "user")?;
    let mut body = render(mailbox, &query);
    let context = format!("{}/v1.0/$metadata#users/$entity", call.base);
    body.insert("@odata.context".to_owned(), json!(context));
    Ok(Answer::json(StatusCode::OK, &Value::Object(body)))
}

pub fn render(mailbox: &Mailbox, query: &Query) -> Map<String, Value> {
    let all = json!({
        "id": mailbox.user_id,
        "displayName": mailbox.name,
        "mail": mailbox.address,
        "userPrincipalName": mailbox.address,
        "accountEnabled": true,
        "userType": "Member",
        "createdDateTime": seconds_text(Timestamp::UNIX_EPOCH),
        "assignedLicenses": [{
            "disabledPlans": [],
            "skuId": "19ec0d23-8335-4cbd-94ac-6050e30712fa",
        }],
        "otherMails": [],
        "proxyAddresses": [format!("SMTP:{}", mailbox.address)],
    });
    let Value::Object(mut all) = all else { return Map::new() };
    match &query.select {
        Some(names) => all.retain(|name, _| names.iter().any(|wanted| wanted == name)),
        None => all.retain(|name, _| DEFAULT_PROPERTIES.contains(&name.as_str())),
    }
    all
}

/// A user under a filter.
struct Person<'a>(&'a Mailbox);

impl Subject for Person<'_> {
    fn value(&self, path: &str) -> Field<'_> {
        match path {
            "id" => self.0.user_id.as_str().into(),
            "mail" | "userPrincipalName" => self.0.address.as_str().into(),
            "displayName" => self.0.name.as_str().into(),
            "userType" => "Member".into(),
            "accountEnabled" => Field::Bool(true),
            _ => Field::Null,
        }
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}
