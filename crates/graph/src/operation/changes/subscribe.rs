//! Who is called when something changes in a mailbox (learn.microsoft.com, subscription-post,
//! outlook-change-notifications-overview).
//!
//! Graph calls both URLs before it answers, and takes a subscription only if they answer. What it
//! tells later is somebody else's to hear.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_core::{
    Code, Deadline, Error, Mailbox, Result, Scope, Verdict,
    changes::{Callback, Subscription},
};
use serde::Deserialize;
use serde_json::json;

use super::{PAGES_MAX, endless, listed, page::whole_seconds, text};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, answer, segment},
};

/// The longest life of a subscription to Outlook items is 10,080 minutes
/// (learn.microsoft.com, change-notifications-overview), less what clocks may be apart.
const LIFE_MAX: Duration = Duration::from_mins(10_080 - 5);

pub(crate) async fn subscribe(
    graph: &Graph,
    mailbox: &Mailbox,
    folder: Option<&str>,
    callback: &Callback,
    deadline: &Deadline,
) -> Result<Subscription> {
    let session = Session::open(graph, mailbox, deadline).await?;
    let resource = resource(mailbox, folder);
    let change_type = if callback.only_new { "created" } else { "created,updated,deleted" };
    let body = json!({
        "changeType": change_type,
        "notificationUrl": callback.url,
        "lifecycleNotificationUrl": callback.lifecycle_url,
        "resource": resource,
        "expirationDateTime": bounded(callback.until),
        "clientState": callback.client_state.expose(),
    });
    let body = Body::Json(body.to_string().into());
    let url = format!("{}/subscriptions", graph.base);
    let made = session.call_at(Operation::Subscribe, &url, body.clone()).await;
    let made = match made {
        // made by an earlier run, under a client state that nobody knows any more
        Err(error) if error.field("status") == Some("409") => {
            clear(&session, graph, &resource, callback).await?;
            session.call_at(Operation::Subscribe, &url, body).await
        }
        other => other,
    };
    read(&made.map_err(not_there)?)
}

pub(crate) async fn renew(
    graph: &Graph,
    mailbox: &Mailbox,
    id: &str,
    until: Timestamp,
    deadline: &Deadline,
) -> Result<Subscription> {
    let session = Session::open(graph, mailbox, deadline).await?;
    let body = Body::Json(json!({ "expirationDateTime": bounded(until) }).to_string().into());
    read(&session.call_at(Operation::RenewSubscription, &one(graph, id)?, body).await?)
}

pub(crate) async fn unsubscribe(
    graph: &Graph,
    mailbox: &Mailbox,
    id: &str,
    deadline: &Deadline,
) -> Result<()> {
    let session = Session::open(graph, mailbox, deadline).await?;
    end(&session, graph, id).await
}

async fn end(session: &Session<'_>, graph: &Graph, id: &str) -> Result<()> {
    match session.call_at(Operation::Unsubscribe, &one(graph, id)?, Body::Empty).await {
        Err(error) if error.code() != Code::GraphSubscriptionGone => Err(error),
        _ => Ok(()),
    }
}

/// Ends the app's own subscriptions to the same resource that call the same URL.
async fn clear(
    session: &Session<'_>,
    graph: &Graph,
    resource: &str,
    callback: &Callback,
) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        id: String,
        resource: String,
        notification_url: String,
    }
    let mut url = format!("{}/subscriptions", graph.base);
    for _ in 0..PAGES_MAX {
        let body = session.follow(Operation::ListSubscriptions, &url).await?;
        let body = text(&body);
        let page = listed(&body, "graph's list of subscriptions cannot be read")?;
        let known = page.value.iter().filter_map(|json| serde_json::from_str(json.get()).ok());
        for Known { id, resource: known, notification_url } in known {
            // graph gives it back with or without a slash
            let same = known.trim_start_matches('/').eq_ignore_ascii_case(resource);
            if same && notification_url == callback.url {
                end(session, graph, &id).await?;
            }
        }
        let Some(link) = page.next_link else { return Ok(()) };
        url = link;
    }
    Err(endless("graph's list of subscriptions does not come to an end"))
}

/// There is no subscription yet that could be gone: what is not there is the mailbox.
fn not_there(error: Error) -> Error {
    if error.code() != Code::GraphSubscriptionGone {
        return error;
    }
    let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: Some(Duration::from_mins(5)) };
    let code = Code::MailboxNotFound;
    let missing = Error::new(code, verdict, code.meaning());
    error.fields().fold(missing, |missing, (name, value)| missing.with(name, value))
}

fn resource(mailbox: &Mailbox, folder: Option<&str>) -> String {
    match folder {
        Some(folder) => {
            format!("users/{mailbox}/mailFolders('{}')/messages", folder.replace('\'', "''"))
        }
        None => format!("users/{mailbox}/messages"),
    }
}

/// A time as Graph takes it, not later than it may be.
fn bounded(until: Timestamp) -> String {
    whole_seconds(until.min(Timestamp::now() + LIFE_MAX)).to_string()
}

fn one(graph: &Graph, id: &str) -> Result<String> {
    let id = segment(id).ok_or_else(|| {
        Error::permanent(Code::GraphSubscriptionGone, "the subscription's id does not fit a URL")
    })?;
    Ok(format!("{}/subscriptions/{id}", graph.base))
}

fn read(body: &[u8]) -> Result<Subscription> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        id: String,
        expiration_date_time: Timestamp,
    }
    let Made { id, expiration_date_time: until } =
        answer(body, "graph's answer about a subscription cannot be read")?;
    Ok(Subscription { id, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_a_whole_mailbox() {
        let mailbox = Mailbox::new("a@x.org");
        assert_eq!(resource(&mailbox, None), "users/a@x.org/messages");
        let folder = resource(&mailbox, Some("AQ'M="));
        assert_eq!(folder, "users/a@x.org/mailFolders('AQ''M=')/messages");
    }

    #[test]
    fn a_life_is_cut_to_what_graph_takes() {
        let week = Timestamp::now() + Duration::from_hours(7 * 24);
        let until: Timestamp = bounded(week + Duration::from_hours(1)).parse().unwrap();
        assert!(until < week && until > week - Duration::from_mins(10));
        let soon: Timestamp = "2026-03-01T10:00:00.5Z".parse().unwrap();
        assert_eq!(bounded(soon), "2026-03-01T10:00:00Z");
    }
}
