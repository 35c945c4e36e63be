//! Readers see a send late; the truth and writers do not.

use std::time::Duration;

use mailbridge_sandbox::{IdsOnSend, Sandbox};
use reqwest::{Method, StatusCode};

use crate::support::{MAILBOX, encode, finish, start_with};

const DELAY: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_sent_draft_stays_in_drafts_for_readers_for_a_while() {
    let world = start_with(Sandbox::builder().visibility_delay(DELAY)).await;
    let id = world.draft("late").await;
    world.send(&id).await.expect(StatusCode::ACCEPTED);

    let look = async |folder: &str| {
        world.look(&format!("mailFolders/{folder}/messages"), "late").await.len()
    };
    assert_eq!((look("drafts").await, look("sentitems").await), (1, 0));
    let one = format!("users/{MAILBOX}/messages/{}", encode(&id));
    assert_eq!(world.get(&one).await.expect(StatusCode::OK).json()["isDraft"], true);
    world.send(&id).await.refused(404, "ErrorItemNotFound");
    assert_eq!((world.sent_total(), world.handle().truth().drafts_left()), (1, 0));

    world.handle().advance_clock(DELAY);
    assert_eq!((look("drafts").await, look("sentitems").await), (0, 1));
    world.get(&one).await.refused(404, "ErrorItemNotFound");
}

#[tokio::test]
async fn a_mail_sent_at_once_shows_up_late() {
    let world = start_with(Sandbox::builder().visibility_delay(DELAY)).await;
    world.send_mail("late").await.expect(StatusCode::ACCEPTED);
    assert!(world.look("messages", "late").await.is_empty());
    world.handle().advance_clock(DELAY);
    assert_eq!(world.look("messages", "late").await.len(), 1);
}

#[tokio::test]
async fn the_immutable_id_may_survive_sending() {
    for (policy, immutable, default) in [
        (IdsOnSend::New, 404, 404),
        (IdsOnSend::ImmutableStays, 200, 404),
        (IdsOnSend::Same, 200, 200),
    ] {
        let world = start_with(Sandbox::builder().ids_on_send(policy)).await;
        let id = world.draft("d").await;
        let one = format!("users/{MAILBOX}/messages/{}", encode(&id));
        let ask = world.request(Method::GET, &one).header("prefer", "IdType=\"ImmutableId\"");
        let kept = finish(ask).await.json()["id"].as_str().unwrap().to_owned();
        world.send(&id).await.expect(StatusCode::ACCEPTED);
        let by_kept = format!("users/{MAILBOX}/messages/{}", encode(&kept));
        assert_eq!(world.get(&by_kept).await.status, immutable, "{policy:?}");
        assert_eq!(world.get(&one).await.status, default, "{policy:?}");
        world.send(&id).await.refused(404, "ErrorItemNotFound");
    }
}
