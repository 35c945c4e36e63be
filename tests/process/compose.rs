//! Events from a file, made into mails by templates: what arrives, what is passed by, and what an
//! event cannot do.

use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_sandbox::{
    DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Running, Sandbox, Sent,
};
use mailbridge_testkit::program::Launch;
use serde_json::{Value, json};

use crate::rig::{SOON, until};

const COMPOSE: &str = r#"
        templates: templates
        when: event.type == "order.created"
        id: "{{ data.number }}"
        to: "{{ data.name }} <{{ data.email }}>"
        subject: "Order {{ data.number }} of {{ data.name }}"
        text: { file: order.txt }
        html: { file: order.html }
        headers: { x-origin: "{{ event.headers['x-origin'] | default('-') }}" }
        attachments:
          - { for_each: data.files, name: "{{ item.name }}", text: "{{ item.text }}" }
"#;

const TEMPLATES: [(&str, &str); 4] = [
    ("order.txt", "Hello {{ data.name }},\n{% include 'lang/' ~ data.lang ~ '.txt' %}"),
    ("order.html", "{% extends 'base.html' %}{% block body %}<p>{{ data.name }}</p>{% endblock %}"),
    ("base.html", "<html>{% block body %}{% endblock %}</html>"),
    ("lang/de.txt", "danke für {{ data.count }} Stück."),
];

/// A program over files, and the sandbox that it sends to.
struct Scene {
    sandbox: Running,
    launch: Launch,
}

impl Scene {
    async fn new(events: &[Value], from: &str, compose: &str) -> Self {
        let sandbox = Sandbox::builder().seed(7).start_local().await.expect("a sandbox");
        let launch = Launch::mailbridge().expect("the program");
        let write = |name: &str, text: &str| {
            let path = launch.folder().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("secret", DEMO_CLIENT_SECRET);
        for (name, text) in TEMPLATES {
            write(&format!("templates/{name}"), text);
        }
        let lines: Vec<_> = events.iter().map(|event| format!("{event}\n")).collect();
        write("events.ndjson", &lines.concat());
        let base = sandbox.base_url();
        let config = format!(
            r#"
http: {{ listen: "127.0.0.1:0" }}
connections:
  contoso:
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: {{ file: secret }} }}
    cloud: {{ login: "{base}", graph: "{base}" }}
buses: {{ files: {{ local: {{}} }} }}
pipelines:
  orders:
    requests:
      from: {{ bus: files, path: events.ndjson{from} }}
      connection: contoso
      mailbox: shop@{DEMO_DOMAIN}
      outcomes: {{ bus: files, path: outcomes.ndjson }}
      dead_letters: {{ bus: files, path: dead.ndjson }}
      compose:
{compose}
"#
        );
        let launch = launch.args(["run"]).config(&config).expect("a configuration");
        Self { sandbox, launch }
    }

    /// Runs it to its end.
    async fn run(&self) {
        let mut program = self.launch.start().expect("the program starts");
        let status = program.wait_exit(SOON).await.expect("it ends");
        assert!(status.success(), "{:?}", program.lines());
        for line in program.lines() {
            assert!(!line.text.contains("evil"), "an event reaches the log: {}", line.text);
        }
    }

    fn sent(&self) -> Vec<Sent> {
        let mut sent = self.sandbox.handle().truth().sent();
        sent.sort_by(|a, b| a.subject.cmp(&b.subject));
        sent
    }

    /// The lines of a file that the program wrote.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.launch.folder().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = self
            .lines("outcomes.ndjson")
            .iter()
            .map(|line| decode::read(line.as_bytes()).expect("an outcome"))
            .collect();
        outcomes.sort_by(|a, b| a.data.key.cmp(&b.data.key));
        outcomes
    }
}

fn data(number: u64, name: &str, email: &str) -> Value {
    json!({
        "number": number, "name": name, "email": email, "lang": "de", "count": 2,
        "files": [{ "name": "größe.txt", "text": "äöü" }],
    })
}

fn event(kind: &str, data: &Value) -> Value {
    let id = format!("{kind}-{}", data["number"]);
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": kind, "data": data })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_mails_or_nothing_or_dead_letters() {
    let binary = json!({
        "headers": {
            "ce-specversion": "1.0", "ce-id": "7", "ce-source": "/shop",
            "ce-type": "order.created", "x-origin": "binary",
        },
        "payload": data(2, "山田 花子", "hanako@example.org").to_string(),
    });
    let mut incomplete = data(4, "Ann", "ann@example.org");
    incomplete["name"].take();
    let mut elsewhere = data(5, "Ann", "ann@example.org");
    elsewhere["lang"] = json!("../../secret");
    let events = [
        event("order.created", &data(1, "Müßig & <Co>, Jürgen", "juergen@example.org")),
        binary,
        event("order.deleted", &data(3, "Ann", "ann@example.org")),
        event("order.created", &incomplete),
        event("order.created", &elsewhere),
        json!({ "this": "is plain" }),
    ];
    let scene = Scene::new(&events, "", COMPOSE).await;
    scene.run().await;

    let sent = scene.sent();
    let subjects: Vec<_> = sent.iter().map(|sent| sent.subject.as_str()).collect();
    assert_eq!(subjects, ["Order 1 of Müßig & <Co>, Jürgen", "Order 2 of 山田 花子"]);
    assert_eq!(sent[0].to, ["juergen@example.org"]);
    assert_eq!(sent[0].names["juergen@example.org"], "Müßig & <Co>, Jürgen");
    assert_eq!(sent[0].body.as_deref(), Some("<html><p>Müßig &amp; &lt;Co&gt;, Jürgen</p></html>"));
    let text = "Hello Müßig & <Co>, Jürgen,\ndanke für 2 Stück.";
    assert_eq!(sent[0].alternative.as_deref(), Some(text));
    assert_eq!(sent[0].attachments[0].name, "größe.txt");
    assert_eq!(sent[0].attachments[0].bytes, "äöü".len());
    assert!(sent[0].headers.contains(&("x-origin".to_owned(), "-".to_owned())));
    assert!(sent[1].headers.contains(&("x-origin".to_owned(), "binary".to_owned())));

    let outcomes = scene.outcomes();
    let told: Vec<_> = outcomes
        .iter()
        .map(|it| (it.data.key.as_str(), it.data.status, it.data.code.as_deref()))
        .collect();
    let failed = Some("compose_failed");
    assert_eq!(
        told,
        [
            ("1", Status::Accepted, None),
            ("2", Status::Accepted, None),
            ("4", Status::Rejected, failed),
            ("5", Status::Rejected, failed),
        ],
        "what is passed by has no outcome"
    );
    let reason = outcomes[2].data.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("field: to") && reason.contains("null"), "{reason}");
    let reason = outcomes[3].data.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("templates/order.txt:2:") && !reason.contains("secret"), "{reason}");
    let dead = scene.lines("dead.ndjson");
    assert_eq!(dead.len(), 2);
    assert!(dead.iter().all(|line| line.contains("order.created")), "originals are kept: {dead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_event_holds_stays_where_the_template_puts_it() {
    let attempts = [
        ("Ann\r\nBcc: evil@example.org", "ann@example.org"),
        ("Ann", "ann@example.org\nSubject: evil"),
        ("Ann", "ann@example.org>, <evil@example.org"),
        ("Ann", "ann@example.org, evil@example.org"),
        ("evil@example.org>, \"Ann", "ann@example.org"),
        ("<script>evil()</script>{{ data.email }}{% include '../secret' %}", "ann@example.org"),
    ];
    let events: Vec<_> = attempts
        .iter()
        .zip(0..)
        .map(|((name, email), number)| event("order.created", &data(number, name, email)))
        .collect();
    let scene = Scene::new(&events, "", COMPOSE).await;
    scene.run().await;

    let sent = scene.sent();
    assert_eq!(sent.len(), 2, "two of them are harmless: {:?}", scene.outcomes());
    for sent in &sent {
        assert_eq!(sent.to, ["ann@example.org"]);
        assert!(sent.cc.is_empty() && sent.bcc.is_empty());
        let body = sent.body.as_deref().unwrap_or_default();
        assert!(!body.contains("<script>"), "{body}");
    }
    assert!(sent[1].subject.contains("{{ data.email }}"), "text is no template: {sent:?}");
    let codes: Vec<_> = scene.outcomes().into_iter().filter_map(|it| it.data.code).collect();
    let (failed, address) = ("compose_failed", "request_bad_address");
    assert_eq!(codes, [failed, failed, address, address]);
    for outcome in scene.lines("outcomes.ndjson") {
        assert!(!outcome.contains("evil"), "an event reaches an outcome: {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_would_never_end_harms_one_mail_and_no_other() {
    let compose = r#"
        to: a@example.org
        subject: "{{ data.n }}"
        text: "{% for a in range(data.n) %}{% for b in range(data.n) %}{{ data.pad }}{% endfor %}{% endfor %}"
"#;
    let event = |n: u64, pad: String| json!({ "n": n, "pad": pad });
    let events = [
        event(9000, String::new()),
        event(90, "x".repeat(1000)),
        event(60, "x".repeat(1000)),
        event(1, "y".to_owned()),
    ];
    let scene = Scene::new(&events, "", compose).await;
    scene.run().await;
    let sent = scene.sent();
    let subjects: Vec<_> = sent.iter().map(|sent| sent.subject.as_str()).collect();
    assert_eq!(subjects, ["1", "60"]);
    assert_eq!(sent[1].body_bytes, 3_600_000, "a large mail is one");
    let mut codes: Vec<_> = scene.outcomes().into_iter().filter_map(|it| it.data.code).collect();
    codes.sort();
    assert_eq!(codes, ["compose_failed", "request_too_large"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_passed_by_is_counted() {
    let events = [
        event("order.deleted", &data(1, "Ann", "ann@example.org")),
        event("order.created", &data(2, "Ann", "ann@example.org")),
        event("order.paid", &data(3, "Ann", "ann@example.org")),
    ];
    let scene = Scene::new(&events, ", follow: true", COMPOSE).await;
    let mut program = scene.launch.start().expect("the program starts");
    let line = program.wait_for(|line| line.contains("metrics are served"), SOON).await;
    let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    let url = format!("http://{}/metrics", line["address"].as_str().expect("an address"));
    let skipped = "mailbridge_requests_skipped_total{pipeline=\"orders\"} 2";
    until(SOON, "two events are passed by", async || metrics(&url).await.contains(skipped)).await;
    until(SOON, "one is sent", async || scene.sent().len() == 1).await;
    program.sigterm().expect("a signal");
    assert!(program.wait_exit(SOON).await.expect("it ends").success());
    assert_eq!(scene.outcomes().len(), 1);
}

#[expect(clippy::disallowed_methods, reason = "a test's own client of the program's HTTP side")]
async fn metrics(url: &str) -> String {
    let answer = reqwest::Client::new().get(url).send().await.expect("an answer");
    answer.text().await.expect("text")
}
