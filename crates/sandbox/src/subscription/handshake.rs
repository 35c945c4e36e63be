//! The handshake: whoever wants to be notified shows that the address is his
//! (learn.microsoft.com/graph/change-notifications-delivery-webhooks, "notificationUrl
//! validation").

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;
use reqwest::{Client, Url, redirect};

use super::{Subscriptions, Wanted, hub};
use crate::error::GraphError;
use crate::fault::seconds;
use crate::world::World;

impl Subscriptions {
    /// A client for addresses that others have named: it follows nobody further.
    pub fn client(&self) -> Result<Client, GraphError> {
        let make = || Client::builder().no_proxy().redirect(redirect::Policy::none()).build().ok();
        self.client.get_or_init(make).clone().ok_or_else(GraphError::internal)
    }
}

/// The addresses of a subscription, checked.
#[derive(Clone, Debug)]
pub struct Endpoints {
    web: Vec<Url>,
    hubs: Vec<String>,
}

impl Endpoints {
    /// Refuses what is not on this machine: a sandbox talks to nobody else, unless it was told that
    /// it may be reached from outside.
    pub fn read(world: &World, wanted: &Wanted) -> Result<Self, GraphError> {
        let texts = [Some(&wanted.notification_url), wanted.lifecycle_url.as_ref()];
        let (hubs, web): (Vec<&String>, Vec<_>) =
            texts.into_iter().flatten().partition(|text| hub::is_hub(text));
        if hubs.iter().any(|url| !hub::is_complete(url)) {
            return Err(GraphError::invalid_subscription(
                "The notification URL of an event hub must be \
                 EventHub:https://NAMESPACE/eventhubname/HUB?tenantId=DOMAIN.",
            ));
        }
        let read = |text: &String| {
            let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
            let near = url.filter(|url| world.settings.allow_remote || is_near(url));
            near.ok_or_else(|| {
                GraphError::invalid_subscription(
                    "The notification URL must be absolute, of http or https, and on the loopback \
                     address of the sandbox.",
                )
            })
        };
        let web = web.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { web, hubs: hubs.into_iter().cloned().collect() })
    }
}

fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Asks each address to repeat a token, also when both are the same. A hub repeats nothing.
pub async fn shake_hands(world: &World, endpoints: &Endpoints) -> Result<(), GraphError> {
    let wait = seconds(world.subscriptions.faults().handshake_seconds);
    let client = world.subscriptions.client()?;
    for hub in &endpoints.hubs {
        world.subscriptions.hubs.try_out(hub, &world.dice.guid());
    }
    for url in &endpoints.web {
        let token =
            format!("Validation: Testing client application reachability. {}", world.dice.guid());
        if !ask(&client, url.clone(), &token, wait).await {
            return Err(GraphError::new(
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                "Subscription validation request failed. Notification endpoint must respond with \
                 200 OK to validation request.",
            ));
        }
    }
    Ok(())
}

async fn ask(client: &Client, mut url: Url, token: &str, wait: Duration) -> bool {
    url.query_pairs_mut().append_pair("validationToken", token);
    let request = client.post(url).header("content-type", "text/plain; charset=utf-8");
    let Ok(response) = request.timeout(wait).send().await else { return false };
    let plain = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/plain"));
    let status = response.status();
    status.as_u16() == 200 && plain && response.text().await.is_ok_and(|text| text == token)
}
