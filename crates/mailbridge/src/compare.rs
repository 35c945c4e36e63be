//! Compares a request with what a test expects of it.
//!
//! An expectation is a part of the whole: keys that it does not name may have any value. Addresses
//! are compared as addresses, in whichever of their forms they are written.

use mailbridge_core::contract::Address;
use serde_json::{Value, json};

use crate::config::expectation::Texts;

/// Fields that hold one address, or several.
const ADDRESSES: [&str; 5] = ["to", "cc", "bcc", "reply_to", "from"];
/// Characters of a value that are shown.
const SHOWN_MAX: usize = 160;

/// What differs, in the order of the fields; each a few lines.
pub fn differences<'a>(
    expected: impl IntoIterator<Item = (&'a String, &'a Value)>,
    contains: impl IntoIterator<Item = (&'a String, &'a Texts)>,
    request: &Value,
) -> Vec<String> {
    let mut found = Vec::new();
    for (field, expected) in expected {
        let got = request.get(field).unwrap_or(&Value::Null);
        if ADDRESSES.contains(&field.as_str()) {
            compare(field, &addresses(expected), &addresses(got), &mut found);
        } else {
            compare(field, expected, got, &mut found);
        }
    }
    for (field, texts) in contains {
        let got = request.get(field).and_then(Value::as_str).unwrap_or_default();
        for text in texts.all().iter().filter(|text| !got.contains(text.as_str())) {
            found.push(format!("{field}\n  does not contain  {}", shown(&json!(text))));
        }
    }
    found
}

fn compare(path: &str, expected: &Value, got: &Value, found: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, expected) in expected {
                let got = got.get(key).unwrap_or(&Value::Null);
                compare(&format!("{path}.{key}"), expected, got, found);
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(&format!("{path}[{index}]"), expected, got, found);
            }
        }
        (Value::String(expected), Value::String(got)) if expected != got => {
            found.push(lines(path, expected, got));
        }
        _ if expected == got => {}
        _ => found.push(format!(
            "{path}\n  expected  {}\n  got       {}",
            shown(expected),
            shown(got)
        )),
    }
}

/// Two texts by their first line that differs.
fn lines(path: &str, expected: &str, got: &str) -> String {
    let several = expected.contains('\n') || got.contains('\n');
    let (mut one, mut other) = (expected.split('\n'), got.split('\n'));
    let mut number = 0;
    loop {
        number += 1;
        let (one, other) = (one.next(), other.next());
        if one != other {
            let place = if several { format!(", line {number}") } else { String::new() };
            let line = |line: Option<&str>| {
                line.map_or("(no such line)".to_owned(), |it| shown(&json!(it)))
            };
            return format!(
                "{path}{place}\n  expected  {}\n  got       {}",
                line(one),
                line(other)
            );
        }
        if one.is_none() {
            // they do differ, so this is never reached
            return path.to_owned();
        }
    }
}

fn shown(value: &Value) -> String {
    if value.is_null() {
        return "nothing".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A list of addresses in one form, an absent one being empty.
fn addresses(value: &Value) -> Value {
    let one = |value: &Value| {
        let address = serde_json::from_value::<Address>(value.clone());
        address.map_or_else(|_| value.clone(), |address| json!(told(&address)))
    };
    match value {
        Value::Null => json!([]),
        Value::Array(list) => list.iter().map(one).collect(),
        value => json!([one(value)]),
    }
}

fn told(address: &Address) -> String {
    match &address.name {
        Some(name) => format!("{name} <{}>", address.address),
        None => address.address.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(expected: &Value, request: &Value) -> Vec<String> {
        differences(expected.as_object().unwrap(), [], request)
    }

    #[test]
    fn a_part_is_enough_and_addresses_have_many_forms() {
        let request = json!({
            "to": [{ "address": "a@x.org", "name": "A, B" }], "subject": "s", "html": "<p>",
            "headers": { "x-a": "1", "x-b": "2" }, "cc": [],
        });
        for same in [
            json!({}),
            json!({ "to": "A, B <a@x.org>", "cc": null }),
            json!({ "to": [{ "address": "a@x.org", "name": "A, B" }], "bcc": [] }),
            json!({ "headers": { "x-b": "2" }, "text": null }),
        ] {
            assert_eq!(differ(&same, &request), Vec::<String>::new(), "{same}");
        }
    }

    #[test]
    fn what_differs_is_shown_where_it_differs() {
        let request = json!({
            "to": ["a@x.org"], "text": "one\ntwo\nthree", "headers": { "x-a": "1" },
            "categories": ["A"],
        });
        let expected = json!({
            "to": "b@x.org", "text": "one\n2\nthree", "headers": { "x-a": 1 },
            "categories": ["A", "B"], "subject": "s",
        });
        let told = differ(&expected, &request).join("\n");
        let wanted = r#"categories
  expected  ["A","B"]
  got       ["A"]
headers.x-a
  expected  1
  got       "1"
subject
  expected  "s"
  got       nothing
text, line 2
  expected  "2"
  got       "two"
to[0]
  expected  "b@x.org"
  got       "a@x.org""#;
        assert_eq!(told, wanted);
        let (field, texts) = ("text".to_owned(), Texts::Many(vec!["two".into(), "four".into()]));
        let told = differences([], [(&field, &texts)], &request);
        assert_eq!(told, ["text\n  does not contain  \"four\""]);
    }
}
