//! 5,000 requests, faults before and after the effect, and five kills in the middle. Then mails of
//! every size, while a third of all requests come to grief and nothing shows soon.

use std::{path::Path, time::Duration};

use mailbridge_sandbox::{Arrival, Budgets, Fault, Kind, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, SOON, mailbox, plain},
};

over_each_bus!(faults_and_kills_neither_double_nor_lose);

const COUNT: usize = 5_000;
const MAILBOXES: usize = 50;
const KILLS: u64 = 5;

/// Everything that Graph was seen to do to a client, on every call of the mail side.
fn faults() -> Vec<Fault> {
    let on_graph = |mut fault: Fault, probability: f64| {
        fault.matching.path = Some("/v1.0/*".to_owned());
        fault.probability(probability)
    };
    vec![
        on_graph(Fault::throttle(0.253), 0.10),
        on_graph(Fault::answer(503), 0.05),
        on_graph(Fault::answer(504).after(), 0.05),
        on_graph(Fault::close().after(), 0.02),
    ]
}

async fn storm(on: On, count: usize, args: Vec<&'static str>) -> Rig {
    let sandbox = Sandbox::builder()
        .seed(42)
        .budgets(Budgets::graph())
        .visibility_delay(Duration::ZERO..=Duration::from_secs(2));
    let rig = Rig::new(on, Plan { args, sandbox, ..Plan::default() }).await;
    for fault in faults() {
        rig.handle().add_fault(fault);
    }
    rig.publish_load(0, count, MAILBOXES).await;
    let mut program = rig.start();
    for kill in 1..=KILLS {
        let so_far = u64::try_from(count).expect("small") * kill / (KILLS + 2);
        rig.sent(so_far, LOAD).await;
        program.kill9().expect("killed");
        program.wait_exit(SOON).await.expect("it is gone");
        program = rig.start();
    }
    rig.drained(LOAD).await;
    program.sigterm().expect("asked to stop");
    let status = program.wait_exit(Duration::from_secs(40)).await.expect("it stops");
    assert!(status.success(), "a soft stop ends well: {status}");
    rig
}

async fn faults_and_kills_neither_double_nor_lose(on: On) {
    let count = on.part_of(COUNT);
    let rig = storm(on, count, Vec::new()).await;
    rig.assert_exactly_once(count).await;
}

/// The control: the same storm without looking first does send mails twice. If this fails, the test
/// above proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_the_same_storm_doubles_mails() {
    let rig = storm(On::Nats, 1_000, vec!["--unsafe-never-look"]).await;
    let doubled = rig.copies().into_values().filter(|copies| *copies > 1).count();
    assert!(doubled > 0, "some mail is sent twice");
}

/// Mails of every size.
const VARIED: usize = 300;
const VARIED_MAILBOXES: usize = 30;

/// One tenth of a mailbox that takes 30 s to show what was sent, with a settle time of 45 s.
const HIDDEN: Duration = Duration::from_secs(3);
const PATIENT: &str = "      deadline: 3s\n      settle_time: 4500ms\n      in_flight: 48\n      \
                       retry: { attempts_max: 100, backoff_min: 100ms, backoff_max: 1s }\n";

/// What strikes the requests to login, Graph and the upload host alike, each a tenth of those that
/// the earlier ones spare.
fn every_fault() -> [Fault; 5] {
    let beyond_the_deadline = Kind::Hang { seconds: 4.0 };
    [
        Fault::close(),
        Fault::answer(504).after(),
        // a success, whatever else it says
        Fault::new(Kind::RetryAfter { seconds: 2.0 }).after(),
        Fault::close().after(),
        Fault::new(beyond_the_deadline).after(),
    ]
    .map(|fault| fault.probability(0.1))
}

/// Too large together for one request; too large for anything but an upload session.
const FILES: [(&str, usize); 3] =
    [("a.bin", 1_600_000), ("b.bin", 1_600_000), ("large.bin", 4_100_000)];

/// The files of a mail.
fn files_of(n: usize) -> &'static [(&'static str, usize)] {
    match n % 10 {
        6 => &FILES[..2],
        7 | 8 => &FILES[2..],
        _ => &[],
    }
}

/// Of ten: three with text, three with html too, and one each with two files that are added, with a
/// file by upload session, a reply with one, and a reply without.
fn varied(rig: &Rig, n: usize, folder: &Path) -> Value {
    let from = mailbox(n % VARIED_MAILBOXES);
    let subject = format!("r{n}");
    let mut request = json!({
        "id": subject, "mailbox": from, "to": ["bob@example.org"], "subject": subject, "text": "t",
    });
    let attachment = |(name, _): &(&str, usize)| -> Value {
        let url = reqwest::Url::from_file_path(folder.join(name)).expect("a path");
        json!({ "name": name, "url": url.as_str() })
    };
    request["attachments"] = files_of(n).iter().map(attachment).collect();
    match n % 10 {
        3..6 => request["html"] = json!("<p>t</p>"),
        8 | 9 => {
            let question =
                format!("From: bob@example.org\r\nTo: {from}\r\nSubject: ?\r\n\r\n?\r\n");
            let arrived = rig.handle().receive(&Arrival::mime(from, question));
            request["operation"] = json!("reply");
            request["message"] = json!(arrived.expect("it arrives").immutable_id);
        }
        _ => {}
    }
    request
}

async fn varied_storm(count: usize, args: Vec<&'static str>) -> Rig {
    let folder = TempDir::new().expect("a folder");
    for (name, bytes) in FILES {
        std::fs::write(folder.path().join(name), vec![7; bytes]).expect("a file");
    }
    let place = format!("      attachments: [\"file://{}\"]", folder.path().display());
    let pipeline = format!("{PATIENT}{place}");
    let sandbox = Sandbox::builder().seed(42).budgets(Budgets::graph()).visibility_delay(HIDDEN);
    let rig = Rig::new(On::Nats, Plan { pipeline, args, sandbox, ..Plan::default() }).await;
    for n in 0..count {
        rig.publish(plain(varied(&rig, n, folder.path()).to_string())).await;
    }
    for fault in every_fault() {
        rig.handle().add_fault(fault);
    }
    let _program = rig.start();
    rig.drained(LOAD).await;
    rig
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_a_tenth_neither_doubles_nor_loses_a_mail_of_any_size() {
    let rig = varied_storm(VARIED, Vec::new()).await;
    let rules = rig.handle().faults();
    let struck: Vec<_> = rules.iter().map(|rule| (rule.fired, rule.seen)).collect();
    println!("struck, of those asked: {struck:?}; requests: {:?}", rig.handle().requests());
    assert!(rules.iter().all(|rule| rule.fired * 20 > rule.seen), "all of them bite: {struck:?}");
    rig.assert_exactly_once(VARIED).await;
    for n in 0..VARIED {
        let sent = rig.handle().truth().with_subject(&format!("r{n}")).remove(0);
        let files = sent.attachments.iter().map(|file| (file.name.as_str(), file.bytes));
        assert_eq!(files.collect::<Vec<_>>(), files_of(n), "r{n}");
    }
}

/// The control of the storm above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_every_fault_at_a_tenth_doubles_mails() {
    let rig = varied_storm(60, vec!["--unsafe-never-look"]).await;
    let doubled = rig.copies().into_values().filter(|copies| *copies > 1).count();
    assert!(doubled > 0, "some mail is sent twice");
}
