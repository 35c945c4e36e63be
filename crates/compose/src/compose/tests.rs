use mailbridge_core::{Code, Error, Headers, contract::Operation as Op};
use serde_json::json;

use super::*;

fn files(files: &[(&str, &str)]) -> TemplateFiles {
    let texts = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    TemplateFiles { folder: "templates".to_owned(), texts: texts.collect() }
}

fn composer(config: &Value, texts: &[(&str, &str)]) -> Result<Composer, Vec<Malformed>> {
    let config = serde_json::from_value(config.clone()).unwrap();
    Composer::new(&config, files(texts))
}

fn event(data: &Value) -> Message {
    let event = json!({
        "specversion": "1.0", "id": "7", "source": "/shop", "type": "order.created",
        "time": "2026-01-31T12:00:00Z", "data": data,
    });
    Message { payload: event.to_string().into(), ..Message::default() }
}

fn at() -> Position {
    Position::new("nats:SHOP:9")
}

/// The request's JSON.
fn request(config: &Value, data: &Value) -> Result<Value, Error> {
    let composer = composer(config, &[]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let message = composer.compose(&event(data), &at()).map_err(|it| it.error)?;
    Ok(serde_json::from_slice(&message.expect("a request").payload).unwrap())
}

/// Why an event is no request, read all the way.
fn refused(config: &Value, texts: &[(&str, &str)], data: &Value) -> Error {
    let composer = composer(config, texts).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    composer.decode(&event(data), &at()).expect_err("it is refused").error
}

#[test]
fn an_event_becomes_a_request_in_every_field() {
    let config = json!({
        "when": "event.type == 'order.created' and data.total > 0",
        "id": "order-{{ data.number }}",
        "mailbox": "{{ data.shop }}@contoso.com",
        "not_after": "{{ event.time | plus('2h') }}",
        "to": "{{ data.name }} <{{ data.email }}>,\n{% for a in data.more %}{{ a }},{% endfor %}",
        "cc": ["{{ data.email }}", "{{ data.none | default }}"],
        "bcc": "{{ data.more }}",
        "reply_to": "{{ data.none | default }}",
        "from": "Shop <shop@contoso.com>",
        "subject": "Your order\n  {{ data.number }} – {{ data.total | money('EUR') }}",
        "text": "Hello {{ data.name }}\n{% for line in data.lines %}- {{ line.sku }}\n{% endfor %}",
        "html": "<p>{{ data.name }}</p>",
        "importance": "{{ 'high' if data.total > 10 else 'normal' }}",
        "categories": ["Orders", "{{ data.none | default }}"],
        "headers": { "x-order": "{{ data.number }}" },
        "attachments": [
            { "name": "invoice-{{ data.number }}.pdf", "url": "s3://b/{{ data.number }}.pdf",
              "size": "{{ data.size }}", "sha256": "{{ data.none | default }}" },
            { "for_each": "data.lines", "when": "item.spec is defined", "name": "{{ item.sku }}.txt",
              "content_type": "text/plain", "text": "{{ item.spec }} <&>" },
            { "name": "a", "content": "aG\nk=" },
        ],
        "read_receipt": true,
    });
    let data = json!({
        "number": 1001, "total": 39.9, "shop": "shop", "name": "Smith, Jürgen & <Co>",
        "email": "j@x.org", "more": ["a@x.org", "b@x.org"], "none": null, "size": 12,
        "lines": [{ "sku": "kettle", "spec": "blau" }, { "sku": "pot" }],
    });
    let wanted = json!({
        "id": "order-1001",
        "mailbox": "shop@contoso.com",
        "not_after": "2026-01-31T14:00:00Z",
        "to": [{ "address": "j@x.org", "name": "Smith, Jürgen & <Co>" }, "a@x.org", "b@x.org"],
        "cc": ["j@x.org"],
        "bcc": ["a@x.org", "b@x.org"],
        "reply_to": [],
        "from": { "address": "shop@contoso.com", "name": "Shop" },
        "subject": "Your order 1001 – 39.90 EUR",
        "text": "Hello Smith, Jürgen & <Co>\n- kettle\n- pot\n",
        "html": "<p>Smith, Jürgen &amp; &lt;Co&gt;</p>",
        "importance": "high",
        "categories": ["Orders"],
        "headers": { "x-order": "1001" },
        "attachments": [
            { "name": "invoice-1001.pdf", "url": "s3://b/1001.pdf", "size": 12 },
            { "name": "kettle.txt", "content_type": "text/plain", "content": "YmxhdSA8Jj4=" },
            { "name": "a", "content": "aGk=" },
        ],
        "read_receipt": true,
    });
    assert_eq!(request(&config, &data).unwrap(), wanted);
    let composer = composer(&config, &[]).unwrap();
    let decoded = composer.decode(&event(&data), &at()).unwrap().unwrap();
    assert_eq!(decoded.key.as_str(), "order-1001");
    assert!(matches!(decoded.request.operation, Op::Send(_)));
}

#[test]
fn an_event_that_is_no_mail_is_passed_by() {
    let config = json!({ "when": "event.type == 'order.created' and data.total > 0", "to": "a@b" });
    let composer = composer(&config, &[]).unwrap();
    let decoded = |data| composer.decode(&event(&data), &at()).unwrap();
    assert!(decoded(json!({ "total": 0 })).is_none());
    assert!(decoded(json!({ "total": 1 })).is_some());
    // plain JSON has no type
    let plain = Message { payload: r#"{"total":1}"#.into(), ..Message::default() };
    assert!(composer.decode(&plain, &at()).unwrap().is_none());
}

#[test]
fn the_key_is_the_events_own_and_outlives_a_failure() {
    let config = json!({ "to": "{{ data.to }}", "id": "{{ data.id }}" });
    let with_id = composer(&config, &[]).unwrap();
    let without = composer(&json!({ "to": "{{ data.to }}" }), &[]).unwrap();
    let key = |composer: &Composer, message: &Message| match composer.decode(message, &at()) {
        Ok(decoded) => decoded.unwrap().key,
        Err(undecodable) => undecodable.key,
    };
    for to in ["a@x.org", "nobody"] {
        let good = event(&json!({ "to": to, "id": "i-1" }));
        assert_eq!(key(&with_id, &good).as_str(), "i-1", "{to}");
        assert_eq!(key(&without, &good).as_str(), "/shop#7", "{to}");
    }
    assert_eq!(key(&with_id, &event(&json!({ "id": "i-1" }))).as_str(), "i-1");
    assert_eq!(key(&with_id, &event(&json!({}))).as_str(), "/shop#7");
    let plain = Message { id: Some("m-1".to_owned()), payload: "{}".into(), ..Message::default() };
    assert_eq!(key(&without, &plain).as_str(), "m-1");
    let headers = Headers::new().with("traceparent", "00-1");
    let nothing = Message { headers, payload: "{".into(), ..Message::default() };
    let undecodable = without.decode(&nothing, &at()).unwrap_err();
    assert_eq!(undecodable.key.as_str(), "nats:SHOP:9");
    assert_eq!(undecodable.traceparent.as_deref(), Some("00-1"));
    assert_eq!(undecodable.error.code(), Code::RequestNotJson);
}

#[test]
fn an_answer_is_composed_too() {
    let config = json!({
        "operation": "reply", "message": "{{ data.message_id }}", "quote": false, "text": "Thanks",
    });
    let data = json!({ "message_id": "AAMk=" });
    let wanted = json!({
        "operation": "reply", "message": "AAMk=", "quote": false, "text": "Thanks",
    });
    assert_eq!(request(&config, &data).unwrap(), wanted);
    let composer = composer(&config, &[]).unwrap();
    let decoded = composer.decode(&event(&data), &at()).unwrap().unwrap();
    assert!(matches!(decoded.request.operation, Op::Answer(_)));
}

#[test]
fn files_include_and_extend_each_other_and_html_is_escaped_wherever_it_comes_from() {
    let texts = [
        ("base.html", "<h1>{% block title %}{% endblock %}</h1>{% include 'parts/foot.txt' %}"),
        ("order.html", "{% extends 'base.html' %}{% block title %}{{ data.name }}{% endblock %}"),
        ("parts/foot.txt", "-- {{ data.name }} {% include 'lang/' ~ data.lang ~ '.txt' %}"),
        ("lang/de.txt", "Grüße {{ data.name }}"),
    ];
    let config = json!({
        "to": "a@x.org", "html": { "file": "order.html" }, "text": { "file": "parts/foot.txt" },
    });
    let composer = composer(&config, &texts).unwrap();
    let data = json!({ "name": "<script>&\"'", "lang": "de" });
    let message = composer.compose(&event(&data), &at()).unwrap().unwrap();
    let request: Value = serde_json::from_slice(&message.payload).unwrap();
    let escaped = "&lt;script&gt;&amp;&quot;&#x27;";
    assert_eq!(request["html"], format!("<h1>{escaped}</h1>-- {escaped} Grüße {escaped}"));
    assert_eq!(request["text"], "-- <script>&\"' Grüße <script>&\"'");

    for lang in ["../../etc/passwd", "xx", "../order.html"] {
        let error = refused(&config, &texts, &json!({ "name": "n", "lang": lang }));
        assert_eq!(error.code(), Code::ComposeFailed);
        assert_eq!(error.field("template"), Some("templates/parts/foot.txt:1:23"), "{error}");
        assert!(error.detail().contains("not in the folder"), "{error}");
        assert!(!error.to_string().contains(lang), "{error}");
    }
}

#[test]
fn a_failure_names_field_place_and_what_is_missing_and_never_the_data() {
    let texts =
        [("order.html", "<p>\n  {{ data.customer.name | upper }}\n  {{ data.secret + 1 }}")];
    let config = json!({
        "to": "a@x.org", "subject": "Order {{ data.nmber }}", "html": { "file": "order.html" },
    });
    let error = refused(&config, &texts, &json!({ "number": 1 }));
    assert_eq!(
        error.to_string(),
        "the template needs something that the event does not have \
         (field: subject, template: line 1, column 10, missing: data.nmber)"
    );
    let with_number = |data: Value| {
        let mut all = json!({ "nmber": 1, "customer": { "name": "n" }, "secret": "hunter2" });
        let (Value::Object(all_keys), Value::Object(data)) = (&mut all, data) else { panic!() };
        all_keys.extend(data);
        refused(&config, &texts, &all)
    };
    let error = with_number(json!({ "customer": { "secret": "hunter2" } }));
    assert_eq!(error.field("field"), Some("html"));
    assert_eq!(error.field("missing"), Some("data.customer.name"), "{error}");
    assert_eq!(error.field("template"), Some("templates/order.html:2:27"), "{error}");
    let error = with_number(json!({}));
    assert_eq!(error.field("template"), Some("templates/order.html:3:6"), "{error}");
    assert_eq!(error.field("at"), Some("data.secret + 1"), "{error}");
    let error = with_number(json!({ "nmber": null }));
    assert!(error.detail().contains("null here"), "{error}");
    for told in [format!("{error}"), format!("{error:?}")] {
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn no_engine_sentence_that_holds_data_gets_out() {
    for template in [
        "{{ data.secret | int }}",
        "{{ data.secret.x.y }}",
        "{{ data.secret() }}",
        "{{ data.secret.run() }}",
        "{{ data.secret - 1 }}",
        "{{ data.secret | date }}",
        "{{ data.secret | number }}",
        "{{ 1 | money(data.secret, locale=data.secret) }}",
        "{{ [1] | join(data.secret, 1, 2) }}",
        "{{ {} | dictsort(by=data.secret) }}",
        "{{ data.secret | fromjson }}",
        "{{ 'x' | date(data.secret) }}",
        "{{ data[data.secret].x }}",
        "{% include data.secret %}",
        "{% for a, b in [data.secret] %}{% endfor %}",
        "{{ range(data.secret) }}",
        "{{ data.secret % data.secret }}",
        "{{ 'a' | format(data.secret, x=data.secret) }}",
        "{{ 5 | round(data.secret) }}",
        "{{ data.secret | batch(0) }}",
        "{{ data.secret | replace(1) }}",
        "{{ data.secret < none and data.secret | sort(attribute=1) and data.secret / 1 }}",
    ] {
        let config = json!({ "to": "a@x.org", "subject": template });
        let Ok(composer) = composer(&config, &[]) else { continue };
        let data = json!({ "secret": "`hunter2` is undefined" });
        let Err(undecodable) = composer.decode(&event(&data), &at()) else { continue };
        let told = format!("{:?}", undecodable.error);
        assert!(!told.contains("hunter2"), "{template}: {told}");
    }
}

#[test]
fn what_an_event_holds_cannot_break_out_of_its_field() {
    let config = json!({
        "to": "{{ data.name }} <{{ data.email }}>",
        "subject": "Order of {{ data.subject }}",
        "headers": { "x-name": "{{ data.header }}" },
        "attachments": [{ "name": "{{ data.file }}", "content": "aGk=" }],
        "html": "<a title=\"{{ data.name }}\">{{ data.name }}</a>",
    });
    let data = |key: &str, value: &str| {
        let mut data = json!({
            "name": "Ann", "email": "ann@x.org", "subject": "s", "header": "h", "file": "f",
        });
        data[key] = json!(value);
        data
    };
    let injection = "Ann\r\nBcc: evil@x.org";
    for (key, field) in [
        ("name", "to"),
        ("email", "to"),
        ("subject", "subject"),
        ("header", "headers.x-name"),
        ("file", "attachments[0].name"),
    ] {
        let error = refused(&config, &[], &data(key, injection));
        assert_eq!((error.code(), error.field("field")), (Code::ComposeFailed, Some(field)));
        assert!(error.detail().contains("line break"), "{error}");
        assert!(!error.to_string().contains("evil"), "{error}");
    }
    let name = "\"evil@x.org\" <evil@x.org>, Ann\"><script>";
    let made = request(&config, &data("name", name)).unwrap();
    assert_eq!(made["to"], json!([{ "address": "ann@x.org", "name": name }]));
    assert!(!made["html"].as_str().unwrap().contains("<script>"), "{made}");
    let error = refused(&config, &[], &data("email", "ann@x.org>, <evil@x.org"));
    assert_eq!(error.code(), Code::RequestBadAddress);
}

#[test]
fn a_template_neither_hangs_nor_eats_memory_nor_the_stack() {
    for (template, detail) in [
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "work"),
        ("{{ 'x' * 999999999 }}", "work"),
        (
            "{% set x = namespace(s='x') %}{% for i in range(99) %}{% set x.s = x.s ~ x.s %}{% endfor %}",
            "work",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "cannot do this"),
        ("{% include 'self.txt' %}", "cannot do this"),
        (
            "{% macro m(c) %}{% for i in [1] %}{% call m(c) %}{{ m(caller) }}{% include 'self.txt' %}{% endcall %}{% endfor %}{% endmacro %}{{ m(1) }}",
            "cannot do this",
        ),
        (
            "{% block b %}{% filter upper %}{{ self.b() }}{% endfilter %}{% endblock %}",
            "cannot do this",
        ),
        (
            "{% macro m(a) %}{{ [1] | map('string') | list ~ m(m(a)) }}{% endmacro %}{{ m(1) | upper }}",
            "cannot do this",
        ),
        ("{% for i in range(5000) %}{{ data.kilobyte }}{% endfor %}", "more than one mail"),
    ] {
        let config = json!({ "to": "a@x.org", "text": template });
        let kilobyte = json!({ "kilobyte": "k".repeat(1024) });
        let error = refused(&config, &[("self.txt", "{% include 'self.txt' %}")], &kilobyte);
        assert!(error.detail().contains(detail), "{template}: {error}");
    }
    // a mail of 40,000 rows is none of that
    let rows: Vec<_> = (0..40_000).map(|n| json!({ "n": n, "name": "a kettle" })).collect();
    let row = "{% for row in data.rows %}<tr><td>{{ row.n }}</td><td>{{ row.name }}</td></tr>{% endfor %}";
    let config = json!({ "to": "a@x.org", "html": row });
    let html = request(&config, &json!({ "rows": rows })).unwrap()["html"].as_str().unwrap().len();
    assert!(html > 1_000_000, "{html}");
}

#[test]
fn what_does_not_fit_is_refused_by_its_field() {
    let many: Vec<_> = (0..300).map(|n| json!({ "name": format!("{n}.txt") })).collect();
    let data = json!({ "files": many, "text": "abc", "size": "1 MB", "no": "nobody" });
    let attachment = |extra: Value| {
        let mut all = json!({ "name": "n", "url": "s3://b/k" });
        let (Value::Object(keys), Value::Object(extra)) = (&mut all, extra) else { panic!() };
        keys.extend(extra);
        json!({ "to": "a@x.org", "attachments": [all] })
    };
    for (config, code, field) in [
        (attachment(json!({ "for_each": "data.files" })), Code::ComposeFailed, "attachments[0]"),
        (
            attachment(json!({ "for_each": "data.text" })),
            Code::ComposeFailed,
            "attachments[0].for_each",
        ),
        (attachment(json!({ "for_each": "data" })), Code::ComposeFailed, "attachments[0].for_each"),
        (
            attachment(json!({ "size": "{{ data.size }}" })),
            Code::ComposeFailed,
            "attachments[0].size",
        ),
        (attachment(json!({ "when": "data.none" })), Code::ComposeFailed, "attachments[0].when"),
        (json!({ "when": "data.none", "to": "a@x.org" }), Code::ComposeFailed, "when"),
        (json!({ "to": "{{ data.no }}" }), Code::RequestBadAddress, "to[0]"),
        (json!({ "to": "" }), Code::RequestNoRecipient, "to"),
        (json!({ "to": "a@x.org", "importance": "urgent" }), Code::RequestInvalid, "importance"),
        (json!({ "to": "a@x.org", "id": "{{ '' }}" }), Code::RequestBadId, "id"),
    ] {
        let error = refused(&config, &[], &data);
        assert_eq!((error.code(), error.field("field")), (code, Some(field)), "{config}: {error}");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_told_with_its_place() {
    let config = json!({
        "when": "event.type = 'x'",
        "to": ["a@x.org", "{{ data.x"],
        "subject": "{{ data.number | monney('EUR') }}",
        "text": { "file": "order.txt" },
        "html": { "file": "odrer.html" },
        "message": "x",
        "headers": { "subject": "{{ dta.x }}" },
        "attachments": [
            { "name": "{{ item.x }}", "for_each": "datta.files", "url": "a", "content": "b" },
            { "text": "{% if data is evenn %}{{ helo(1) }}{% endif %}" },
        ],
    });
    let texts = [
        ("order.txt", "Hello\n{% if x %}{{ data.a | uper }}{% include 'foot.txt' %}{% endif %}"),
        ("broken.txt", "\n\n{% for %}"),
        ("lib.txt", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}{{ set_by_the_includer }}"),
    ];
    let mistakes = composer(&config, &texts).err().unwrap();
    let mut told: Vec<_> =
        mistakes.iter().map(|it| format!("{}: {}", it.path.join("."), it.detail)).collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"));
}
