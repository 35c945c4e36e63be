use std::sync::Mutex;

use async_trait::async_trait;
use mailbridge_core::{Completion, Scope};

use super::*;

/// Notes what it is asked for, and fails as it is told to.
#[derive(Default)]
struct Asked {
    calls: Mutex<Vec<String>>,
    fails: Mutex<Vec<(&'static str, Error)>>,
}

impl Asked {
    /// Fails these: `operation id`, always.
    fn failing(fails: &[(&'static str, Error)]) -> Arc<Self> {
        Arc::new(Self { fails: Mutex::new(fails.to_vec()), ..Self::default() })
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

#[async_trait]
impl Mail for Asked {
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        let operation = &attempt.request.operation;
        let (Operation::MarkRead { message, .. }
        | Operation::Move { message, .. }
        | Operation::Categorize { message, .. }
        | Operation::Delete { message }) = operation
        else {
            panic!("{operation:?} is not for received mail");
        };
        let call = format!("{} {}", operation.name(), message.0);
        self.calls.lock().unwrap().push(call.clone());
        let fails = self.fails.lock().unwrap();
        let fails = fails.iter().find(|(failing, _)| *failing == call);
        fails.map_or(Ok(Completion::Done), |(_, error)| Err(error.clone()))
    }
}

fn all() -> Steps {
    Steps {
        mark_read: true,
        categorize: vec!["Done".to_owned()],
        move_to: Some("archive".to_owned()),
        delete: true,
    }
}

fn read() -> Steps {
    Steps { mark_read: true, ..Steps::default() }
}

fn pending(ids: &[&str]) -> Pending {
    let mut pending = Pending::default();
    for id in ids {
        pending.add(MessageId((*id).to_owned()));
    }
    pending
}

async fn run(steps: Steps, mail: &Arc<Asked>, pending: &mut Pending) -> Result<()> {
    let mail = Arc::clone(mail) as Arc<dyn Mail>;
    let after = After { pipeline: "p".to_owned(), steps, mail };
    after.run(&Mailbox::new("a@x.org"), pending).await
}

fn busy() -> Error {
    Error::transient(Code::GraphUnavailable, "busy")
}

#[tokio::test]
async fn all_steps_are_done_in_an_order_that_keeps_the_mail_there() {
    let mail = Asked::failing(&[]);
    let mut pending = pending(&["1", "2", "1"]);
    run(all(), &mail, &mut pending).await.unwrap();
    let order = ["mark_read", "categorize", "move", "delete"];
    let expected: Vec<_> =
        ["1", "2"].iter().flat_map(|id| order.map(|step| format!("{step} {id}"))).collect();
    assert_eq!(mail.calls(), expected);
    assert!(pending.is_empty());
    assert!(Steps::default().is_empty() && !read().is_empty());
}

#[tokio::test]
async fn what_will_never_be_done_keeps_nothing_else_waiting() {
    let refused = Error::permanent(Code::GraphFolderNotFound, "no such folder");
    let gone = Error::permanent(Code::GraphMessageGone, "gone");
    let mail = Asked::failing(&[("move 1", refused), ("mark_read 2", gone)]);
    let mut pending = pending(&["1", "2", "3"]);
    run(all(), &mail, &mut pending).await.unwrap();
    assert!(pending.is_empty());
    let calls = mail.calls();
    assert!(calls.contains(&"delete 1".to_owned()), "{calls:?}");
    // of what is gone, nothing more is asked
    assert_eq!(calls.iter().filter(|call| call.ends_with('2')).count(), 1);
    assert!(calls.contains(&"delete 3".to_owned()));
}

#[tokio::test]
async fn a_passing_failure_comes_again_behind_the_others_and_not_for_ever() {
    let mail = Asked::failing(&[("mark_read 1", busy())]);
    let mut pending = pending(&["1", "2"]);
    run(read(), &mail, &mut pending).await.unwrap_err();
    assert_eq!(mail.calls(), ["mark_read 1"]);
    // a worker that comes after a crash reads the same from the record
    let record = serde_json::to_string(&pending).unwrap();
    assert_eq!(record, r#"[{"id":"2"},{"id":"1","failures":1}]"#);
    let mut pending: Pending = serde_json::from_str(&record).unwrap();
    run(read(), &mail, &mut pending).await.unwrap_err();
    assert_eq!(mail.calls(), ["mark_read 2", "mark_read 1"]);
    for _ in 2..FAILURES_MAX {
        assert_eq!(pending.len(), 1);
        run(read(), &mail, &mut pending).await.unwrap_err();
    }
    assert!(pending.is_empty());
}

#[tokio::test]
async fn a_blocked_path_charges_nothing() {
    let blocked = Verdict::Blocked { scope: Scope::Mailbox, after: None };
    let mail = Asked::failing(&[("mark_read 1", busy().as_verdict(blocked))]);
    let mut pending = pending(&["1", "2"]);
    let before = pending.clone();
    for _ in 0..20 {
        run(read(), &mail, &mut pending).await.unwrap_err();
    }
    assert_eq!(pending, before);
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_what_is_not_done() {
    let mail = Asked::failing(&[("mark_read 2", busy())]);
    let mut pending = pending(&["1", "2"]);
    run(read(), &mail, &mut pending).await.unwrap_err();
    assert_eq!(serde_json::to_string(&pending).unwrap(), r#"[{"id":"2","failures":1}]"#);
}

#[test]
fn the_record_does_not_grow_without_end() {
    let mut pending = Pending::default();
    for number in 0..Pending::MAX {
        assert!(pending.has_room());
        pending.add(MessageId(number.to_string()));
    }
    assert!(!pending.has_room());
}
