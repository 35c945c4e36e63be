//! Alert rules and dashboard in a real Prometheus that scrapes the built program: what is wrong
//! fires, what is well does not, and every panel asks for something that is there.
//!
//! Whether each rule fires at its time and not before, promtool tells with made-up series
//! (`deploy/prometheus/alerts_test.yaml`); here the series are the program's own.

mod scraped;
mod world;

use std::{collections::BTreeSet, time::Duration};

use mailbridge_sandbox::MailboxState;
use mailbridge_testkit::server::promtool;
use scraped::{Alert, Scraped, panels, rules};
use world::{Lot, World};

use crate::program::repository;

/// How long something may take that takes seconds, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(90);
/// More than the alert of the lag allows, and than a worker takes before it is held.
const BEHIND: usize = 10_600;

#[test]
fn promtool_finds_the_rules_right_and_each_fires_when_it_should() {
    let folder = repository().join("deploy/prometheus");
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let mut command = promtool().expect("a promtool: run `cargo xtask services`");
        let ran = command.args(arguments).current_dir(&folder).output().expect("it runs");
        let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(ran.status.success(), "{arguments:?}: {}", said.concat());
    }
}

/// Two workers at the same time: one that is ill in every way, and its twin that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_fires_and_nothing_else() {
    let mut world = World::new().await;
    world.sandbox.handle().set_mailbox(&Lot::ILL.mailbox(1), MailboxState::Denied).expect("known");
    for (lot, count) in [(Lot::WELL, 5), (Lot::ILL, BEHIND)] {
        world.prepare(lot).await;
        world.publish(lot, 0..count).await;
        world.start(lot);
    }
    let scraped = Scraped::start(&world.targets(), &rules()).await;
    let expected = BTreeSet::from([
        Alert::of("MailbridgeStreamHeld", "ill-orders"),
        Alert::of("MailbridgeCredentialExpired", "ill-sends"),
        Alert::of("MailbridgeCredentialExpiresSoon", "ill-reads"),
        Alert::of("MailbridgeMailboxesParked", "ill-support"),
        Alert::of("MailbridgeLagNats", "ill_mail"),
    ]);
    scraped
        .until(SOON, "all of them fire", async || {
            let firing = scraped.firing().await;
            expected.difference(&firing).map(ToString::to_string).collect()
        })
        .await;
    // those that could be well are there, and were judged by the same rules
    for (expression, value) in [
        ("mailbridge_stream_held{pipeline='well-orders'}", "0"),
        ("sum(mailbridge_outcomes_total{pipeline='well-orders',status='accepted'})", "5"),
        ("mailbridge_events_mailboxes{pipeline='well-support',state='steady'}", "2"),
        ("count(mailbridge_credential_expires_seconds{connection=~'well-.*'})", "2"),
        ("jetstream_consumer_num_pending{stream_name='well_mail'}", "0"),
    ] {
        scraped
            .until(SOON, &format!("{expression} is {value}"), async || {
                let values = scraped.values(expression).await;
                if values == [value] { Vec::new() } else { values }
            })
            .await;
    }
    scraped.evaluated_again(SOON).await;
    let of_the_well: Vec<_> =
        scraped.firing().await.into_iter().filter(|it| it.subject.starts_with("well")).collect();
    assert!(of_the_well.is_empty(), "{of_the_well:?}");
}

/// What the sandbox, or this test, has not: Kafka, containers, Graph's calls, a collector, bounces,
/// and what only happens when things go wrong.
const NOT_HERE: [&str; 17] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kafka_consumergroup_lag",
    "mailbridge_bounce_look_age_seconds",
    "mailbridge_bounce_looks_total",
    "mailbridge_bounces_total",
    "mailbridge_events_after_total",
    "mailbridge_events_left_out_total",
    "mailbridge_events_quarantined_total",
    "mailbridge_events_resyncs_total",
    "mailbridge_notifications_total",
    "mailbridge_requests_copies_total",
    "mailbridge_requests_skipped_total",
    "mailbridge_settles_stale_total",
    "mailbridge_spans_",
    "mailbridge_subscriptions",
    "mailbridge_tenant_blocked",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_something_of_a_busy_worker() {
    let mut world = World::new().await;
    let handle = world.sandbox.handle().clone();
    handle.set_mailbox(&Lot::WELL.mailbox(1), MailboxState::Throttled).expect("known");
    world.prepare(Lot::WELL).await;
    world.start(Lot::WELL);
    let scraped = Scraped::start(&world.targets(), &rules()).await;
    let panels = panels();
    assert!(panels.len() > 30, "{}", panels.len());
    let (here, elsewhere): (Vec<_>, Vec<_>) = panels
        .into_iter()
        .partition(|panel| !NOT_HERE.iter().any(|name| panel.expression.contains(name)));
    assert!(here.len() > elsewhere.len(), "{} of {}", here.len(), elsewhere.len());

    let mut next = 0;
    scraped
        .until(SOON, "every panel shows something", async || {
            world.publish(Lot::WELL, next..next + 10).await;
            world.arrive(Lot::WELL, next);
            next += 10;
            let mut empty = Vec::new();
            for panel in &here {
                if scraped.values(&panel.expression).await.is_empty() {
                    empty.push(format!("{}: {}", panel.title, panel.expression));
                }
            }
            empty
        })
        .await;
    for panel in &elsewhere {
        // which fails when the expression is wrong
        scraped.values(&panel.expression).await;
    }
}
