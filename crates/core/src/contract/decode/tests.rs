use super::*;
use crate::Headers;

fn message(payload: impl Into<Bytes>) -> Message {
    Message { payload: payload.into(), ..Message::default() }
}

fn at() -> Position {
    Position::new("nats:MAIL/7")
}

fn good(message: &Message) -> Decoded {
    decode(message, &at()).expect("a request")
}

fn bad(payload: &str) -> Undecodable {
    *decode(&message(payload.to_owned()), &at()).expect_err("no request")
}

const PLAIN: &str = r#"{"to":"bob@x.org","subject":"hi","text":"hello"}"#;

#[test]
fn plain_json_takes_its_key_from_the_best_source_it_has() {
    assert_eq!(good(&message(PLAIN)).key, Key::of_position(&at()));
    let by_bus = Message { id: Some("m-1".into()), ..message(PLAIN) };
    assert_eq!(good(&by_bus).key, Key::of_message_id("m-1"));
    let own = r#"{"id":"order-1","to":["bob@x.org"],"text":"hello"}"#;
    let by_id = Message { id: Some("m-1".into()), ..message(own) };
    assert_eq!(good(&by_id).key, Key::of_id("order-1"));
}

#[test]
fn a_message_of_which_only_the_beginning_was_read_is_too_large() {
    let headers = Headers::new().with(TRUNCATED_HEADER, "9000000");
    let undecodable = decode(&Message { headers, ..message(&PLAIN[..20]) }, &at()).unwrap_err();
    assert_eq!(undecodable.error.code(), Code::RequestTooLarge);
}

#[test]
fn cloud_events_in_both_modes() {
    let structured = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/shop","type":"t","traceparent":"00-a-b-01",
            "myext":1,"data":{PLAIN}}}"#
    );
    let decoded = good(&message(structured));
    assert_eq!(decoded.key, Key::of_cloud_event("/shop", "1"));
    assert_eq!(decoded.traceparent.as_deref(), Some("00-a-b-01"));
    for dash in ["-", "_"] {
        let headers = Headers::new()
            .with(format!("ce{dash}specversion"), "1.0")
            .with(format!("ce{dash}id"), "1")
            .with(format!("ce{dash}source"), "/shop")
            .with("content-type", "application/json; charset=utf-8");
        let decoded = good(&Message { headers, ..message(PLAIN) });
        assert_eq!(decoded.key, Key::of_cloud_event("/shop", "1"));
    }
}

#[test]
fn mime_as_the_payload_and_as_a_field() {
    let raw = "From: a@x.org\r\nTo: b@x.org\r\nSubject: hi\r\n\r\nhello\r\n";
    let headers = Headers::new()
        .with("content-type", "message/rfc822")
        .with(MAILBOX_HEADER, "a@x.org")
        .with(ID_HEADER, "m-1");
    let decoded = good(&Message { headers, ..message(raw) });
    assert_eq!(decoded.key, Key::of_id("m-1"));
    assert_eq!(decoded.request.mailbox, Some(Mailbox::new("a@x.org")));
    let Operation::Send(OutgoingMail::Mime(mail)) = decoded.request.operation else {
        panic!("MIME")
    };
    assert_eq!(mail.raw, raw);
    let field = format!(r#"{{"mime":"{}"}}"#, STANDARD.encode(raw));
    good(&message(field));
}

#[test]
fn what_is_wrong_is_named_and_no_value_is_repeated() {
    let many = (0..501).map(|n| format!("\"u{n}@x.org\"")).collect::<Vec<_>>().join(",");
    let cases = [
        ("  ".to_owned(), Code::RequestEmpty, ""),
        ("{oops".to_owned(), Code::RequestNotJson, ""),
        (format!("{PLAIN} x"), Code::RequestNotJson, ""),
        (r#"{"to":["bob@x.org",5]}"#.to_owned(), Code::RequestInvalid, "to.1"),
        (
            r#"{"to":"bob@x.org","subject":{"s":"secret-x"}}"#.into(),
            Code::RequestInvalid,
            "subject",
        ),
        (r#"{"to":"bob@x.org","sujet":"secret-x"}"#.into(), Code::RequestInvalid, "sujet"),
        (r#"{"to":"bob@x.org","not_after":"secret-x"}"#.into(), Code::RequestInvalid, "not_after"),
        (
            r#"{"to":"bob@x.org","importance":"secret-x"}"#.into(),
            Code::RequestInvalid,
            "importance",
        ),
        (r#"{"subject":"secret-x"}"#.into(), Code::RequestNoRecipient, "to"),
        (r#"{"to":"secret-x"}"#.into(), Code::RequestBadAddress, "to[0]"),
        (r#"{"to":"bob@x.org","id":""}"#.into(), Code::RequestBadId, "id"),
        (format!(r#"{{"to":[{many}]}}"#), Code::RequestTooManyRecipients, "to"),
        (
            format!(r#"{{"to":"bob@x.org","subject":"{}"}}"#, "s".repeat(256)),
            Code::RequestSubjectTooLong,
            "subject",
        ),
        (
            r#"{"to":"bob@x.org","headers":{"secret-x":"v"}}"#.into(),
            Code::RequestBadHeader,
            "headers[0]",
        ),
        (
            r#"{"to":"bob@x.org","headers":{"x-a":"v\r\nsecret-x: w"}}"#.into(),
            Code::RequestBadHeader,
            "headers[0]",
        ),
        (
            r#"{"to":"bob@x.org","attachments":[{"name":"a","content":"secret-x!"}]}"#.into(),
            Code::RequestBadAttachment,
            "attachments[0]",
        ),
        (
            format!(r#"{{"to":"bob@x.org","text":"{}"}}"#, "t".repeat(4_200_000)),
            Code::RequestTooLarge,
            "",
        ),
        (r#"{"mime":"aGk=","subject":"secret-x"}"#.into(), Code::RequestConflict, ""),
    ];
    for (payload, code, field) in cases {
        let shown = payload.chars().take(60).collect::<String>();
        let error = bad(&payload).error;
        assert_eq!(error.code(), code, "{shown}: {error:?}");
        assert_eq!(error.field("field").unwrap_or_default(), field, "{shown}: {error:?}");
        assert!(!format!("{error:?}").contains("secret-x"), "{error:?}");
        assert!(!format!("{error:?}").contains("bob@"), "{error:?}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let error = bad(r#"{"to":"bob@x.org","subjet":"x"}"#).error;
    assert!(error.detail().contains("did you mean `subject`?"), "{error}");
}

#[test]
fn a_request_that_does_not_decode_keeps_its_id() {
    assert_eq!(bad(r#"{"id":"order-9","to":5}"#).key, Key::of_id("order-9"));
    assert_eq!(bad("nonsense").key, Key::of_position(&at()));
}

#[test]
fn an_unknown_content_type_is_refused() {
    let headers = Headers::new().with("content-type", "application/xml");
    let error = decode(&Message { headers, ..message("<a/>") }, &at()).unwrap_err().error;
    assert_eq!(error.code(), Code::RequestContentType);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _decoded = decode(&message(payload), &at());
    }
}

#[test]
fn text_that_looks_like_serdes_own_words_is_not_repeated_either() {
    let planted = "dear bob, the secret is";
    let messages = [
        format!("unknown field `a`, expected `{planted}`, expected one of `to`, `text`"),
        format!("unknown field `a`, expected `{planted}`, there are no fields"),
        format!(r#"invalid type: string "a at line {planted}", expected u64"#),
        format!(r#"invalid type: string "a at line 1 column {planted}", expected u64"#),
        format!("unknown variant `a`, expected `{planted}`, expected `low` or `high`"),
    ];
    for message in messages {
        let shown = without_values(&message);
        assert!(!shown.contains("bob"), "{message}: {shown}");
    }
    assert_eq!(
        without_values("unknown field `txt`, expected `text` or `to` at line 3 column 14"),
        "unknown key `txt`; did you mean `text`? at line 3 column 14"
    );
    let odd_key = format!("{{\"to\":\"bob@x.org\",\"a`, expected `{planted}\":1}}");
    let shown = bad(&odd_key).error.to_string();
    assert!(!shown.contains(planted), "{shown}");
}

#[test]
fn mime_in_base64_is_never_taken_for_a_json_string() {
    let raw = "\"odd: header\r\nTo: bob@x.org\r\n\r\nhello";
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/shop","type":"t",
            "datacontenttype":"message/rfc822","data_base64":"{}"}}"#,
        STANDARD.encode(raw)
    );
    good(&message(event));
}
