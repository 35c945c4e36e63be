//! What a delivery tells, and what becomes of those that are late, given back or forgotten.

use std::time::Duration;

use mailbridge_core::{Disposition, SeenBefore, Settled, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{NEEDS, consumer, nats, next, publish, quick, source, stranger};

#[tokio::test]
async fn a_delivery_says_where_it_is_from() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "order-7");
    let sent = stranger.publish_with_headers("mail.send", headers, "one".into()).await.unwrap();
    let sequence = sent.await.unwrap().sequence;
    let stored = stranger.get_stream("MAIL").await.unwrap();
    let stored = stored.get_raw_message(sequence).await.unwrap().time.unix_timestamp_nanos();
    let delivery = next(&mut input).await;
    let position = format!("nats:MAIL/{sequence}@{stored}");
    assert_eq!(delivery.position.as_str(), position);
    assert_eq!(delivery.message.address.as_deref(), Some("mail.send"));
    assert_eq!(delivery.message.id.as_deref(), Some("order-7"));
    assert_eq!(delivery.message.headers.get("nats-msg-id"), Some("order-7"));
    assert_eq!(delivery.seen_before, SeenBefore::No);
    delivery.receipt.settle(Disposition::Again { after: Duration::ZERO }).await.unwrap();
    let again = next(&mut input).await;
    assert_eq!((again.position.as_str(), again.seen_before), (&*position, SeenBefore::Times(1)));
}

#[tokio::test]
async fn what_a_stream_that_was_made_again_holds_is_new() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut positions = Vec::new();
    for _ in 0..2 {
        let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
        publish(&stranger, 2).await;
        for _ in 0..2 {
            let delivery = next(&mut input).await;
            assert_eq!(delivery.seen_before, SeenBefore::No);
            positions.push(delivery.position);
            delivery.receipt.settle(Disposition::Done).await.unwrap();
        }
        drop(input);
        stranger.delete_stream("MAIL").await.unwrap();
    }
    let sequence = |n: usize| positions[n].as_str().split('@').next().unwrap();
    assert_eq!(
        (sequence(0), sequence(1)),
        (sequence(2), sequence(3)),
        "the sequences are the same"
    );
    assert!(positions[0] != positions[2] && positions[1] != positions[3], "{positions:?}");
}

#[tokio::test]
async fn settling_after_the_deadline_is_stale() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    publish(&stranger, 1).await;
    let late = next(&mut input).await;
    let again = next(&mut input).await;
    assert_eq!(again.seen_before, SeenBefore::Times(1));
    let settled = late.receipt.settle(Disposition::Again { after: Duration::ZERO }).await.unwrap();
    assert_eq!(settled, Settled::Stale);
    // The stale NAK was not sent, so the redelivery is not doubled.
    assert!(timeout(Duration::from_millis(300), input.next()).await.is_err());
    assert_eq!(again.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
}

#[tokio::test]
async fn a_stale_done_still_spares_the_redelivery() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    publish(&stranger, 1).await;
    let late = next(&mut input).await;
    drop(input);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(late.receipt.settle(Disposition::Done).await.unwrap(), Settled::Stale);
    assert_eq!(consumer(&stranger).await.num_ack_pending, 0);
}

#[tokio::test]
async fn what_an_input_had_buffered_is_given_back_at_once() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let slow = source(json!({ "create": true, "ack_wait": "1h" }));
    let mut input = nats.input(&slow, &NEEDS).await.unwrap();
    publish(&stranger, 4).await;
    let held = next(&mut input).await;
    while consumer(&stranger).await.num_ack_pending < 4 {}
    drop(input);
    let mut input = nats.input(&slow, &NEEDS).await.unwrap();
    for _ in 0..3 {
        let delivery = next(&mut input).await;
        delivery.receipt.settle(Disposition::Done).await.unwrap();
    }
    held.receipt.settle(Disposition::Done).await.unwrap();
}

#[tokio::test]
async fn what_waited_here_past_its_deadline_is_not_handed_out() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    publish(&stranger, 3).await;
    let first = next(&mut input).await;
    first.receipt.settle(Disposition::Done).await.unwrap();
    // Two are buffered now. Nobody calls `next` until the server has given them up.
    sleep(Duration::from_millis(1500)).await;
    for _ in 0..2 {
        let delivery = next(&mut input).await;
        assert_ne!(delivery.seen_before, SeenBefore::No, "it was handed out stale");
        assert_eq!(delivery.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
    }
    assert!(timeout(Duration::from_millis(1500), input.next()).await.is_err());
}

#[tokio::test]
async fn a_consumer_that_has_lost_its_memory_raises_a_doubt() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let keeps = source(json!({ "create": { "retention": "limits" }, "ack_wait": "1s" }));
    let mut input = nats.input(&keeps, &NEEDS).await.unwrap();
    publish(&stranger, 2).await;
    for _ in 0..2 {
        let delivery = next(&mut input).await;
        assert_eq!(delivery.seen_before, SeenBefore::No);
        delivery.receipt.settle(Disposition::Done).await.unwrap();
    }
    drop(input);
    let stream = stranger.get_stream("MAIL").await.unwrap();
    stream.delete_consumer("worker").await.unwrap();
    let mut input = nats.input(&keeps, &NEEDS).await.unwrap();
    publish(&stranger, 1).await;
    for seen in [SeenBefore::Maybe, SeenBefore::Maybe, SeenBefore::No] {
        assert_eq!(next(&mut input).await.seen_before, seen);
    }
}

#[tokio::test]
async fn a_delay_is_kept_while_others_go_on() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    // One in flight: a delivery that waits for its time takes no room.
    let one = mailbridge_core::Needs { in_flight: 1, ..NEEDS };
    let mut input = nats.input(&quick(), &one).await.unwrap();
    publish(&stranger, 20).await;
    let since = Instant::now();
    let after = Duration::from_secs(2);
    next(&mut input).await.receipt.settle(Disposition::Again { after }).await.unwrap();
    for _ in 1..20 {
        next(&mut input).await.receipt.settle(Disposition::Done).await.unwrap();
    }
    assert!(since.elapsed() < after, "the others waited");
    next(&mut input).await.receipt.settle(Disposition::Done).await.unwrap();
    assert!(since.elapsed() >= after);
}

#[tokio::test]
async fn a_long_backlog_makes_nothing_look_late() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let mut input = nats.input(&quick(), &NEEDS).await.unwrap();
    publish(&stranger, 400).await;
    // Three are always out and settled in turn, so that the buffer is never quite empty, for longer
    // than a message may wait in it.
    let mut held = std::collections::VecDeque::new();
    for _ in 0..400 {
        let delivery = next(&mut input).await;
        assert_eq!(delivery.seen_before, SeenBefore::No);
        held.push_back(delivery.receipt);
        sleep(Duration::from_millis(3)).await;
        if held.len() > 2 {
            let settled = held.pop_front().unwrap().settle(Disposition::Done).await.unwrap();
            assert_eq!(settled, Settled::Yes);
        }
    }
}

#[tokio::test]
async fn an_input_that_stops_gives_back_what_is_untouched_and_gets_no_more() {
    let server = NatsServer::start().await.unwrap();
    let stranger = stranger(&server).await;
    // as two workers
    let (nats, others) = (nats(server.url(), json!({})), nats(server.url(), json!({})));
    let slow = source(json!({ "create": true, "ack_wait": "1h" }));
    let mut input = nats.input(&slow, &NEEDS).await.unwrap();
    publish(&stranger, 3).await;
    let held = next(&mut input).await;
    while consumer(&stranger).await.num_ack_pending < 3 {}
    // there is room for one more, and it is asked for
    let mut other = others.input(&slow, &NEEDS).await.unwrap();
    let (told, mut seen) = tokio::sync::mpsc::channel(3);
    let mut took = tokio::task::JoinSet::new();
    took.spawn(async move {
        for _ in 0..3 {
            let delivery = next(&mut other).await;
            told.send(delivery.seen_before).await.unwrap();
            delivery.receipt.settle(Disposition::Done).await.unwrap();
        }
    });
    while consumer(&stranger).await.num_waiting < 2 {}
    input.stop().await;
    for _ in 0..2 {
        assert_eq!(seen.recv().await, Some(SeenBefore::Untouched(1)));
    }
    publish(&stranger, 1).await;
    assert_eq!(seen.recv().await, Some(SeenBefore::No), "the pull that stood is over");
    took.join_next().await.unwrap().unwrap();
    assert_eq!(held.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
}
