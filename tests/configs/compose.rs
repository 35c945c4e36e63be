//! `render` and `test`, run on the example that they are made for.

use serde_json::Value;

use crate::program::{self, mailbridge, repository};

const EXAMPLE: &str = "configs/compose.yaml";
const EVENT: &str = "configs/compose/order.json";

fn rendered(arguments: &[&str]) -> (i32, Value) {
    let arguments = [&["render", "--format", "json", EXAMPLE, "orders"], arguments].concat();
    let ran = mailbridge(&repository(), &arguments);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr)))
}

#[test]
fn render_shows_the_request_and_what_graph_would_be_sent() {
    let (code, shown) = rendered(&[EVENT]);
    assert_eq!((code, &shown["key"]), (0, &"order-1001".into()), "{shown}");
    assert_eq!(shown["request"]["subject"], "Your order 1001 (63.90 EUR)");
    assert_eq!(shown["request"]["to"][0]["name"], "Müßig & Söhne, Jürgen");
    assert_eq!(shown["graph"]["path"], "/users/shop@contoso.example/messages");
    let mime = shown["graph"]["mime"].as_str().expect("text and html go as MIME");
    assert!(mime.contains("filename=\"order-1001.csv\"") && mime.contains("(46 bytes)"), "{mime}");
    let text = mailbridge(&repository(), &["render", EXAMPLE, "orders", EVENT]).stdout;
    for wanted in ["key      order-1001", "\nrequest\n{", "\nto Graph\nPOST /users/"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn render_says_why_an_event_is_no_mail() {
    let piped = |event: &str, more: &[&str]| {
        let arguments = [&["render", EXAMPLE, "orders", "-"], more].concat();
        program::piped(&repository(), &arguments, ("X", "x"), event)
    };
    let ran = piped(r#"{"total":1}"#, &[]);
    assert_eq!((ran.code, ran.stdout.starts_with("skipped: ")), (0, true), "{}", ran.stdout);
    let event = r#"{"total":1,"number":7}"#;
    let attributes =
        ["ce-specversion: 1.0", "ce-id: e7", "ce-source: /s", "ce-type: order.created"];
    let headers: Vec<_> = attributes.iter().flat_map(|it| ["--header", it]).collect();
    let ran = piped(event, &headers);
    assert_eq!(ran.code, 1);
    for wanted in ["rejected: compose_failed: ", "missing: data.customer", "key   order-7", "cure"]
    {
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
    let ran = mailbridge(&repository(), &["render", EXAMPLE, "order", EVENT]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean `orders`?"), "{}", ran.stderr);
}

#[test]
fn a_pipeline_of_requests_as_they_are_is_rendered_too() {
    let event =
        r#"{"to":"a@example.org","html":"<p>","attachments":[{"name":"a","content":"aGk="}]}"#;
    let arguments = ["render", "--format", "json", "configs/quickstart.yaml", "quickstart", "-"];
    let ran = program::piped(&repository(), &arguments, ("X", "x"), event);
    let shown: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        shown["graph"]["body"]["toRecipients"][0]["emailAddress"]["address"],
        "a@example.org"
    );
    assert_eq!(shown["graph"]["body"]["attachments"][0]["contentBytes"], "(2 bytes)");
}

#[test]
fn tests_beside_a_pipeline_pass_or_say_what_differs() {
    let ran = mailbridge(&repository(), &["test", EXAMPLE]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("4 passed, 0 failed\n"), "{}", ran.stdout);
    // another configuration over it, whose one test expects what is not so
    let folder = tempfile::tempdir().expect("a folder");
    let over = folder.path().join("over.yaml");
    let tests = r"
pipelines: { orders: { requests: { tests: [
  { name: wrong, event: configs/compose/order.json, expect: {
      request: { subject: Your order 1002, to: bob@example.org }, contains: { text: Goodbye } } },
  { name: no error, event: configs/compose/order.json, expect: { error: request_bad_address } },
] } } }";
    std::fs::write(&over, tests).expect("a file");
    let over = over.to_string_lossy();
    let ran = mailbridge(&repository(), &["test", EXAMPLE, &over]);
    assert_eq!(ran.code, 1);
    let wanted = "FAILED  orders: wrong
          subject
            expected  \"Your order 1002\"
            got       \"Your order 1001 (63.90 EUR)\"
          to[0]
            expected  \"bob@example.org\"
            got       \"Müßig & Söhne, Jürgen <juergen@example.org>\"
          text
            does not contain  \"Goodbye\"
FAILED  orders: no error
            expected  request_bad_address
            got       a request

0 passed, 2 failed
";
    assert_eq!(ran.stdout, wanted);
    let ran = mailbridge(&repository(), &["test", "--format", "junit", EXAMPLE, &over]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("<testsuite name=\"mailbridge\" tests=\"2\" failures=\"2\">"));
    let ran = mailbridge(&repository(), &["test", "configs/quickstart.yaml"]);
    assert_eq!(ran.code, 1, "no test is no success");
}
