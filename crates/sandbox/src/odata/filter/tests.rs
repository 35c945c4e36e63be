use super::*;

/// A message with one extended property and two categories.
struct Sample;

struct Property;

struct Word(&'static str);

const KEY: &str = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name Key";

impl Subject for Sample {
    fn value(&self, path: &str) -> Value<'_> {
        match path {
            "subject" => "It's Here".into(),
            "isRead" => Value::Bool(false),
            "isDraft" => Value::Bool(true),
            "receivedDateTime" => Value::Time("2026-05-01T10:00:00Z".parse().unwrap()),
            "from/emailAddress/address" => "a@b.example".into(),
            _ => Value::Null,
        }
    }

    fn members(&self, collection: &str) -> Vec<Box<dyn Subject + '_>> {
        match collection {
            "singleValueExtendedProperties" => vec![Box::new(Property)],
            "categories" => vec![Box::new(Word("Red")), Box::new(Word("Done"))],
            _ => Vec::new(),
        }
    }
}

impl Subject for Property {
    fn value(&self, path: &str) -> Value<'_> {
        match path {
            "id" => KEY.into(),
            "value" => "AbC-1".into(),
            _ => Value::Null,
        }
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}

impl Subject for Word {
    fn value(&self, _: &str) -> Value<'_> {
        self.0.into()
    }

    fn members(&self, _: &str) -> Vec<Box<dyn Subject + '_>> {
        Vec::new()
    }
}

fn accepts(text: &str) -> bool {
    Filter::parse(text, "message")
        .unwrap_or_else(|e| panic!("{text}: {}", e.message))
        .accepts(&Sample)
}

fn property(name: &str, condition: &str) -> bool {
    accepts(&format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq 'String \
         {{66F5A359-4659-4830-9070-00047EC6AC6E}} Name {name}' and {condition})"
    ))
}

#[test]
fn extended_properties_match_by_exact_name_and_caseless_value() {
    assert!(property("Key", "ep/value eq 'abc-1'"));
    assert!(property("Key", "ep/value eq 'ABC-1'"));
    assert!(!property("key", "ep/value eq 'AbC-1'"), "the name has case");
    assert!(!property("Key", "ep/value eq 'abc-2'"));
    assert!(property("Key", "ep/value ne null"));
    assert!(property("Key", "startswith(ep/value,'ab')"));
    assert!(property("Key", "contains(ep/value, 'C-')"));
}

#[test]
fn comparisons() {
    for yes in [
        "subject eq 'it''s here'",
        "isDraft eq true",
        "isDraft",
        "not isRead",
        "isRead ne true",
        "receivedDateTime ge 2026-05-01T10:00:00Z",
        "receivedDateTime gt 2026-05-01",
        "receivedDateTime lt 2026-05-01T12:00:01+02:00",
        "from/emailAddress/address eq 'A@B.example'",
        "categories/any(c:c eq 'done')",
        "categories/any()",
        "startswith(subject,'IT') eq true",
        "endsWith(subject,'here')",
    ] {
        assert!(accepts(yes), "{yes}");
    }
    for no in [
        "subject eq 'its here'",
        "receivedDateTime gt 2026-05-01T10:00:00Z",
        "categories/any(c:c eq 'blue')",
        "internetMessageId eq '<1@x>'",
    ] {
        assert!(!accepts(no), "{no}");
    }
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    assert!(accepts("isDraft eq true or isRead eq true and isRead eq true"));
    assert!(!accepts("(isDraft eq true or isRead eq true) and isRead eq true"));
    assert!(accepts("not (isRead eq true) and isDraft eq true"));
    assert!(!accepts("not isRead and not isDraft"));
}

#[test]
fn what_graph_refuses_is_refused() {
    for bad in [
        "",
        "subject eq",
        "subject eq 'open",
        "subject = 'x'",
        "colour eq 'red'",
        "from/emailAdress/address eq 'x'",
        "isRead eq 'true'",
        "receivedDateTime ge '2026-05-01'",
        "receivedDateTime ge 2026-99-01",
        "subject eq true",
        "(isRead eq true",
        "isRead eq true)",
        "length(subject) gt 1",
        "singleValueExtendedProperties/Any(ep: ep/id eq 'nonsense' and ep/value eq 'x')",
        "singleValueExtendedProperties/Any(ep: ep/name eq 'x')",
        "subject/any(c:c eq 'x')",
        "subject",
    ] {
        let error = Filter::parse(bad, "message").expect_err(bad);
        assert_eq!(error.status.as_u16(), 400, "{bad}");
    }
}

#[test]
fn the_properties_are_listed_in_order() {
    let filter = Filter::parse("isRead eq true and (subject eq 'x' or isRead eq false)", "message");
    assert_eq!(filter.unwrap().properties(), ["isRead", "subject"]);
}
