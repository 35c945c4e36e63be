//! A client of delta queries: it follows links, and keeps what it was told.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{MAILBOX, Reply, World, finish};

pub const IMMUTABLE: &str = "IdType=\"ImmutableId\"";

/// Pages of one round.
#[derive(Debug, Default)]
pub struct Round {
    pub pages: Vec<Vec<Value>>,
    pub links: Vec<String>,
    pub delta_link: String,
}

impl Round {
    pub fn items(&self) -> Vec<&Value> {
        self.pages.iter().flatten().collect()
    }

    pub fn ids(&self) -> Vec<&str> {
        self.items().into_iter().map(|item| item["id"].as_str().unwrap()).collect()
    }

    /// What a client holds that takes everything in order.
    pub fn applied_to<'a>(&'a self, known: &mut BTreeSet<&'a str>) {
        for item in self.items() {
            let id = item["id"].as_str().unwrap();
            if item.get("@removed").is_some() {
                known.remove(id);
            } else {
                known.insert(id);
            }
        }
    }

    /// How often each id was told.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        self.ids().into_iter().fold(BTreeMap::new(), |mut counts, id| {
            *counts.entry(id).or_default() += 1;
            counts
        })
    }
}

/// The first link for a folder.
pub fn first(world: &World, folder: &str, options: &str) -> String {
    let base = world.sandbox.graph_url();
    format!("{base}/v1.0/users/{MAILBOX}/mailFolders/{folder}/messages/delta{options}")
}

/// One request for a link, with immutable ids and pages of a size.
pub async fn fetch(world: &World, link: &str, size: usize) -> Reply {
    let prefer = format!("{IMMUTABLE}, odata.maxpagesize={size}");
    let request = world.http.request(Method::GET, link).bearer_auth(&world.token);
    finish(request.header("prefer", prefer)).await
}

/// A whole round from a link on.
pub async fn follow(world: &World, link: &str, size: usize) -> Round {
    let (mut round, mut link) = (Round::default(), link.to_owned());
    loop {
        let page = fetch(world, &link, size).await.expect(StatusCode::OK).json();
        let items = page["value"].as_array().unwrap().clone();
        assert!(items.len() <= size, "{} items on a page", items.len());
        round.pages.push(items);
        round.links.push(link.clone());
        if let Some(last) = page["@odata.deltaLink"].as_str() {
            assert!(page.get("@odata.nextLink").is_none());
            last.clone_into(&mut round.delta_link);
            return round;
        }
        page["@odata.nextLink"].as_str().unwrap().clone_into(&mut link);
        assert!(round.pages.len() < 3_000, "it does not end");
    }
}
