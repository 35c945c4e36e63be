use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use mailbridge_core::{
    Message, Position,
    contract::{Key, Operation, OutgoingMail, decode::decode},
};

use super::*;

fn composed(json: &str) -> Composed {
    let message = Message { payload: json.to_owned().into(), ..Message::default() };
    let decoded = decode(&message, &Position::new("1")).unwrap();
    let Operation::Send(OutgoingMail::Composed(mail)) = decoded.request.operation else {
        panic!("not composed")
    };
    *mail
}

fn built(json: &str) -> Result<Vec<u8>> {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mark = Key::of_id("order-1").mark("orders");
    let mail = composed(json);
    let files: Vec<_> = mail.attachments.iter().filter_map(Embedded::of_inline).collect();
    build(&mail, &Mailbox::new("noreply@contoso.com"), &mark, now, &files)
}

const FULL: &str = r#"{
    "to": ["Bób Ö <bob@x.org>", "c@x.org"], "cc": "d@x.org", "bcc": "hidden@x.org",
    "reply_to": "Antwort <r@x.org>", 
    "subject": "Grüße aus 東京, sehr lang und noch viel länger als eine Zeile",
    "text": "Привет\nплоско", "html": "<p>Привет <img src=\"cid:logo\"></p>",
    "importance": "high", "categories": ["Red", "Grün"], "headers": {"x-order": "größe 5"},
    "read_receipt": true, "delivery_receipt": true,
    "attachments": [
        {"name": "Rechnung März.pdf", "content_type": "application/pdf", "content": "AAECAw=="},
        {"name": "logo.png", "content_type": "image/png", "content": "iVBORw==",
         "content_id": "logo"}
    ]}"#;

#[test]
fn everything_that_was_asked_for_is_in_it() {
    let raw = built(FULL).unwrap();
    let mail = MessageParser::new().parse(&raw).unwrap();
    let addresses = |list: Option<&mail_parser::Address<'_>>| -> Vec<(String, String)> {
        let one = |it: &mail_parser::Addr<'_>| {
            (it.name().unwrap_or_default().to_owned(), it.address().unwrap().to_owned())
        };
        list.unwrap().iter().map(one).collect()
    };
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(addresses(mail.from()), [pair("", "noreply@contoso.com")]);
    assert_eq!(addresses(mail.to()), [pair("Bób Ö", "bob@x.org"), pair("", "c@x.org")]);
    assert_eq!(addresses(mail.cc()), [pair("", "d@x.org")]);
    assert_eq!(addresses(mail.bcc()), [pair("", "hidden@x.org")]);
    assert_eq!(addresses(mail.reply_to()), [pair("Antwort", "r@x.org")]);
    assert_eq!(
        mail.subject(),
        Some("Grüße aus 東京, sehr lang und noch viel länger als eine Zeile")
    );
    assert_eq!(mail.body_text(0).unwrap().trim(), "Привет\nплоско");
    assert!(mail.body_html(0).unwrap().contains("cid:logo"));
    let header = |name: &'static str| mail.header(name).unwrap().as_text();
    assert_eq!(header("Importance"), Some("high"));
    assert_eq!(header("x-order"), Some("=?utf-8?B?Z3LDtsOfZSA1?="), "größe 5");
    // what the draft is given instead, and what recipients need not see
    for left_out in ["Disposition-Notification-To", "Return-Receipt-To", "Keywords"] {
        assert!(mail.header_raw(left_out).is_none(), "{left_out}");
    }
    assert!(leaves_out(&composed(FULL)));
    assert!(!leaves_out(&composed(r#"{"to":"b@x.org","text":"a","html":"b"}"#)));
    assert!(!leaves_out(&composed(r#"{"to":"b@x.org","text":"a","categories":["Red"]}"#)));
    assert_eq!(mail.date().unwrap().to_timestamp(), 1_800_000_000);
}

#[test]
fn parts_nest_as_mail_programs_expect() {
    let raw = built(FULL).unwrap();
    let mail = MessageParser::new().parse(&raw).unwrap();
    let kinds: Vec<String> = mail
        .parts
        .iter()
        .map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "multipart/mixed",
            "multipart/related",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "image/png",
            "application/pdf",
        ]
    );
    let image = &mail.parts[5];
    assert_eq!(image.content_id(), Some("logo"));
    assert_eq!(image.attachment_name(), Some("logo.png"));
    let file = &mail.parts[6];
    assert_eq!(file.attachment_name(), Some("Rechnung März.pdf"));
    let PartType::Binary(bytes) = &file.body else { panic!("{:?}", file.body) };
    assert_eq!(&bytes[..], [0, 1, 2, 3]);
}

#[test]
fn what_goes_over_the_wire_is_plain_ascii_in_short_lines() {
    let raw = built(FULL).unwrap();
    assert!(raw.is_ascii());
    let text = String::from_utf8(raw.clone()).unwrap();
    assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains('\n')));
    assert_eq!(STANDARD.decode(encoded(&raw)).unwrap(), raw);
}

#[test]
fn the_message_id_is_the_requests_and_tells_nothing() {
    let id = |raw: &[u8]| MessageParser::new().parse(raw).unwrap().message_id().unwrap().to_owned();
    let first = id(&built(r#"{"to":"b@x.org","text":"a","html":"b"}"#).unwrap());
    let again = id(&built(r#"{"to":"b@x.org","text":"a","html":"b"}"#).unwrap());
    assert_eq!(first, again);
    assert!(first.ends_with("@contoso.com") && !first.contains("order"), "{first}");
}

#[test]
fn from_is_as_asked_and_left_to_graph_when_the_mailbox_is_a_guid() {
    let raw =
        built(r#"{"to":"b@x.org","text":"a","html":"b","from":"Shop <shop@x.org>"}"#).unwrap();
    let from = MessageParser::new().parse(&raw).unwrap();
    assert_eq!(from.from().unwrap().first().unwrap().address(), Some("shop@x.org"));

    let mail = composed(r#"{"to":"b@x.org","text":"a","html":"b"}"#);
    let mailbox = Mailbox::new("0b5f3a0e-0000-4000-8000-00000000abcd");
    let mark = Key::of_id("1").mark("p");
    let raw = build(&mail, &mailbox, &mark, Timestamp::now(), &[]).unwrap();
    let parsed = MessageParser::new().parse(&raw).unwrap();
    assert!(parsed.from().is_none());
    assert!(parsed.message_id().unwrap().ends_with("@mailbridge.invalid"));
}
