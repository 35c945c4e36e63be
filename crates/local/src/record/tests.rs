use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn written(message: &Message) -> String {
    let mut lines = Vec::new();
    write(message, &mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

#[test]
fn a_bare_object_is_the_payload() {
    let text = r#"{"to":"a@b.c","id":"7"}"#;
    let message = read(&line(text));
    assert_eq!((message.payload, message.id), (line(text), None));
    assert_eq!(id(&line(text)).as_deref(), Some("7"));
}

#[test]
fn a_record_carries_headers_id_key_and_any_payload() {
    let text = concat!(
        r#"{"headers":{"b":"1","a":["2",{"base64":"/w=="}]},"id":"7","key":"k","#,
        r#""payload":"From: \u00fc\r\n"}"#,
    );
    let message = read(&line(text));
    let names: Vec<_> = message.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a", "a"]);
    assert_eq!(message.headers.iter().last().unwrap().1, &[0xff][..]);
    assert_eq!(message.payload, line("From: ü\r\n"));
    assert_eq!((message.id.as_deref(), message.key), (Some("7"), Some(line("k"))));
    assert_eq!(id(&line(text)).as_deref(), Some("7"));
}

#[test]
fn a_record_may_hold_json_or_base64() {
    assert_eq!(read(&line(r#"{"payload": {"to": "a"} }"#)).payload, line(r#"{"to": "a"}"#));
    assert_eq!(read(&line(r#"{"payload_base64":"AP8="}"#)).payload, &[0, 0xff][..]);
}

#[test]
fn what_is_no_record_is_a_payload_as_it_stands() {
    for text in [
        r#"{"payload":"a","payload_base64":"YQ=="}"#,
        r#"{"payload":"a","to":"b"}"#,
        r#"{"payload_base64":"not base64"}"#,
        r#"{"payload":"a","headers":{"n":5}}"#,
        r#"{"headers":{}}"#,
        r#"["payload"]"#,
        "{",
        "plain",
    ] {
        assert_eq!(read(&line(text)).payload, line(text));
    }
    let bytes = Bytes::from_static(&[b'{', 0xff, b'}']);
    assert_eq!(read(&bytes).payload, bytes);
}

#[test]
fn the_short_form_is_used_where_it_loses_nothing() {
    let payload = r#"{"id":"7","subject":"k","traceparent":"t"}"#;
    let message = Message {
        id: Some("7".to_owned()),
        key: Some(line("k")),
        headers: Headers::new()
            .with("content-type", "application/cloudevents+json; charset=utf-8")
            .with("traceparent", "t"),
        payload: line(payload),
        ..Message::default()
    };
    assert_eq!(written(&message), format!("{payload}\n"));
    let edits: [fn(&mut Message); 6] = [
        |message| message.id = Some("8".to_owned()),
        |message| message.key = Some(line("other")),
        |message| message.headers.push("mailbridge-code", "x"),
        |message| message.headers = Headers::new().with("content-type", "text/plain"),
        |message| message.headers = Headers::new().with("traceparent", "other"),
        |message| message.payload = line("{\n}"),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let mut edited = message.clone();
        edit(&mut edited);
        assert!(written(&edited).contains("\"payload\":"), "edit {number}");
    }
}

#[test]
fn a_payload_that_looks_like_a_record_is_wrapped() {
    let message = Message { payload: line(r#"{"payload":"x"}"#), ..Message::default() };
    assert_eq!(written(&message), "{\"payload\":\"{\\\"payload\\\":\\\"x\\\"}\"}\n");
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        "[ -~\n\r\té\u{1F4E7}]{0,40}".prop_map(Bytes::from),
        Just(line(r#"{"id":"i","subject":"s"}"#)),
        Just(line(r#"{"payload":"x"}"#)),
    ]
}

proptest! {
    #[test]
    fn what_was_written_reads_as_it_was(
        payload in bytes(),
        key in prop::option::of(bytes()),
        id in prop::option::of("[a-z]{0,3}"),
        values in prop::collection::vec(("[ab]{1,2}", bytes()), 0..5),
    ) {
        let mut headers = Headers::new();
        for (name, value) in &values { headers.push(name, value.clone()); }
        let message = Message { id, key, headers, payload, ..Message::default() };
        let mut lines = Vec::new();
        write(&message, &mut lines).unwrap();
        prop_assert_eq!(lines.pop(), Some(b'\n'));
        prop_assert!(!lines.contains(&b'\n'));
        let line = Bytes::from(lines);
        let found = read(&line);
        prop_assert_eq!(&found.payload, &message.payload);
        if line != message.payload {
            prop_assert_eq!(&found.key, &message.key);
            prop_assert_eq!(&found.id, &message.id);
        }
        prop_assert!(message.id.is_none() || super::id(&line) == message.id);
        for (name, _) in &values {
            let of = |headers: &Headers| -> Vec<Bytes> {
                let same = headers.iter().filter(|(known, _)| known == name);
                same.map(|(_, value)| value.clone()).collect()
            };
            prop_assert_eq!(of(&found.headers), of(&message.headers));
        }
    }
}
