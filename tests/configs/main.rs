//! The built program and its configurations: every example is right, every mistake has its message,
//! and what scripts and people rely on (exit codes, help, the quickstart) stays as it is.

mod broken;
mod compose;
mod deploy;
mod examples;
mod guide;
mod posted;
mod program;
mod send;
mod watched;

use std::{fs, net::TcpListener};

use mailbridge_core::contract::{Outcome, Status};
use program::{Ran, examples, mailbridge, repository};

#[test]
fn every_example_is_right() {
    let examples = examples();
    assert!(examples.len() >= 2, "{examples:?}");
    for example in examples {
        let ran = mailbridge(&repository(), &["check", &example]);
        // the secrets of the examples are not here, and nothing else may be said of them
        let absent = |line: &str| match line.strip_prefix("warning: ") {
            Some(it) => it.contains("cannot be read") || it.contains("variable is not set"),
            None => line.starts_with("    cure: put the secret"),
        };
        assert!(ran.code == 0 && ran.stderr.lines().all(absent), "{example}: {}", ran.stderr);
        assert!(ran.stdout.contains("the configuration is right"), "{example}: {}", ran.stdout);
    }
}

#[test]
fn the_quickstart_sends_what_is_right_and_explains_what_is_not() {
    // Where the first command of the README runs, with its results in a folder of its own.
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("target")).expect("a folder");
    let link = |name| {
        std::os::unix::fs::symlink(repository().join(name), folder.path().join(name))
            .expect("a link");
    };
    link("configs");
    for run in 1..=2 {
        let ran = mailbridge(folder.path(), &["run", "configs/quickstart.yaml"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "run {run}");
        let count = |start: &str| ran.stdout.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("accepted "), count("rejected ")), (10, 2), "{}", ran.stdout);
        for wanted in [
            "did you mean `subject`?",
            "request_mailbox_not_allowed",
            "12 in ",
            "sent: 10; sent twice: none; drafts left: 0",
            "explain request_invalid",
        ] {
            assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("ada@example.org"), "no recipient is shown: {}", ran.stdout);
    }
    let dead = fs::read_to_string(folder.path().join("target/quickstart-dead-letters.ndjson"));
    let dead = dead.expect("dead letters");
    assert!(dead.contains("misspelt on purpose"), "a dead letter holds the original: {dead}");
    assert!(!folder.path().join(".mailbridge").exists(), "it leaves nothing else behind");
}

#[test]
fn the_inbox_quickstart_streams_until_it_is_asked_to_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("target")).expect("a folder");
    let example = repository().join("configs/inbox-quickstart.yaml");
    let told = |line: &str| line.starts_with("received  support@contoso.example");
    let ran = program::until(folder.path(), &["run", &example.to_string_lossy()], told, 4);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("received by support"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("ada@example.org"), "no sender is shown: {}", ran.stdout);
    let events = fs::read_to_string(folder.path().join("target/inbox-events.ndjson"));
    let events = events.expect("events");
    assert!(events.lines().count() >= 4 && events.contains("invoice.csv"), "{events}");
}

#[test]
fn a_pipe_carries_requests_in_and_outcomes_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = repository().join("configs/pipe.yaml");
    let cloud = ("MAILBRIDGE_CONNECTIONS__CONTOSO__CLOUD", "sandbox");
    let requests =
        "{\"id\": \"a\", \"to\": \"bob@example.org\", \"subject\": \"Hi\"}\nnot a request\n";
    let ran = program::piped(folder.path(), &["run", &example.to_string_lossy()], cloud, requests);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut outcomes: Vec<Outcome> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    outcomes.sort_by_key(|outcome| outcome.data.status.as_str());
    let told: Vec<_> =
        outcomes.iter().map(|it| (it.data.status, it.data.code.as_deref())).collect();
    assert_eq!(told, [(Status::Accepted, None), (Status::Rejected, Some("request_not_json"))]);
    assert_eq!(outcomes[0].data.key, "a");
}

#[test]
fn a_variable_overrides_a_key_and_never_a_secret() {
    let check = |name: &str, value: &str| {
        program::with_variable(&repository(), &["check", "configs/nats.yaml"], name, value)
    };
    let ran = check("MAILBRIDGE_CONNECTIONS__CONTOSO__CLOUD", "sandbox");
    assert!(ran.stdout.contains("to a sandbox inside this process"), "{}", ran.stdout);
    let ran = check("MAILBRIDGE_HTTP__LISTEN", "8080");
    assert_eq!(ran.code, 78);
    assert!(ran.stderr.starts_with("$MAILBRIDGE_HTTP__LISTEN: http.listen: "), "{}", ran.stderr);
    let secret = "0123456789";
    let ran = check("MAILBRIDGE_CONNECTIONS__CONTOSO__CREDENTIAL__CLIENT_SECRET", secret);
    assert_eq!(ran.code, 78);
    assert!(ran.stderr.contains("{ env: NAME }") && !ran.stderr.contains(secret), "{}", ran.stderr);
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    for (code, arguments) in [
        (0, &["explain", "request_invalid"][..]),
        (0, &["schema", "config"]),
        (0, &["send", "--sandbox", "--to", "a@example.org"]),
        (0, &["send", "--sandbox", "--dry-run", "--to", "a@example.org"]),
        (1, &["send", "--sandbox", "--to", "nobody"]),
        (2, &["explain", "request_invlid"]),
        (2, &["run"]),
        (2, &["no-such-command"]),
        (78, &["check", "no-such-file.yaml"]),
        (78, &["run", "no-such-file.yaml"]),
    ] {
        let ran = mailbridge(&repository(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let example = "configs/quickstart.yaml";
    let Ran { code, stderr, .. } = mailbridge(&repository(), &["run", example, "--http", &address]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("listen_failed") && stderr.contains("choose another address"),
        "{stderr}"
    );
}

#[test]
fn every_code_is_explained() {
    let all = mailbridge(&repository(), &["explain"]).stdout;
    for line in all.lines() {
        let code = line.split_whitespace().next().expect("a code");
        assert!(mailbridge_core::Code::ALL.iter().any(|known| known.as_str() == code), "{line}");
    }
    assert_eq!(all.lines().count(), mailbridge_core::Code::ALL.len());
}

#[test]
fn schemas_are_whole() {
    for what in ["config", "request", "outcome", "event", "doctor"] {
        let text = mailbridge(&repository(), &["schema", what]).stdout;
        let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for reference in text.split("\"$ref\": \"").skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default().trim_start_matches('#');
            assert!(schema.pointer(pointer).is_some(), "{what}: {pointer}");
        }
    }
    let text = mailbridge(&repository(), &["schema", "config"]).stdout;
    for plugin in ["nats", "local"] {
        assert!(text.contains(&format!("\"{plugin}\": {{")), "{plugin}");
    }
}

#[test]
fn help_is_as_it_was() {
    let help = |command: &str| {
        let arguments: Vec<_> =
            [command, "--help"].into_iter().filter(|argument| !argument.is_empty()).collect();
        let ran = mailbridge(&repository(), &arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        format!("$ mailbridge {}\n{}\n", arguments.join(" "), ran.stdout)
    };
    let commands = [
        "", "run", "check", "doctor", "render", "test", "cursor", "sandbox", "send", "schema",
        "explain",
    ];
    insta::assert_snapshot!(commands.map(help).concat());
}
