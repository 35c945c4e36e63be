//! Delta queries with everything that goes wrong with them, and the same without it.

use std::collections::BTreeSet;
use std::time::Duration;

use mailbridge_sandbox::{Bulk, DeltaFaults, MailboxState, Resync, Sandbox};
use reqwest::StatusCode;
use serde_json::json;

use crate::follower::{Round, fetch, first, follow};
use crate::support::{MAILBOX, World, start_with};

const COUNT: u64 = 200;

/// A mailbox with mails, read through under some faults.
async fn read_with(faults: DeltaFaults) -> (World, Round) {
    let world = start_with(Sandbox::builder().seed(11)).await;
    world.handle().receive_many(&Bulk::new(MAILBOX, COUNT)).unwrap();
    world.handle().set_delta_faults(faults);
    let round = follow(&world, &first(&world, "inbox", "?$select=subject"), 10).await;
    (world, round)
}

fn truth(world: &World) -> Vec<String> {
    let held = world.handle().contents(MAILBOX, "inbox").unwrap();
    held.into_iter().map(|one| one.immutable_id).collect()
}

fn distinct(round: &Round) -> usize {
    round.ids().into_iter().collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn without_faults_each_item_comes_once_and_in_order() {
    let (world, round) = read_with(DeltaFaults::default()).await;
    assert_eq!(
        (round.pages.len(), round.ids()),
        (20, truth(&world).iter().map(String::as_str).collect())
    );
    let elsewhere = DeltaFaults {
        mailbox: Some("bob@*".to_owned()),
        empty: 0.9,
        shuffle: 1.0,
        ..DeltaFaults::default()
    };
    let (_, spared) = read_with(elsewhere).await;
    assert_eq!(spared.pages.len(), 20);
}

#[tokio::test]
async fn empty_pages_stand_in_the_middle() {
    let (_, round) = read_with(DeltaFaults { empty: 0.4, ..DeltaFaults::default() }).await;
    let empty = round.pages.iter().filter(|page| page.is_empty()).count();
    assert!((4..40).contains(&empty), "{empty}");
    assert_eq!(distinct(&round), 200);
    let (_, stubborn) = read_with(DeltaFaults { empty: 1.0, ..DeltaFaults::default() }).await;
    assert_eq!((distinct(&stubborn), stubborn.pages.len()), (200, 77), "it ends all the same");
}

#[tokio::test]
async fn items_repeat_on_their_page_and_on_the_next() {
    let (_, same) = read_with(DeltaFaults { repeat: 0.3, ..DeltaFaults::default() }).await;
    let doubled = |round: &Round| round.counts().values().filter(|count| **count > 1).count();
    assert!((30..90).contains(&doubled(&same)) && distinct(&same) == 200, "{}", doubled(&same));
    let within = same.pages.iter().any(|page| {
        page.iter().map(|one| one["id"].as_str()).collect::<BTreeSet<_>>().len() < page.len()
    });
    assert!(within);
    let (_, later) = read_with(DeltaFaults { repeat_later: 0.3, ..DeltaFaults::default() }).await;
    assert!((30..90).contains(&doubled(&later)) && distinct(&later) == 200);
    let within = later.pages.iter().any(|page| {
        page.iter().map(|one| one["id"].as_str()).collect::<BTreeSet<_>>().len() < page.len()
    });
    assert!(!within, "each on two pages");
}

#[tokio::test]
async fn pages_are_out_of_order_and_the_same_when_fetched_again() {
    let all = DeltaFaults {
        empty: 0.2,
        repeat: 0.1,
        repeat_later: 0.1,
        shuffle: 0.8,
        ..DeltaFaults::default()
    };
    let (world, round) = read_with(all.clone()).await;
    assert_eq!(distinct(&round), 200);
    let truth = truth(&world);
    assert_ne!(round.ids().into_iter().take(5).collect::<Vec<_>>(), truth[..5]);
    for (link, page) in round.links.iter().zip(&round.pages) {
        let again = fetch(&world, link, 10).await.expect(StatusCode::OK).json();
        assert_eq!(again["value"].as_array().unwrap(), page);
    }
    let (_, replay) = read_with(all).await;
    assert_eq!(round.pages, replay.pages, "a seed replays");
}

#[tokio::test]
async fn changes_come_late_and_none_is_lost() {
    let late = DeltaFaults { late: 0.3, late_seconds: 60.0, ..DeltaFaults::default() };
    let world = start_with(Sandbox::builder().seed(11)).await;
    let before = follow(&world, &first(&world, "inbox", "?$select=subject"), 10).await;
    world.handle().set_delta_faults(late);
    world.handle().receive_many(&Bulk::new(MAILBOX, COUNT)).unwrap();
    let round = follow(&world, &before.delta_link, 10).await;
    assert!((100..180).contains(&distinct(&round)), "{}", distinct(&round));
    let early = follow(&world, &round.delta_link, 10).await;
    assert_eq!(early.items().len(), 0);
    let truth = world.handle().contents(MAILBOX, "inbox").unwrap();
    let numbers: Vec<String> = (1..=COUNT).map(|number| format!("Message {number}")).collect();
    assert_eq!(truth.into_iter().map(|one| one.subject).collect::<Vec<_>>(), numbers);
    world.handle().advance_clock(Duration::from_secs(61));
    let rest = follow(&world, &early.delta_link, 10).await;
    assert_eq!(distinct(&round) + distinct(&rest), 200);
}

#[tokio::test]
async fn tokens_are_evicted_on_demand() {
    let (world, round) = read_with(DeltaFaults::default()).await;
    assert_eq!(
        world.admin_post("delta/evict", json!({"mailbox": "bob@contoso.example"})).await,
        json!({"evicted": 0})
    );
    fetch(&world, &round.delta_link, 10).await.expect(StatusCode::OK);
    let faults = json!({"resync": {"status": 410, "code": "SyncStateNotFound"}});
    world.admin_post("delta", faults).await;
    let evict = json!({"mailbox": MAILBOX, "folder": "inbox"});
    assert_eq!(world.admin_post("delta/evict", evict).await, json!({"evicted": 1}));
    for link in [&round.delta_link, &round.links[3]] {
        let refused = fetch(&world, link, 10).await.refused(410, "SyncStateNotFound");
        let location = refused.header("location").unwrap();
        assert!(location.ends_with("?$select=subject&$deltatoken="), "{location}");
        let again = follow(&world, location, 100).await;
        assert_eq!(again.items().len(), 200, "all of it again");
        fetch(&world, &again.delta_link, 10).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn tokens_are_evicted_by_chance_and_refused_in_many_ways() {
    let (world, _) = read_with(DeltaFaults::default()).await;
    world.handle().set_delta_faults(DeltaFaults { evict: 0.2, ..DeltaFaults::default() });
    let (mut link, mut refused, mut read) = (first(&world, "inbox", ""), BTreeSet::new(), 0);
    for _ in 0..150 {
        let reply = fetch(&world, &link, 50).await;
        if reply.status == 200 {
            let page = reply.json();
            let next = page.get("@odata.nextLink").or(page.get("@odata.deltaLink"));
            next.unwrap().as_str().unwrap().clone_into(&mut link);
            read += usize::from(page.get("@odata.deltaLink").is_some());
        } else {
            refused.insert((reply.status, reply.code()));
            link = first(&world, "inbox", "");
        }
    }
    assert!(refused.len() > 5, "{refused:?}");
    assert!(read > 5, "{read} rounds came to their end");
    let fixed = Resync { status: 404, code: "resyncRequired".to_owned() };
    world.handle().set_delta_faults(DeltaFaults {
        evict: 1.0,
        resync: Some(fixed),
        ..DeltaFaults::default()
    });
    let page = fetch(&world, &first(&world, "inbox", ""), 50).await.expect(StatusCode::OK).json();
    let next = page["@odata.nextLink"].as_str().unwrap();
    fetch(&world, next, 50).await.refused(404, "resyncRequired");
}

#[tokio::test]
async fn a_full_mailbox_and_a_reset_end_a_sync() {
    let (world, round) = read_with(DeltaFaults::default()).await;
    world.handle().set_mailbox(MAILBOX, MailboxState::Full).unwrap();
    fetch(&world, &round.delta_link, 10).await.refused(403, "ErrorQuotaExceeded");
    world.handle().set_mailbox(MAILBOX, MailboxState::Ok).unwrap();
    fetch(&world, &round.delta_link, 10).await.expect(StatusCode::OK);
    world.handle().reset();
    let reply = fetch(&world, &round.delta_link, 10).await;
    assert!([400, 404, 410].contains(&reply.status), "{}", reply.status);
}
