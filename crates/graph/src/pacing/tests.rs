use mailbridge_core::{Code, Scope, Verdict};
use tokio::{task::JoinSet, time::advance};

use super::*;

fn pacing(at_once: usize, in_10_minutes: u32) -> Pacing {
    let limits = Limits {
        mailbox_requests_at_once: at_once,
        mailbox_requests_in_10_minutes: in_10_minutes,
        ..Limits::default()
    };
    Pacing::new(limits, Duration::from_secs(2))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn wait_of(result: Result<impl Sized>) -> Duration {
    let Err(error) = result else { panic!("it was let in") };
    assert_eq!(error.code(), Code::GraphThrottled);
    match error.verdict() {
        Verdict::Blocked { scope: Scope::Mailbox, after: Some(after) } => after,
        other => panic!("{other:?}"),
    }
}

/// A mailbox whose slots are all this worker's: as many requests have passed.
async fn warm(pacing: &Pacing, mailbox: &Mailbox) {
    for _ in 0..pacing.limits.mailbox_requests_at_once {
        let mut permits = Vec::new();
        while let Ok(permit) = pacing.enter(mailbox, Instant::now()).await {
            permits.push(permit);
        }
        permits[0].passed();
    }
}

#[tokio::test(start_paused = true)]
async fn four_at_once_and_the_fifth_waits_a_little() {
    let pacing = pacing(4, 10_000);
    let mailbox = Mailbox::new("A@x.org");
    warm(&pacing, &mailbox).await;
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(pacing.enter(&mailbox, soon()).await.unwrap());
    }
    let start = Instant::now();
    wait_of(pacing.enter(&Mailbox::new("a@X.ORG"), soon()).await);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert!(pacing.enter(&Mailbox::new("b@x.org"), soon()).await.is_ok());

    // never beyond the attempt's own deadline
    let start = Instant::now();
    wait_of(pacing.enter(&mailbox, start + Duration::from_millis(300)).await);
    assert_eq!(start.elapsed(), Duration::from_millis(300));

    permits.pop();
    assert!(pacing.enter(&mailbox, soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_gate_stops_one_mailbox_for_as_long_as_graph_asked() {
    let pacing = pacing(4, 10_000);
    let (slow, other) = (Mailbox::new("slow@x.org"), Mailbox::new("other@x.org"));
    let permit = pacing.enter(&slow, soon()).await.unwrap();
    permit.request(0, soon()).await.unwrap();
    let wait = permit.throttled(Some(Duration::from_millis(10_500)), None);
    assert_eq!(wait, Duration::from_millis(10_500));

    assert_eq!(wait_of(pacing.enter(&slow, soon()).await), wait);
    assert_eq!(wait_of(permit.request(0, soon()).await), wait);
    pacing.enter(&other, soon()).await.unwrap().request(0, soon()).await.unwrap();

    // a shorter wait asked for later does not open the gate early
    assert_eq!(permit.throttled(Some(Duration::from_secs(1)), None), wait);

    // what is left of the wait is short: it is waited for here
    advance(Duration::from_secs(9)).await;
    let start = Instant::now();
    permit.request(0, soon()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_graph_refuses_is_given_up_and_the_last_one_for_a_while() {
    let pacing = pacing(2, 10_000);
    let mailbox = Mailbox::new("a@x.org");
    warm(&pacing, &mailbox).await;
    let first = pacing.enter(&mailbox, soon()).await.unwrap();
    let second = pacing.enter(&mailbox, soon()).await.unwrap();
    let asked = Some(Duration::from_secs(1));
    second.throttled(asked, Some(Limit::AtOnce));
    first.throttled(asked, Some(Limit::AtOnce));
    advance(Duration::from_secs(1)).await;
    drop(second);
    wait_of(pacing.enter(&mailbox, soon()).await);
    drop(first);
    let last = pacing.enter(&mailbox, soon()).await.unwrap();

    let (pacing, start) = (Arc::new(pacing), Instant::now());
    let mut waiting = JoinSet::new();
    let (theirs, address) = (Arc::clone(&pacing), mailbox.clone());
    waiting.spawn(async move { wait_of(theirs.enter(&address, soon()).await) });
    tokio::task::yield_now().await;
    last.throttled(asked, Some(Limit::AtOnce));
    drop(last);
    waiting.join_next().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "it is sent back at once");
    advance(Duration::from_secs(5)).await;
    let wait = wait_of(pacing.enter(&mailbox, soon()).await);
    assert_eq!(wait, Duration::from_secs(1), "others may have it soon, from the bus");
    while pacing.enter(&mailbox, soon()).await.is_err() {
        advance(Duration::from_secs(1)).await;
    }
    let away = start.elapsed();
    assert!(away > Duration::from_secs(10) && away < Duration::from_secs(95), "{away:?}");
    assert!(pacing.enter(&Mailbox::new("b@x.org"), soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_word_from_graph_the_waits_grow_and_a_passing_answer_ends_that() {
    let pacing = pacing(4, 10_000);
    let permit = pacing.enter(&Mailbox::new("a@x.org"), soon()).await.unwrap();
    for most_seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let most = Duration::from_secs(most_seconds);
        let wait = permit.throttled(None, None);
        assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
        // the others that were on their way are the same refusal
        assert!(permit.throttled(None, None) <= most);
        advance(most).await;
    }
    permit.passed();
    assert!(permit.throttled(None, None) <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_blocks_the_mailbox_until_there_is_room() {
    let pacing = pacing(4, 10);
    let mailbox = Mailbox::new("a@x.org");
    let permit = pacing.enter(&mailbox, soon()).await.unwrap();
    for _ in 0..10 {
        permit.request(0, soon()).await.unwrap();
    }
    let wait = wait_of(permit.request(0, soon()).await);
    advance(wait).await;
    permit.request(0, soon()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn uploaded_bytes_have_a_budget_of_their_own() {
    let pacing = pacing(4, 10_000);
    let permit = pacing.enter(&Mailbox::new("a@x.org"), soon()).await.unwrap();
    permit.request(100_000_000, soon()).await.unwrap();
    permit.request(0, soon()).await.unwrap();
    assert!(permit.room_for(50_000_000).is_ok());
    let wait = wait_of(permit.room_for(60_000_000));
    assert!(wait > Duration::from_mins(4) && wait <= Duration::from_mins(6), "{wait:?}");
    assert_eq!(wait_of(permit.request(60_000_000, soon()).await), wait);
    advance(wait).await;
    permit.request(60_000_000, soon()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_mailboxes_are_forgotten_and_busy_ones_are_not() {
    let pacing = pacing(1, 10);
    let busy = pacing.enter(&Mailbox::new("busy@x.org"), soon()).await.unwrap();
    for number in 0..LANES_MAX * 2 {
        let mailbox = Mailbox::new(format!("{number}@x.org"));
        drop(pacing.enter(&mailbox, soon()).await.unwrap());
    }
    assert!(pacing.lanes.lock().unwrap().len() <= LANES_MAX);
    wait_of(pacing.enter(&Mailbox::new("busy@x.org"), soon()).await);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_slows_no_other() {
    let pacing = Arc::new(pacing(1, 10_000));
    let held = pacing.enter(&Mailbox::new("full@x.org"), soon()).await.unwrap();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let pacing = Arc::clone(&pacing);
        tasks.spawn(async move {
            let mailbox = Mailbox::new(format!("{number}@x.org"));
            pacing.enter(&mailbox, soon()).await.is_ok()
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|let_in| let_in));
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(held);
}
