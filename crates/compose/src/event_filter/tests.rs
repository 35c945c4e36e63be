use mailbridge_core::{
    Mailbox,
    contract::{
        Address, AttachmentKind, Change, CloudEvent, EventAttachment, Importance, MailContent,
        MessageId,
    },
};

use super::*;

fn event(content: MailContent) -> MailCloudEvent {
    let data = MailEvent {
        change: Change::Received,
        mailbox: Mailbox::new("Support@x.org"),
        folder: "inbox".to_owned(),
        message_id: MessageId("m1".to_owned()),
        changed: Vec::new(),
        moved_to: None,
        content,
        attachments: None,
        mime: None,
        left_out: Vec::new(),
    };
    let (id, kind) = ("1".to_owned(), "mailbridge.mail.received".to_owned());
    let time = "2026-05-01T10:00:00Z".parse().unwrap();
    MailCloudEvent {
        mailbox: "support@x.org".to_owned(),
        folder: "inbox".to_owned(),
        change: Change::Received,
        event: CloudEvent::new(id, "support", kind, "m1".to_owned(), time, data),
    }
}

fn mail() -> MailCloudEvent {
    let bob = Address { address: "Bob@y.org".to_owned(), name: Some("Bob".to_owned()) };
    let amy = Address { address: "amy@z.org".to_owned(), name: None };
    let mut event = event(MailContent {
        from: Some(bob),
        to: vec![amy],
        subject: Some("Invoice 17".to_owned()),
        importance: Some(Importance::High),
        categories: vec!["Red".to_owned()],
        has_attachments: Some(true),
        ..MailContent::default()
    });
    event.event.data.attachments = Some(vec![EventAttachment {
        id: "a".to_owned(),
        kind: AttachmentKind::File,
        name: Some("17.pdf".to_owned()),
        content_type: None,
        size: 5_000_000,
        is_inline: false,
        content: None,
    }]);
    event
}

const HOLDS: [&str; 11] = [
    "data.importance == 'high' and 'Invoice' in data.subject",
    "data.from.address | lower == 'bob@y.org'",
    "data.from.address is endingwith('@y.org')",
    "'Red' in data.categories",
    "'amy@z.org' in data.to | map(attribute='address') | list",
    "data.to[0].address == 'amy@z.org'",
    "data.attachments | selectattr('size', 'gt', 1000000) | list | length > 0",
    "data.has_attachments and not data.is_read",
    "event.folder == 'inbox' and event.type == 'mailbridge.mail.received'",
    "event.mailbox == 'support@x.org'",
    "data.change == 'received'",
];

#[test]
fn what_an_expression_names_is_looked_at() {
    for when in HOLDS {
        let filter = EventFilter::new(when).unwrap_or_else(|wrong| panic!("{when}: {wrong:?}"));
        assert!(filter.wants(&mail()).unwrap(), "{when}");
        let not = EventFilter::new(&format!("not ({when})")).unwrap();
        assert!(!not.wants(&mail()).unwrap(), "{when}");
    }
}

#[test]
fn a_mail_that_has_nothing_fails_no_expression() {
    let empty = event(MailContent::default());
    for when in HOLDS {
        let about_the_event = when.contains("event.") || when.contains("data.change");
        let filter = EventFilter::new(when).unwrap();
        assert_eq!(filter.wants(&empty).unwrap(), about_the_event, "{when}");
    }
    for when in ["data.to[0].name == 'x'", "data.sender.name", "data.cc | length > 3", "data.mime"]
    {
        let filter = EventFilter::new(when).unwrap();
        assert!(!filter.wants(&empty).unwrap(), "{when}");
    }
}

#[test]
fn mistakes_are_told_when_it_is_read() {
    for (when, told) in [
        ("data.improtance == 'high'", "there is no `data.improtance`; data has attachments, bcc"),
        ("event.colour", "there is no `event.colour`; event has change, datacontenttype"),
        ("mail.subject", "there is no variable `mail`"),
        ("data.subject | shout", "there is no filter `shout`"),
        ("data.subject is loud", "there is no test `loud`"),
        ("data.subject ==", "line 1"),
        ("", "unexpected"),
        ("true", "looks at nothing"),
    ] {
        let wrong = EventFilter::new(when).unwrap_err();
        assert!(wrong[0].detail.contains(told), "{when}: {wrong:?}");
        assert_eq!(wrong[0].path, ["when"]);
    }
}

#[test]
fn what_fails_on_an_event_names_the_place_and_nothing_of_the_mail() {
    let filter = EventFilter::new("data.subject | date == 'x'").unwrap();
    let error = filter.wants(&mail()).unwrap_err();
    assert_eq!(error.code(), Code::FilterFailed);
    assert!(!error.to_string().contains("Invoice"), "{error}");
    assert!(error.to_string().contains("line 1, column 16"), "{error}");
}

#[test]
fn what_it_reads_is_known() {
    let filter = EventFilter::new("data.attachments | length > 0 or data.from.name").unwrap();
    assert!(filter.reads("attachments") && filter.reads("from"));
    assert!(!filter.reads("text"));
}

#[test]
fn a_long_mail_is_looked_through() {
    let long = MailContent { html: Some("x".repeat(10_000_000)), ..MailContent::default() };
    let filter = EventFilter::new("'cid:' in data.html and 'y' in data.html | lower").unwrap();
    assert!(!filter.wants(&event(long)).unwrap());
}
