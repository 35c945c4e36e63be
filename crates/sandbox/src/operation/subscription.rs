//! `subscriptions` (learn.microsoft.com/graph/api/subscription-post-subscriptions, subscription-get,
//! subscription-update, subscription-delete, subscription-reauthorize).

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Call, json_object, locate};
use crate::admission::permission;
use crate::answer::Answer;
use crate::clock::seconds_text;
use crate::error::GraphError;
use crate::lock::lock;
use crate::route::Operation;
use crate::subscription::{Endpoints, Subscription, Wanted, new_end, shake_hands};

/// Any of them lets an app hear of messages.
const ROLES: [&str; 3] = ["Mail.ReadWrite", "Mail.Read", "Mail.ReadBasic.All"];

/// 201 with the subscription, once its addresses have shaken hands.
pub async fn create(call: &Call<'_>, body: &[u8]) -> Result<Answer, GraphError> {
    let wanted = Wanted::read(&json_object(call, body)?, call.now)?;
    let endpoints = Endpoints::read(call.world, &wanted)?;
    let subscription = subscription(call, wanted)?;
    shake_hands(call.world, &endpoints).await?;
    let rendered = render(call, &subscription);
    let location = format!("{}/v1.0/subscriptions('{}')", call.base, subscription.id);
    if !call.world.subscriptions.add(subscription, call.now) {
        return Err(GraphError::too_many_subscriptions());
    }
    Ok(Answer::json(StatusCode::CREATED, &entity(call, rendered)).location(&location))
}

fn subscription(call: &Call<'_>, wanted: Wanted) -> Result<Subscription, GraphError> {
    let target = wanted.target()?;
    let mailbox = call.world.mailbox(&target.user);
    let mailbox = mailbox.filter(|mailbox| mailbox.tenant == call.grant.tenant);
    let mailbox = mailbox.ok_or_else(|| GraphError::extension(&GraphError::no_mailbox()))?;
    let wrapped = |error: GraphError| GraphError::extension(&error);
    permission::check(&ROLES, call.grant, &mailbox.address, GraphError::access_denied)
        .map_err(wrapped)?;
    let inner = lock(&mailbox.inner);
    inner.check_state(&target.user).map_err(wrapped)?;
    let folder = target.folder.map(|name| locate::folder(&mailbox, &name)).transpose();
    let folder = folder.map_err(wrapped)?;
    if folder.is_some_and(|folder| inner.folders.name(folder).is_none()) {
        return Err(wrapped(GraphError::item_not_found()));
    }
    drop(inner);
    Ok(Subscription {
        id: call.world.dice.guid(),
        client_id: call.grant.client_id.clone(),
        app: call.grant.app,
        tenant: call.grant.tenant,
        mailbox,
        folder,
        format: call.preferences.ids,
        expires: wanted.expires,
        wanted,
        paused: false,
    })
}

/// Everything but the making of one, which has to wait for its handshake.
pub fn perform(call: &Call<'_>, body: &[u8]) -> Result<Answer, GraphError> {
    let book = &call.world.subscriptions;
    if call.route.operation == Operation::ListSubscriptions {
        let all = book.list(Some(call.grant.app), call.now);
        let values: Vec<Value> = all.iter().map(|one| Value::Object(render(call, one))).collect();
        let context = format!("{}/v1.0/$metadata#subscriptions", call.base);
        let body = json!({"@odata.context": context, "value": values});
        return Ok(Answer::json(StatusCode::OK, &body));
    }
    let id = &call.route.subscription;
    let one = book.find(call.grant.app, id, call.now);
    let one = one.ok_or_else(GraphError::no_subscription)?;
    match call.route.operation {
        Operation::UpdateSubscription => {
            let end = renewal(&json_object(call, body)?, call.now)?;
            book.renew(id, Some(end));
            let one = Subscription { expires: end, ..one };
            Ok(Answer::json(StatusCode::OK, &entity(call, render(call, &one))))
        }
        Operation::DeleteSubscription => {
            book.remove(id);
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        }
        Operation::ReauthorizeSubscription => {
            book.renew(id, None);
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        }
        _ => Ok(Answer::json(StatusCode::OK, &entity(call, render(call, &one)))),
    }
}

/// Only its end can change; an address for lifecycle notifications cannot be added later
/// (learn.microsoft.com/graph/change-notifications-lifecycle-events).
fn renewal(object: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, GraphError> {
    crate::metadata::check_object("subscription", object)?;
    let mut names = object.keys().filter(|name| !name.contains('@'));
    if let Some(other) = names.find(|name| *name != "expirationDateTime") {
        return Err(GraphError::invalid_subscription(format!(
            "The property '{other}' of a subscription cannot be changed."
        )));
    }
    new_end(object, now)
}

fn render(call: &Call<'_>, one: &Subscription) -> Map<String, Value> {
    let wanted = &one.wanted;
    let all = json!({
        "id": one.id,
        "resource": wanted.resource,
        "applicationId": *one.client_id,
        "changeType": wanted.change_type,
        // told to nobody once it is set
        "clientState": null,
        "notificationUrl": wanted.notification_url,
        "lifecycleNotificationUrl": wanted.lifecycle_url,
        "expirationDateTime": seconds_text(one.expires),
        "creatorId": *call.grant.client_id,
        "latestSupportedTlsVersion": wanted.tls_version,
        "includeResourceData": null,
        "notificationQueryOptions": null,
        "notificationUrlAppId": null,
        "encryptionCertificate": null,
        "encryptionCertificateId": null,
    });
    let Value::Object(mut all) = all else { return Map::new() };
    if call.route.operation == Operation::CreateSubscription {
        let state = wanted.client_state.as_ref().map(|state| state.0.as_str());
        all.insert("clientState".to_owned(), json!(state));
    }
    all
}

fn entity(call: &Call<'_>, mut body: Map<String, Value>) -> Value {
    let context = format!("{}/v1.0/$metadata#subscriptions/$entity", call.base);
    body.insert("@odata.context".to_owned(), json!(context));
    Value::Object(body)
}
