//! The examples of requests over HTTP and of a staging system, run as their first lines say.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::program::{mailbridge, repository, until, with_variable};

#[test]
fn a_request_by_curl_is_a_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("target")).expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let over = format!(
        "pipelines: {{ http: {{ requests: {{ from: {{ http: \"{address}\" }}, \
         outcomes: {{ http: \"{address}\" }} }} }} }}"
    );
    fs::write(folder.path().join("over.yaml"), over).expect("a file");
    let example = repository().join("configs/http.yaml");
    let curl = thread::spawn(move || post(address));
    let accepted = |line: &str| line.starts_with("accepted ");
    let ran = until(folder.path(), &["run", &example.to_string_lossy(), "over.yaml"], accepted, 1);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let answer = curl.join().expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("\"id\""), "{answer}");
    assert!(ran.stdout.contains("sent: 1; sent twice: none"), "{}", ran.stdout);
    assert!(folder.path().join("target/http").is_dir(), "what waits has a place that is kept");
}

/// What the example's curl posts, as soon as somebody listens.
fn post(address: SocketAddr) -> String {
    let body = r#"{"to": "bob@example.org", "subject": "Hi", "text": "By curl."}"#;
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(cause) => assert!(Instant::now() < deadline, "{cause}"),
        }
        thread::yield_now();
    };
    write!(
        stream,
        "POST /requests HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_staging_system_redirects_or_rehearses() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("target")).expect("a folder");
    std::os::unix::fs::symlink(repository().join("configs"), folder.path().join("configs"))
        .expect("a link");
    let run = ["run", "configs/staging.yaml"];
    let redirected = mailbridge(folder.path(), &run);
    assert_eq!((redirected.code, redirected.stderr.as_str()), (0, ""));
    assert!(redirected.stdout.contains("sent: 10; sent twice: none"), "{}", redirected.stdout);
    let dry = ("MAILBRIDGE_PIPELINES__STAGING__REQUESTS__DRY_RUN", "true");
    let rehearsed = with_variable(folder.path(), &run, dry.0, dry.1);
    assert_eq!(rehearsed.code, 0, "{}", rehearsed.stderr);
    assert!(rehearsed.stdout.contains("sent: 0;"), "{}", rehearsed.stdout);
    assert!(rehearsed.stdout.contains("(dry run)"), "{}", rehearsed.stdout);
    let outcomes = fs::read_to_string(folder.path().join("target/staging-outcomes.ndjson"));
    let dry = outcomes.expect("outcomes").matches("\"dry_run\":true").count();
    assert_eq!(dry, 12, "each outcome of the second run says so");
}

#[test]
fn check_and_render_tell_of_guard_rails() {
    let example = "configs/staging.yaml";
    let dry = ("MAILBRIDGE_PIPELINES__STAGING__REQUESTS__DRY_RUN", "true");
    let checked = with_variable(&repository(), &["check", example], dry.0, dry.1).stdout;
    for told in [
        "except        mailboxes ceo@",
        "never all-staff@*",
        "redirected    every mail goes to \
         staging@contoso.example",
        "30 mails a minute, 1000 recipients a day",
        "dry run       nothing",
    ] {
        assert!(checked.contains(told), "{told}: {checked}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let event = folder.path().join("request.json");
    let request = r#"{"to": "customer@example.org", "cc": "boss@example.org", "text": "t"}"#;
    fs::write(&event, request).expect("a file");
    let render = ["render", example, "staging", &event.to_string_lossy()];
    let shown = mailbridge(&repository(), &render).stdout;
    let (request, to_graph) = shown.split_once("to Graph").expect("both parts");
    assert!(request.contains("goes to  staging@contoso.example"), "{request}");
    assert!(to_graph.contains("staging@contoso.example"), "{to_graph}");
    assert!(!to_graph.contains("example.org"), "{to_graph}");
}
