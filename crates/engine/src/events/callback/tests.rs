use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::*;

struct World {
    callbacks: Callbacks,
    inbox: Arc<Inbox>,
}

fn world() -> World {
    let (callbacks, inbox) = (Callbacks::new(), Arc::<Inbox>::default());
    callbacks.add("s1", Secret::new("agreed"), Mailbox::new("a@x.org"), &inbox);
    callbacks.add("s2", Secret::new("other"), Mailbox::new("b@x.org"), &inbox);
    World { callbacks, inbox }
}

impl World {
    fn receive(&self, items: &[Value]) -> Received {
        let body = json!({ "value": items, "validationTokens": ["…"] });
        self.callbacks.receive("p", body.to_string().as_bytes()).unwrap()
    }

    fn woken(&self) -> Vec<Mailbox> {
        let mut woken = self.inbox.woken().now_or_never().unwrap_or_default();
        woken.sort_by_key(ToString::to_string);
        woken
    }

    fn lives(&self) -> Vec<(Mailbox, String, Lifecycle)> {
        self.inbox.lives().now_or_never().unwrap_or_default()
    }
}

fn item(id: &str, state: &str) -> Value {
    json!({
        "subscriptionId": id,
        "subscriptionExpirationDateTime": "2026-12-01T00:00:00Z",
        "clientState": state,
        "changeType": "created",
        "resource": "Users/1/Messages/2",
        "tenantId": "t",
        "resourceData": { "@odata.type": "#Microsoft.Graph.Message", "id": "2" },
    })
}

fn life(id: &str, state: &str, event: &str) -> Value {
    json!({ "subscriptionId": id, "clientState": state, "lifecycleEvent": event })
}

#[test]
fn what_is_known_wakes_its_mailbox_once_however_often_it_is_told() {
    let world = world();
    let received =
        world.receive(&[item("s1", "agreed"), item("s1", "agreed"), item("s2", "other")]);
    assert_eq!(received, Received { woken: 3, ..Received::default() });
    assert_eq!(world.woken(), [Mailbox::new("a@x.org"), Mailbox::new("b@x.org")]);
    assert_eq!(world.woken(), []);
}

#[test]
fn what_is_unknown_or_wrong_or_odd_is_counted_and_wakes_nobody() {
    let world = world();
    let mut without_state = item("s1", "");
    without_state.as_object_mut().unwrap().remove("clientState");
    let received = world.receive(&[
        item("s9", "agreed"),
        item("NA", ""),
        item("s1", "other"),
        item("s1", "agreed "),
        item("s1", ""),
        without_state,
        life("s1", "guessed", "subscriptionRemoved"),
        json!({ "subscriptionId": 1 }),
        json!(null),
    ]);
    let expected = Received { unknown: 2, wrong: 5, unreadable: 2, ..Received::default() };
    assert_eq!(received, expected);
    assert_eq!(world.woken(), []);
    assert_eq!(world.lives(), []);
}

#[test]
fn one_odd_item_does_not_cost_the_others() {
    let world = world();
    let received = world.receive(&[json!("?"), item("s1", "agreed")]);
    assert_eq!(received, Received { woken: 1, unreadable: 1, ..Received::default() });
    assert_eq!(world.woken().len(), 1);
}

#[test]
fn what_becomes_of_subscriptions_is_told_to_their_keeper() {
    let world = world();
    let received = world.receive(&[
        life("s1", "agreed", "reauthorizationRequired"),
        life("s2", "other", "subscriptionRemoved"),
    ]);
    assert_eq!(received, Received { lifecycle: 2, ..Received::default() });
    assert_eq!(world.woken(), [Mailbox::new("b@x.org")]);
    let mut lives = world.lives();
    lives.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        lives,
        [
            (Mailbox::new("a@x.org"), "s1".to_owned(), Lifecycle::Reauthorize),
            (Mailbox::new("b@x.org"), "s2".to_owned(), Lifecycle::Removed)
        ]
    );
    for event in ["missed", "somethingNew"] {
        world.receive(&[life("s1", "agreed", event)]);
        assert_eq!(world.woken(), [Mailbox::new("a@x.org")], "{event}");
        assert_eq!(world.lives(), []);
    }
}

#[test]
fn a_broken_body_is_an_error_that_repeats_nothing_of_it() {
    let world = world();
    let deep = "[".repeat(100_000);
    for body in ["", "{", "[]", "null", r#"{"value":1}"#, r#"{"secret-x":[]}"#, &deep] {
        let error = world.callbacks.receive("p", body.as_bytes()).unwrap_err();
        assert_eq!(error.code(), Code::NotificationUnreadable);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = world.callbacks.receive("p", &[0xff, 0xfe]).unwrap_err();
    assert_eq!(error.code(), Code::NotificationUnreadable);
    assert_eq!(world.receive(&[]), Received::default());
}

#[test]
fn a_subscription_that_was_removed_is_unknown() {
    let world = world();
    world.callbacks.remove("s1");
    assert_eq!(world.receive(&[item("s1", "agreed")]).unknown, 1);
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let world = world();
    let told = async {
        tokio::task::yield_now().await;
        world.receive(&[item("s1", "agreed")]);
    };
    let (woken, ()) = tokio::join!(world.inbox.woken(), told);
    assert_eq!(woken, [Mailbox::new("a@x.org")]);
}
