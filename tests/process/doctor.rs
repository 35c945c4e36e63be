//! `mailbridge doctor` against a sandbox: every misconfiguration that it can name is made, and it
//! must name the right one, at the right step, with the right exit code. A row of its table without
//! a case fails here.

mod cases;
mod kinds;
pub mod world;

use std::collections::BTreeSet;

use mailbridge_graph::doctor::{Finding, Severity, Step};
use mailbridge_sandbox::{App, DEMO_CLIENT_ID, MailboxGrant};
use serde_json::Value;

use cases::cases;
use world::{Case, MAILBOX, SECRET, granted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misconfiguration_is_named_with_its_step_and_exit_code() {
    let mut made = BTreeSet::new();
    for case in cases() {
        let ran = case.run(&["--format", "json", "--log", "trace"]).await;
        let name = case.name;
        let report = ran.report();
        let found = findings(&report);
        assert_eq!(ran.code, case.exit, "{name}: {found:?} {}", ran.stderr);
        assert!(found.contains(&case.finding.id().to_owned()), "{name}: {found:?} {report:#}");
        let steps = &report["connections"][0]["steps"];
        let step = &steps[case.finding.step().number() - 1];
        let at_step: Vec<_> = step["findings"].as_array().expect("a list").iter().collect();
        assert!(at_step.iter().any(|it| it["id"] == case.finding.id()), "{name}: {step:#}");
        let status = if case.exit == 0 { "warning" } else { "failed" };
        assert_eq!(step["status"], status, "{name}: {step:#}");
        assert_eq!(report["ok"], case.exit == 0, "{name}");
        // nothing else is blamed
        let failures = failures(&report);
        let only = if case.exit == 0 { vec![] } else { vec![case.finding.id().to_owned()] };
        assert_eq!(failures, only, "{name}");
        assert!(steps_are_whole(steps), "{name}: {steps:#}");
        ran.tells_no_secret(name);
        made.insert(case.finding);
    }
    let all: BTreeSet<_> = Finding::ALL.iter().copied().collect();
    let elsewhere = BTreeSet::from(cases::TESTED_ELSEWHERE);
    let missing: Vec<_> =
        all.iter().filter(|it| !made.contains(it) && !elsewhere.contains(it)).collect();
    assert!(missing.is_empty(), "rows of the table that no case makes: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_app_passes_all_six_steps_and_nothing_is_sent_or_changed() {
    let case = Case::healthy();
    let sandbox = case.sandbox().await;
    let ran = case.run_in(&sandbox, &["--format", "json", "--log", "trace"]).await;
    let report = ran.report();
    assert_eq!((ran.code, findings(&report)), (0, vec![]), "{report:#}");
    let steps = report["connections"][0]["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["status"] == "ok"), "{report:#}");
    assert!(ran.stderr.contains("graph was asked"), "the log is on: {}", ran.stderr);
    ran.tells_no_secret("healthy");
    let summary = sandbox.handle().truth().summary();
    assert_eq!((summary.sent_total, summary.drafts_left), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_credential_passes_when_it_is_right() {
    for case in kinds::healthy() {
        let ran = case.run(&["--format", "json", "--log", "trace"]).await;
        let report = ran.report();
        assert_eq!((ran.code, findings(&report)), (0, vec![]), "{}: {report:#}", case.name);
        ran.tells_no_secret(case.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_examined_apart_and_one_can_be_picked() {
    let case = Case::healthy();
    let sandbox = case.sandbox().await;
    let mut config = case.config(&sandbox);
    let broken = config.replace(DEMO_CLIENT_ID, "99999999-0000-4000-8000-000000000001");
    let section = broken.split("connections:\n").nth(1).and_then(|it| it.split("buses:").next());
    let section = section.expect("a connection").replace("contoso:", "broken:");
    config = config.replace("buses:", &format!("{section}buses:"));
    let ran = world::doctor(&config, &["--format", "json"]).await;
    let report = ran.report();
    assert_eq!((ran.code, findings(&report)), (1, vec!["app_not_found".to_owned()]));
    assert_eq!(report["connections"][1]["connection"], "contoso");
    let one = world::doctor(&config, &["--format", "json", "--connection", "contoso"]).await;
    assert_eq!(one.code, 0, "{}", one.stdout);
    let wrong = world::doctor(&config, &["--connection", "contosa"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("did you mean `contoso`?"), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_online_is_the_check_and_then_the_doctor() {
    let case = Case::healthy();
    let sandbox = case.sandbox().await;
    sandbox.handle().expire_secret(DEMO_CLIENT_ID, None).expect("the app is known");
    let config = case.config(&sandbox);
    let ran = world::mailbridge(&["check", "--online"], &config).await;
    assert_eq!(ran.code, 1);
    let (check, doctor) = ran.stdout.split_once("the configuration is right").expect("the check");
    assert!(check.contains("pipeline orders"), "{check}");
    assert!(doctor.contains("secret_expired"), "{doctor}");
    let offline = world::mailbridge(&["check"], &config).await;
    assert_eq!(offline.code, 0, "nothing is asked without --online");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_terminal_it_reads_well() {
    let expired = Case::healthy();
    let sandbox = expired.sandbox().await;
    sandbox.handle().expire_secret(DEMO_CLIENT_ID, None).expect("the app is known");
    let mut shown = expired.run_in(&sandbox, &[]).await.shown(&sandbox);

    let grant = MailboxGrant::new("Application Mail.Send", [MAILBOX]);
    let mut wide = Case::healthy();
    wide.app = App::new(DEMO_CLIENT_ID)
        .secret(SECRET)
        .roles(["Mail.Send", "Mail.ReadWrite", "Calendars.Read"])
        .grant(grant);
    let sandbox = wide.sandbox().await;
    shown.push_str("\n----\n\n");
    shown.push_str(&wide.run_in(&sandbox, &[]).await.shown(&sandbox));

    let mut denied = Case::healthy();
    denied.values.mailboxes = &[MAILBOX, "it's@contoso.example", "bob@outlook.com"];
    let sandbox = denied.sandbox().await;
    shown.push_str("\n----\n\n");
    shown.push_str(&denied.run_in(&sandbox, &[]).await.shown(&sandbox));
    assert!(!shown.contains('\x1b'), "no colour where there is no terminal");
    insta::assert_snapshot!(shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setup_script_is_filled_in_also_for_an_app_that_is_not_there_yet() {
    let config = "connections: { contoso: { tenant: contoso.example } }\n";
    let ran = world::doctor(config, &["--print-setup"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for line in ["#!/usr/bin/env bash", "TENANT='contoso.example'", "CLIENT_ID=''"] {
        assert!(ran.stdout.lines().any(|it| it == line), "{line}");
    }
    let case = Case::healthy();
    let sandbox = case.sandbox().await;
    let arguments = ["--print-setup", "--shell", "powershell"];
    let ran = world::doctor(&case.config(&sandbox), &arguments).await;
    let mailboxes = format!("$Mailboxes = '{MAILBOX}'");
    for line in ["$Permissions = 'Mail.Send Mail.ReadWrite'", &mailboxes] {
        assert!(ran.stdout.lines().any(|it| it == line), "{line}");
    }
}

/// The directory is needed by no pipeline that sends, so this is asked of the library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_mailboxes_up_needs_a_permission_of_its_own() {
    let case = Case::healthy();
    let sandbox = case.sandbox().await;
    let ids = |app: App| async {
        let mut case = Case::healthy();
        case.app = app;
        let sandbox = case.sandbox().await;
        case.examine_with_discovery(&sandbox).await
    };
    let denied = case.examine_with_discovery(&sandbox).await;
    let row = Finding::UserReadNotGranted;
    assert_eq!(denied, [(row, Step::Permissions, Severity::Failed)]);
    assert!(ids(granted().roles(["User.Read.All"])).await.is_empty());
}

fn findings(report: &Value) -> Vec<String> {
    collect(report, |_| true)
}

fn failures(report: &Value) -> Vec<String> {
    let mut failures = collect(report, |finding| finding["severity"] == "failed");
    failures.dedup();
    failures
}

fn collect(report: &Value, which: impl Fn(&Value) -> bool) -> Vec<String> {
    let connections = report["connections"].as_array().expect("connections");
    let steps = connections.iter().flat_map(|it| it["steps"].as_array().expect("steps"));
    let findings = steps.flat_map(|step| step["findings"].as_array().expect("findings"));
    let ids = findings.filter(|it| which(it)).map(|it| it["id"].as_str().expect("an id"));
    ids.map(str::to_owned).collect()
}

/// All six are listed in order, and one that was not reached names the one to cure.
fn steps_are_whole(steps: &Value) -> bool {
    let steps = steps.as_array().expect("steps");
    steps.len() == 6
        && steps.iter().enumerate().all(|(index, step)| {
            let waits = step["status"] == "not_reached";
            step["number"] == index + 1
                && step["step"] == Step::ALL[index].name()
                && waits == step["because_of"].is_string()
        })
}
