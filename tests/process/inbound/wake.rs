//! Graph calls: mails are told soon, and none is lost that a call was lost for.

use std::time::{Duration, Instant};

use mailbridge_sandbox::{NotificationFaults, Operation};

use super::world::{Plan, World};
use crate::{
    bus::{On, over_each_bus},
    rig::{SOON, until},
};

over_each_bus!(
    a_call_wakes_its_mailbox,
    calls_that_are_refused_wake_nobody_and_hurt_nobody,
    calls_that_are_lost_and_doubled_cost_time_and_no_event,
);

/// So seldom that only a call explains an event.
const SELDOM: &str = "10m";

fn plan(every: &'static str, pipeline: &'static str) -> Plan {
    Plan { wake: true, every, pipeline, ..Plan::default() }
}

async fn subscribed(world: &World, mailboxes: usize) {
    until(SOON, "every mailbox has its subscription", async || {
        world.handle().subscriptions().len() == mailboxes
    })
    .await;
    // Graph has them a moment before the program knows it
    let awake =
        format!("mailbridge_subscriptions{{pipeline=\"support\",state=\"awake\"}} {mailboxes}");
    until(SOON, "the program knows of each", async || {
        world.get("/metrics").await.is_some_and(|metrics| metrics.contains(&awake))
    })
    .await;
}

async fn a_call_wakes_its_mailbox(on: On) {
    let world = World::over(on, plan(SELDOM, "      start: all")).await;
    let _program = world.start();
    world.green().await;
    subscribed(&world, 3).await;
    let began = Instant::now();
    for mailbox in 0..3 {
        world.arrive(mailbox, 4, "new");
    }
    world.assert_as_in_inboxes(3).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

async fn calls_that_are_refused_wake_nobody_and_hurt_nobody(on: On) {
    let world = World::over(on, plan(SELDOM, "      start: all")).await;
    let _program = world.start();
    world.green().await;
    subscribed(&world, 3).await;
    let id = &world.handle().subscriptions()[0].id;
    let wrong = format!(
        r#"{{"value": [{{"subscriptionId": "{id}", "clientState": "guess", "resource": "x"}}]}}"#
    );
    let hook = "/notifications/support";
    let gigantic = " ".repeat(2 * 1024 * 1024);
    for (path, body, status) in [
        (hook, wrong.as_str(), 202),
        (hook, r#"{"value": [{"subscriptionId": "nobody's", "clientState": "x"}]}"#, 202),
        (hook, "not JSON", 400),
        (hook, gigantic.as_str(), 413),
        ("/notifications/nobody", wrong.as_str(), 404),
        ("/notifications/support?validationToken=%3Cscript%3E", "", 400),
    ] {
        assert_eq!(world.call(path, body).await, status, "{path}");
    }
    let metrics = world.get("/metrics").await.expect("metrics");
    let counted = |result: &str| {
        let line = format!("mailbridge_notifications_total{{result=\"{result}\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    };
    counted("wrong_state");
    counted("unknown");
    world.arrive(0, 1, "new");
    world.assert_as_in_inboxes(3).await;
}

async fn calls_that_are_lost_and_doubled_cost_time_and_no_event(on: On) {
    let world = World::over(on, plan("1s", "      start: all\n      backstop: 3s")).await;
    let faults = NotificationFaults { loss: 0.2, double: 0.2, ..NotificationFaults::default() };
    world.handle().set_notification_faults(faults);
    let _program = world.start();
    world.green().await;
    subscribed(&world, 3).await;
    let began = Instant::now();
    for round in 0..100 {
        world.arrive(round % 3, 3, &format!("round{round}"));
        tokio::task::yield_now().await;
    }
    world.assert_as_in_inboxes(3).await;
    // one at a time: where its call is lost, only the backstop tells it
    for round in 1..=15 {
        world.arrive(round % 3, 1, &format!("single{round}"));
        world.published(300 + round as u64, SOON).await;
    }
    world.assert_as_in_inboxes(3).await;
    assert_eq!(world.publications(), 315, "twice called is not twice told");
    let calls = world.handle().notifications();
    assert!(calls.lost > 30 && calls.doubled > 30, "{calls:?}");
    // a page for a call at most, and a look a second at each mailbox
    let looks = 3 * (began.elapsed().as_secs() + 2);
    let requests = world.handle().requests();
    let answers = requests.get(&Operation::MessageDelta);
    let asked: u64 = answers.into_iter().flat_map(|answers| answers.values()).sum();
    println!("{asked} requests, {calls:?}, {looks} looks");
    assert!(asked <= calls.made + calls.doubled + looks, "{asked} requests, {calls:?}");
}
