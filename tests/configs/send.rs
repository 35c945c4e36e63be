//! `mailbridge send` against a sandbox that keeps the truth.

use std::{fs, path::Path};

use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Sandbox};

use crate::program::{Ran, mailbridge};

fn connection(folder: &Path, sandbox: &str, secret: &str) {
    fs::write(folder.join("secret"), secret).expect("a secret");
    let config = format!(
        "connections:
  contoso:
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: {{ file: secret }} }}
    cloud: {{ login: '{sandbox}', graph: '{sandbox}' }}
"
    );
    fs::write(folder.join("connection.yaml"), config).expect("a configuration");
}

fn send(folder: &Path, more: &[&str]) -> Ran {
    let always = ["send", "--config", "connection.yaml", "--mailbox", "me@contoso.example"];
    let to = ["--to", "Bob <bob@example.org>", "--subject", "Hello"];
    mailbridge(folder, &[&always[..], &to, more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mail_with_text_html_and_a_file_and_the_same_id_sends_it_once() {
    let sandbox = Sandbox::builder().start_local().await.expect("a sandbox");
    let folder = tempfile::tempdir().expect("a folder");
    connection(folder.path(), &sandbox.base_url(), DEMO_CLIENT_SECRET);
    fs::write(folder.path().join("letter.html"), "<p>Dear Bob</p>").expect("a file");
    let whole = ["--text", "Dear Bob", "--html", "@letter.html", "--attach", "letter.html"];
    for _ in 0..2 {
        let ran = send(folder.path(), &[&whole[..], &["--id", "hello-1"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
        assert!(ran.stdout.starts_with("accepted: "), "{}", ran.stdout);
    }
    let sent = sandbox.handle().truth().sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((sent[0].subject.as_str(), sent[0].attachments.len()), ("Hello", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_told_with_its_cure_when_the_time_is_over() {
    let sandbox = Sandbox::builder().start_local().await.expect("a sandbox");
    let folder = tempfile::tempdir().expect("a folder");
    connection(folder.path(), &sandbox.base_url(), "hunter2");
    let Ran { code, stdout, stderr } = send(folder.path(), &["--timeout", "1s"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("no outcome within 1s; credential_secret_wrong: "), "{stderr}");
    assert!(stderr.contains("put the secret's value") && !stderr.contains("hunter2"), "{stderr}");
    assert_eq!(sandbox.handle().truth().sent_total(), 0);
}
