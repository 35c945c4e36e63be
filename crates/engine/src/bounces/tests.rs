use std::{
    collections::HashMap,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering::SeqCst},
};

use async_trait::async_trait;
use mailbridge_core::{
    Attempt, Completion, Guarantee, Message, Original, Output,
    contract::{Key, Status, Undelivered},
    plugin::Build,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::health::{Health, Side};

const EVERY: Duration = Duration::from_mins(1);
const SETTLE: Duration = Duration::from_secs(45);

/// A mail service with reports, and the bus that outcomes go to. Clones are one.
#[derive(Clone, Default)]
struct World(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By mailbox: the report, and whether it carries a note.
    inboxes: Mutex<HashMap<Mailbox, Vec<(Report, bool)>>>,
    /// What the mailboxes show of sent mails, by `Message-ID`.
    sent: Mutex<HashMap<String, Option<String>>>,
    published: Mutex<Vec<Outcome>>,
    looks: Mutex<Vec<(Mailbox, Timestamp)>>,
    failure: Mutex<Option<Error>>,
    /// Reports say that nobody failed to get the mail.
    only_late: AtomicBool,
    cannot_note: AtomicBool,
    cannot_publish: AtomicBool,
}

impl World {
    fn report(&self, mailbox: &Mailbox, number: usize) {
        let report = Report {
            id: format!("id-{number}"),
            message_id: format!("<report-{number}>"),
            received: Timestamp::UNIX_EPOCH,
            about: vec![format!("<mail-{number}>")],
        };
        let mut inboxes = self.0.inboxes.lock().unwrap();
        inboxes.entry(mailbox.clone()).or_default().push((report, false));
    }

    /// The mailbox shows a mail, with the origin that a pipeline gave it.
    fn show(&self, number: usize, pipeline: Option<&str>) {
        let origin = pipeline.map(|pipeline| {
            let key = format!("order-{number}");
            let mark = Key::of_id(&key).mark(pipeline);
            let origin = Origin {
                pipeline: pipeline.to_owned(),
                position: format!("nats:MAIL/{number}"),
                mark: mark.to_string(),
                key,
                guarantee: Guarantee::Once,
                attempts: 2,
                traceparent: Some("00-1-2-01".to_owned()),
            };
            origin.text().unwrap()
        });
        self.0.sent.lock().unwrap().insert(format!("<mail-{number}>"), origin);
    }

    fn bounce(&self, mailbox: &Mailbox, number: usize) {
        self.report(mailbox, number);
        self.show(number, Some("orders"));
    }

    /// A worker's watch, which looks at the mailboxes from the start.
    fn watch(&self, mailboxes: &[&Mailbox]) -> Worker {
        let senders = Senders::default();
        for mailbox in mailboxes {
            senders.sending(mailbox);
        }
        let reporter = Health::new().register("orders");
        let mail: Arc<dyn Mail> = Arc::new(self.clone());
        let hold = Hold::new("orders", Arc::clone(&mail), reporter.clone());
        let build = Arc::new(self.clone());
        let outcomes = OutputHost::new(Side::Outcomes, "orders", build, reporter);
        let closed = Mailboxes::default();
        let watch = Watch {
            pipeline: "orders".to_owned(),
            mail,
            outcomes: Arc::new(outcomes),
            hold: hold.clone(),
            mailboxes: closed.clone(),
            senders: senders.clone(),
            every: EVERY,
            settle_time: SETTLE,
        };
        let task = AbortOnDropHandle::new(tokio::task::spawn_local(watch.run()));
        Worker { senders, hold, mailboxes: closed, _task: task }
    }

    fn published(&self) -> Vec<String> {
        let published = self.0.published.lock().unwrap();
        published.iter().map(|outcome| outcome.data.key.clone()).collect()
    }

    fn noted(&self, mailbox: &Mailbox) -> usize {
        let inboxes = self.0.inboxes.lock().unwrap();
        inboxes[mailbox].iter().filter(|(_, noted)| *noted).count()
    }

    fn looks(&self) -> usize {
        self.0.looks.lock().unwrap().len()
    }
}

struct Worker {
    senders: Senders,
    hold: Hold,
    mailboxes: Mailboxes,
    _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Mail for World {
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn perform(&self, _: Attempt<'_>) -> Result<Completion> {
        unreachable!("the watch performs nothing")
    }

    fn reports(&self) -> Option<&dyn Reports> {
        Some(self)
    }
}

#[async_trait]
impl Reports for World {
    async fn arrived(&self, mailbox: &Mailbox, since: Timestamp) -> Result<Vec<Report>> {
        self.0.looks.lock().unwrap().push((mailbox.clone(), since));
        if let Some(error) = self.0.failure.lock().unwrap().clone() {
            return Err(error);
        }
        let inboxes = self.0.inboxes.lock().unwrap();
        let reports = inboxes.get(mailbox).into_iter().flatten();
        Ok(reports.filter(|(_, noted)| !noted).map(|(report, _)| report.clone()).collect())
    }

    async fn original(&self, _: &Mailbox, report: &Report) -> Result<Option<Original>> {
        let message_id = report.about[0].clone();
        let origin = self.0.sent.lock().unwrap().get(&message_id).cloned();
        Ok(origin.map(|origin| Original { message_id, origin }))
    }

    async fn undelivered(&self, _: &Mailbox, _: &Report) -> Result<Option<Vec<Undelivered>>> {
        if self.0.only_late.load(SeqCst) {
            return Ok(None);
        }
        let (address, status) = ("bob@x.org".to_owned(), Some("5.1.1".to_owned()));
        Ok(Some(vec![Undelivered { address, status, diagnostic: None }]))
    }

    async fn note(&self, mailbox: &Mailbox, report: &Report) -> Result<()> {
        if self.0.cannot_note.load(SeqCst) {
            return Err(Error::transient(Code::GraphTimeout, "no answer"));
        }
        let mut inboxes = self.0.inboxes.lock().unwrap();
        let all = inboxes.get_mut(mailbox).into_iter().flatten();
        all.filter(|(it, _)| it.id == report.id).for_each(|(_, noted)| *noted = true);
        Ok(())
    }
}

#[async_trait]
impl Build<dyn Output> for World {
    async fn build(&self) -> Result<Box<dyn Output>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Output for World {
    async fn publish(&self, message: Message) -> Result<()> {
        if self.0.cannot_publish.load(SeqCst) {
            return Err(Error::transient(Code::BusLost, "gone"));
        }
        let outcome: Outcome = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(message.id.as_ref(), Some(&outcome.id));
        self.0.published.lock().unwrap().push(outcome);
        Ok(())
    }
}

fn mailbox() -> Mailbox {
    Mailbox::new("a@x.org")
}

/// Runs with virtual time.
fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Opens the stream, and lets so many looks pass.
async fn looks(worker: &Worker, count: u32) {
    worker.hold.pass().await;
    tokio::time::sleep(EVERY * (count - 1) + Duration::from_secs(59)).await;
}

#[test]
fn a_report_is_told_once_with_all_that_is_known_and_then_noted() {
    run(async {
        let world = World::default();
        world.bounce(&mailbox(), 1);
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 3).await;
        let outcome = world.0.published.lock().unwrap()[0].clone();
        assert_eq!(outcome.kind, "mailbridge.request.bounced");
        assert_eq!(outcome.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(outcome.time, Timestamp::UNIX_EPOCH);
        let data = outcome.data;
        assert_eq!((data.status, data.key.as_str()), (Status::Bounced, "order-1"));
        assert_eq!((data.position.as_str(), data.attempts), ("nats:MAIL/1", 2));
        assert_eq!(data.internet_message_id.as_deref(), Some("<mail-1>"));
        assert_eq!(data.code.as_deref(), Some("mail_bounced"));
        assert!(!data.reason.as_deref().unwrap().contains("bob"), "{:?}", data.reason);
        let shown = format!("{data:?}");
        assert!(!shown.contains("bob"), "{shown}");
        let bounce = data.bounce.unwrap();
        assert_eq!(bounce.report, "<report-1>");
        assert_eq!(bounce.recipients[0].address, "bob@x.org");
        assert_eq!((world.published().len(), world.noted(&mailbox())), (1, 1));
    });
}

#[test]
fn what_breaks_off_is_done_again_and_is_the_same_event() {
    run(async {
        let world = World::default();
        world.bounce(&mailbox(), 1);
        world.0.cannot_publish.store(true, SeqCst);
        world.0.cannot_note.store(true, SeqCst);
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 2).await;
        assert_eq!((world.published().len(), world.noted(&mailbox())), (0, 0));
        world.0.cannot_publish.store(false, SeqCst);
        looks(&worker, 3).await;
        assert_eq!(world.published(), ["order-1"], "published, though it cannot be noted");
        drop(worker);
        world.0.cannot_note.store(false, SeqCst);
        let another = world.watch(&[&mailbox()]);
        looks(&another, 2).await;
        assert_eq!(world.noted(&mailbox()), 1);
        let published = world.0.published.lock().unwrap();
        assert_eq!(published.len(), 2);
        assert_eq!(published[0].id, published[1].id);
    });
}

#[test]
fn a_report_of_a_delay_is_noted_and_not_told() {
    run(async {
        let world = World::default();
        world.bounce(&mailbox(), 1);
        world.0.only_late.store(true, SeqCst);
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 1).await;
        assert_eq!((world.published().len(), world.noted(&mailbox())), (0, 1));
    });
}

#[test]
fn two_reports_of_one_mail_are_two_events() {
    run(async {
        let world = World::default();
        world.bounce(&mailbox(), 1);
        world.report(&mailbox(), 2);
        world.0.inboxes.lock().unwrap().get_mut(&mailbox()).unwrap()[1].0.about =
            vec!["<mail-1>".to_owned()];
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 1).await;
        let published = world.0.published.lock().unwrap();
        assert_eq!(published.len(), 2);
        assert_ne!(published[0].id, published[1].id);
    });
}

#[test]
fn what_is_not_this_pipelines_is_left_as_it_is() {
    run(async {
        let world = World::default();
        for number in 1..=4 {
            world.report(&mailbox(), number);
        }
        world.show(1, None);
        world.show(2, Some("invoices"));
        world.0.sent.lock().unwrap().insert("<mail-3>".to_owned(), Some("{}".to_owned()));
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 5).await;
        assert_eq!((world.published().len(), world.noted(&mailbox())), (0, 0));
        let looks = world.0.looks.lock().unwrap();
        assert!(looks[4].1 > looks[0].1 + Duration::from_hours(70), "nothing is waited for");
    });
}

#[test]
fn a_mail_that_shows_later_than_its_report_is_waited_for() {
    run(async {
        let world = World::default();
        world.report(&mailbox(), 1);
        let worker = world.watch(&[&mailbox()]);
        worker.hold.pass().await;
        tokio::time::sleep(SETTLE / 2).await;
        world.show(1, Some("orders"));
        looks(&worker, 1).await;
        assert_eq!(world.published(), ["order-1"]);
    });
}

#[test]
fn most_of_a_mailboxs_pace_is_left_to_sending() {
    run(async {
        let world = World::default();
        (0..100).for_each(|number| world.bounce(&mailbox(), number));
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 1).await;
        assert_eq!(world.published().len(), 60, "one a second");
        looks(&worker, 1).await;
        assert_eq!(world.published().len(), 100);
    });
}

#[test]
fn a_closed_mailbox_is_passed_by_and_the_others_are_not() {
    run(async {
        let world = World::default();
        let (open, closed) = (mailbox(), Mailbox::new("closed@x.org"));
        world.bounce(&open, 1);
        world.bounce(&closed, 2);
        let worker = world.watch(&[&open, &closed]);
        let crate::mailboxes::Turn::Here(here) = worker.mailboxes.enter(&closed) else { panic!() };
        here.close(Duration::from_mins(3), crate::mailboxes::Why::Asked);
        looks(&worker, 2).await;
        assert_eq!(world.published(), ["order-1"]);
        looks(&worker, 3).await;
        assert_eq!(world.published(), ["order-1", "order-2"]);
    });
}

#[test]
fn a_mailbox_that_asks_to_wait_is_left_alone() {
    run(async {
        let world = World::default();
        let verdict =
            Verdict::Blocked { scope: Scope::Mailbox, after: Some(Duration::from_mins(5)) };
        *world.0.failure.lock().unwrap() = Some(Error::new(Code::MailboxDenied, verdict, "no"));
        let worker = world.watch(&[&mailbox()]);
        looks(&worker, 5).await;
        assert_eq!(world.looks(), 1);
        *world.0.failure.lock().unwrap() = None;
        world.bounce(&mailbox(), 1);
        looks(&worker, 2).await;
        assert_eq!(world.published(), ["order-1"]);
    });
}

#[test]
fn nobody_is_asked_while_the_stream_is_held() {
    run(async {
        let world = World::default();
        let worker = world.watch(&[&mailbox()]);
        tokio::time::sleep(EVERY * 3).await;
        assert_eq!(world.looks(), 0, "nothing has proven that mail lets us in");
        looks(&worker, 1).await;
        assert_eq!(world.looks(), 1);
        let another = Mailbox::new("b@x.org");
        worker.senders.sending(&another);
        looks(&worker, 1).await;
        assert!(world.0.looks.lock().unwrap().iter().any(|(mailbox, _)| *mailbox == another));
    });
}
