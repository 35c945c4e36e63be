//! A request whose time is over while an earlier attempt at it is in doubt: nothing is sent any
//! more, and how it ended is found out where it can be.

use mailbridge_core::{
    Guarantee, Message,
    contract::{Key, Status},
};
use mailbridge_engine::Settings;
use mailbridge_testkit::simulation::{Bus, Mailroom, Sight};

use super::{
    HIDDEN, LEASE, PIPELINE,
    ends::{outcome_codes, run},
    request, settings,
};

const EXPIRED: &str = "request_expired";

/// The same request as `request(0, …)`, but it is too late for it.
fn too_late() -> Message {
    let payload = r#"{"id":"r0","mailbox":"a@x","to":"bob@example.org","subject":"s","text":"t",
        "not_after":"2020-01-01T00:00:00Z"}"#;
    Message { payload: payload.into(), ..Message::default() }
}

fn room() -> Mailroom {
    Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[])
}

fn copies(room: &Mailroom) -> usize {
    room.copies().values().sum()
}

/// Delivers it for the second time, and says how it ended.
async fn ended(settings: Settings, bus: &Bus, room: &Mailroom) -> (Status, Option<String>) {
    bus.push_delivered(too_late(), 1);
    run(settings, bus, room).await;
    outcome_codes(bus).pop().expect("an outcome")
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_in_time_is_accepted() {
    let (bus, room) = (Bus::new(LEASE), room());
    bus.push(request(0, "a@x"));
    run(settings(), &bus, &room).await;
    assert_eq!(ended(settings(), &bus, &room).await, (Status::Accepted, None));
    assert_eq!(copies(&room), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_known_not_to_be_and_no_draft_is_sent_late() {
    for draft in [false, true] {
        let (bus, room) = (Bus::new(LEASE), room());
        if draft {
            room.leave_draft(Key::of_id("r0").mark(PIPELINE).as_str());
        }
        let ended = ended(settings(), &bus, &room).await;
        assert_eq!(ended, (Status::Expired, Some(EXPIRED.to_owned())), "draft: {draft}");
        assert_eq!(copies(&room), 0, "draft: {draft}");
    }
}

/// The control: in time, a draft that is found is sent.
#[tokio::test(start_paused = true)]
async fn in_time_a_draft_is_sent() {
    let (bus, room) = (Bus::new(LEASE), room());
    room.leave_draft(Key::of_id("r0").mark(PIPELINE).as_str());
    bus.push_delivered(request(0, "a@x"), 1);
    run(settings(), &bus, &room).await;
    assert_eq!((outcome_codes(&bus), copies(&room)), (vec![(Status::Accepted, None)], 1));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_look_time_and_again_it_is_unknown() {
    let (bus, room) = (Bus::new(LEASE), room());
    room.lose_search();
    let ended = ended(settings(), &bus, &room).await;
    assert_eq!(ended, (Status::Unknown, Some("graph_unavailable".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn with_at_least_once_there_is_nothing_to_look_for_and_nothing_is_sent_late() {
    let (bus, room) = (Bus::new(LEASE), room());
    let settings = Settings { guarantee: Guarantee::AtLeastOnce, ..settings() };
    let ended = ended(settings, &bus, &room).await;
    assert_eq!((ended, copies(&room)), ((Status::Unknown, Some(EXPIRED.to_owned())), 0));
}
