//! `mailbridge replay`: dead letters are put back where requests come from, chosen, beside running
//! workers, over a kill in the middle; and what was in doubt when it was given up is looked for
//! before anything is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::jetstream::stream;
use mailbridge_core::{Message, contract::Status};
use mailbridge_sandbox::{Budgets, Fault, Operation, Sandbox};
use mailbridge_testkit::program::{Launch, Program, Stream};
use serde_json::Value;

use crate::{
    bus::{Bus, DEAD, On, REQUESTS, over_each_bus},
    rig::{LOAD, Plan, Rig, SOON, mailbox, plain, request, until},
};

over_each_bus!(
    what_is_chosen_is_put_back_beside_a_running_worker_and_the_rest_stays,
    a_dry_run_lists_and_changes_nothing,
    what_may_have_been_sent_is_looked_for_and_sent_only_if_it_was_not,
    a_replay_killed_in_the_middle_is_run_again_and_every_mail_is_sent_once,
);

/// Failed attempts end a request at once.
const GIVES_UP: &str =
    "      deadline: 5s\n      settle_time: 5s\n      retry: { attempts_max: 1 }";

fn plan() -> Plan {
    let sandbox = Sandbox::builder().seed(3).budgets(Budgets::off());
    Plan { pipeline: GIVES_UP.to_owned(), sandbox, ..Plan::default() }
}

/// How a replay ended, and what it said.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The last line of what was said in JSON.
    fn summary(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_else(|| panic!("{}", self.stderr));
        serde_json::from_str::<Value>(line).expect("JSON")["summary"].take()
    }
}

/// The command with the configuration of this launch.
fn command(launch: &Launch, arguments: &[&str]) -> Program {
    let config = launch.folder().join("config.yaml");
    let replay = Launch::mailbridge().expect("the program").args(["replay"]).args([config]);
    replay.args(arguments).start().expect("it starts")
}

async fn replay(launch: &Launch, arguments: &[&str]) -> Ran {
    let mut program = command(launch, arguments);
    let status = program.wait_exit(SOON).await.expect("it ends");
    let said = |stream| {
        let lines = program.lines().into_iter().filter(|line| line.from == stream);
        lines.map(|line| line.text + "\n").collect::<String>()
    };
    Ran { code: status.code(), stdout: said(Stream::Stdout), stderr: said(Stream::Stderr) }
}

/// Replays, expects it to go well, and gives how many were put back.
async fn replayed(rig: &Rig, filter: &[&str]) -> u64 {
    let ran = replay(&rig.launch, &[filter, &["--format", "json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{filter:?}: {}{}", ran.stdout, ran.stderr);
    ran.summary()["replayed"].as_u64().expect("a number")
}

async fn statuses(rig: &Rig) -> BTreeMap<String, Vec<Status>> {
    let statuses = rig.outcomes().await.into_iter();
    statuses.map(|(key, all)| (key, all.iter().map(|it| it.data.status).collect())).collect()
}

/// Six requests that Graph refuses for now, and two that are none.
async fn refused(rig: &Rig) {
    rig.handle().add_fault(Fault::answer(400).on(Operation::CreateMessage));
    for n in 0..6 {
        rig.publish(plain(request(n, &mailbox(n)))).await;
    }
    for n in 0..2 {
        let id = Some(format!("bad-{n}"));
        rig.publish(Message { id, ..plain("this is not JSON") }).await;
    }
    rig.drained(LOAD).await;
    rig.handle().clear_faults(None);
    assert_eq!((rig.bus.stored(DEAD).await, rig.copies().len()), (8, 0));
}

async fn what_is_chosen_is_put_back_beside_a_running_worker_and_the_rest_stays(on: On) {
    let rig = Rig::new(on, plan()).await;
    let _program = rig.start();
    refused(&rig).await;
    let mut sent = 0;
    for (filter, count) in [
        (vec!["orders", "--key", "r3"], 1),
        (vec!["--code", "graph_refused", "--limit", "2"], 2),
        (vec!["--code", "graph_refused", "--until", "1h"], 0),
        (vec!["--status", "unknown"], 0),
        (vec!["--code", "graph_refused", "--status", "rejected", "--since", "1h"], 3),
        (vec!["--code", "graph_refused"], 0),
    ] {
        assert_eq!(replayed(&rig, &filter).await, count, "{filter:?}");
        rig.drained(LOAD).await;
        sent += count;
        assert_eq!(rig.copies().values().sum::<usize>() as u64, sent, "{filter:?}");
    }
    // what is left is put back, and is dead-lettered again under the same key
    assert_eq!(replayed(&rig, &[]).await, 2);
    rig.drained(LOAD).await;
    assert_eq!(rig.bus.stored(DEAD).await, 10);
    for (key, statuses) in statuses(&rig).await {
        let last = if key.starts_with('r') { Status::Accepted } else { Status::Rejected };
        assert_eq!(statuses, [Status::Rejected, last], "{key}");
    }
    assert!(rig.copies().values().all(|copies| *copies == 1), "{:?}", rig.copies());
}

async fn a_dry_run_lists_and_changes_nothing(on: On) {
    let rig = Rig::new(on, plan()).await;
    let mut program = rig.start();
    refused(&rig).await;
    program.sigterm().expect("it is asked to stop");
    program.wait_exit(SOON).await.expect("it stops");
    let dry = ["--dry-run", "--format", "json", "--code", "graph_refused"];
    for _ in 0..2 {
        let ran = replay(&rig.launch, &dry).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let keys: BTreeSet<_> =
            lines.filter_map(|line| Some(line["key"].as_str()?.to_owned())).collect();
        assert_eq!(keys, (0..6).map(|n| format!("r{n}")).collect());
        let summary = ran.summary();
        assert_eq!((&summary["replayed"], &summary["would_be_replayed"]), (&0.into(), &6.into()));
        assert_eq!((rig.bus.waiting().await, rig.bus.stored(DEAD).await), (0, 8));
        assert!(!ran.stdout.contains("example.org"), "no recipient is told: {}", ran.stdout);
    }
    assert_eq!(replayed(&rig, &["--code", "graph_refused"]).await, 6);
    assert_eq!(rig.bus.waiting().await, 6);
}

/// Of two mails Graph says nothing that tells whether they were sent, and one was.
async fn what_may_have_been_sent_is_looked_for_and_sent_only_if_it_was_not(on: On) {
    let rig = Rig::new(on, plan()).await;
    let handle = rig.handle();
    let lost = Fault::answer(504).on(Operation::SendMessage);
    handle.add_fault(lost.clone().mailbox(mailbox(0)).after());
    handle.add_fault(lost.mailbox(mailbox(1)));
    let _program = rig.start();
    for n in 0..2 {
        rig.publish(plain(request(n, &mailbox(n)))).await;
    }
    rig.drained(LOAD).await;
    handle.clear_faults(None);
    assert_eq!(rig.copies(), [("r0".to_owned(), 1)].into());
    assert!(statuses(&rig).await.values().all(|statuses| *statuses == [Status::Unknown]));

    assert_eq!(replayed(&rig, &["--status", "unknown"]).await, 2);
    rig.drained(LOAD).await;
    assert_eq!(rig.copies(), [("r0".to_owned(), 1), ("r1".to_owned(), 1)].into());
    for (key, statuses) in statuses(&rig).await {
        assert_eq!(statuses, [Status::Unknown, Status::Accepted], "{key}");
    }
    // the control: published by hand the same request has no doubt, and is sent once more
    rig.publish(plain(request(0, &mailbox(0)))).await;
    rig.drained(LOAD).await;
    assert_eq!(rig.copies()["r0"], 2);
}

const LETTERS: usize = 3_000;

/// Dead letters, replays that are killed among them, and another one to the end. Gives how many
/// requests then stood on the bus, and how many mails were sent more than once.
async fn killed_in_the_middle(on: On, guarantee: &'static str) -> (u64, usize) {
    let mut plan = Plan { guarantee, ..plan() };
    if on == On::Kafka {
        plan.state = true;
        plan.pipeline += "\n      dedupe: { window: 24h }";
    }
    let rig = Rig::new(on, plan).await;
    let letters = on.part_of(LETTERS);
    // what is put back twice is stored twice
    if let Bus::Nats(nats) = &rig.bus {
        let requests = nats.jetstream.get_stream(REQUESTS).await.expect("the stream");
        let config = requests.cached_info().config.clone();
        let short = stream::Config { duplicate_window: Duration::from_millis(100), ..config };
        nats.jetstream.update_stream(short).await.expect("a shorter window");
    }
    let refusing = [Operation::CreateMessage, Operation::SendMail];
    for operation in refusing {
        rig.handle().add_fault(Fault::answer(400).on(operation));
    }
    let mut program = rig.start();
    rig.publish_load(0, letters, 50).await;
    rig.drained(LOAD).await;
    program.sigterm().expect("it is asked to stop");
    program.wait_exit(SOON).await.expect("it stops");
    rig.handle().clear_faults(None);

    // often, so that some death is between a publish and its letter's acknowledgement
    let mut before = 0;
    while before < letters as u64 / 2 {
        let mut replay = command(&rig.launch, &["orders"]);
        let more = async || rig.bus.waiting().await > before + 20;
        until(SOON, "some are put back", more).await;
        replay.kill9().expect("killed");
        replay.wait_exit(SOON).await.expect("it is gone");
        before = rig.bus.waiting().await;
    }
    assert!(before < letters as u64, "it was killed in the middle: {before}");
    replayed(&rig, &[]).await;
    let stored = rig.bus.waiting().await;
    assert!(stored >= letters as u64, "none is missing: {stored}");
    assert_eq!(replayed(&rig, &[]).await, 0, "nothing is left");

    let _program = rig.start();
    rig.drained(LOAD).await;
    let copies = rig.copies();
    assert_eq!(copies.len(), letters, "every mail is sent");
    (stored, copies.values().filter(|copies| **copies > 1).count())
}

/// Over Kafka with a ledger: without one, some of what was put back twice has been seen to be sent
/// twice, which is not shown here.
async fn a_replay_killed_in_the_middle_is_run_again_and_every_mail_is_sent_once(on: On) {
    let (stored, doubled) = killed_in_the_middle(on, "once").await;
    assert_eq!(doubled, 0, "of {stored} that were put back");
    println!("{stored} were put back");
}

/// The control: where nobody looks, what was put back twice is sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_looks_a_replay_killed_in_the_middle_doubles() {
    let (stored, doubled) = killed_in_the_middle(On::Nats, "at_least_once").await;
    assert!(doubled as u64 <= stored - LETTERS as u64, "only what was put back twice: {stored}");
    assert!(doubled > 0, "some death was between a publish and its acknowledgement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_replayed_is_said_with_its_exit_code() {
    let mut rig = Rig::new(On::Nats, plan()).await;
    for (arguments, code, said) in [
        (vec!["order"], 2, "did you mean `orders`?"),
        (vec!["--code", "graph_refuse"], 2, "did you mean graph_refused?"),
        (vec!["--since", "yesterday"], 2, "or a span such as 2h"),
        (vec!["--limit", "0"], 2, "--limit"),
        (vec![], 0, "no letter is left here"),
    ] {
        let ran = replay(&rig.launch, &arguments).await;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!((ran.stdout + &ran.stderr).contains(said), "{arguments:?}: {said}");
    }
    rig.bus.nats().stop().await.expect("it stops");
    let ran = replay(&rig.launch, &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for said in ["nothing was put back", "pipelines.orders.requests.from", "bus_unreachable"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let launch = files("from: { bus: files, path: \"-\" }", "*@contoso.example");
    let ran = replay(&launch, &[]).await;
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    std::fs::write(launch.folder().join("config.yaml"), "pipelines: 5").expect("a file");
    assert_eq!(replay(&launch, &[]).await.code, Some(78));
}

/// A pipeline over files, in a folder of its own.
fn files(from: &str, allow: &str) -> Launch {
    let launch = Launch::mailbridge().expect("the program").args(["run"]);
    let here = launch.folder().display();
    // another process, in a folder of its own, is to find the same files
    let from = from.replace("path: requests", &format!("path: {here}/requests"));
    let config = format!(
        r#"
connections: {{ demo: {{ cloud: sandbox }} }}
buses: {{ files: {{ local: {{ dir: {here}/state }} }} }}
pipelines:
  orders:
    requests:
      {from}
      connection: demo
      allow_mailboxes: ["{allow}"]
      outcomes: {{ bus: files, path: {here}/outcomes.ndjson }}
      dead_letters: {{ bus: files, path: {here}/dead.ndjson }}
"#
    );
    launch.config(&config).expect("a file")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_in_a_file_go_back_to_the_file_they_came_from() {
    let from = "from: { bus: files, path: requests.ndjson }";
    let launch = files(from, "nobody@contoso.example");
    let folder = launch.folder().to_owned();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let lines: Vec<_> = (0..3).map(|n| request(n, &mailbox(n)) + "\n").collect();
    std::fs::write(folder.join("requests.ndjson"), lines.concat()).expect("a file");
    let run = async || {
        let status = launch.start().expect("it starts").wait_exit(SOON).await;
        assert!(status.expect("it ends").success());
    };
    run().await;
    assert_eq!(read("dead.ndjson").lines().count(), 3);
    // somebody puts right what the letters name
    let config = read("config.yaml").replace("nobody@", "*@");
    std::fs::write(folder.join("config.yaml"), config).expect("a file");
    for count in [3, 0] {
        let ran = replay(&launch, &["--format", "json"]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.summary()["replayed"], count);
    }
    assert_eq!(read("requests.ndjson").lines().count(), 6);
    run().await;
    let outcomes = read("outcomes.ndjson");
    assert_eq!(outcomes.matches("\"accepted\"").count(), 3, "{outcomes}");
}
