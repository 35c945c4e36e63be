//! Addresses from templates.
//!
//! The commas between addresses and the angle brackets around one are those that the template has
//! itself: `{{ data.name }} <{{ data.email }}>, office@contoso.com`. What comes from the event is a
//! name or an address and cannot become two, with one exception that is asked for: a value that
//! stands alone, as in `{{ data.emails }}`, may be a list with commas of its own. In a list of
//! templates not even that, for each of them gives one address.

use mailbridge_core::Result;
use serde_json::{Value, json};

use crate::{line::push, template::Piece};

/// Characters of a rendered template, each with whether it is the template's own.
type Marked = Vec<(char, bool)>;

/// The addresses of a template that may give several, as a request has them.
pub(crate) fn several(field: &str, pieces: &[Piece<'_>]) -> Result<Vec<Value>> {
    let mut addresses = Vec::new();
    for item in split(&marked(field, pieces)?) {
        if item.iter().all(|(_, literal)| !literal) {
            addresses.extend(listed(&text(item)).into_iter().map(Value::String));
        } else {
            addresses.push(address(item));
        }
    }
    Ok(addresses)
}

/// The address of a template that gives one, or none.
pub(crate) fn one(field: &str, pieces: &[Piece<'_>]) -> Result<Option<Value>> {
    let marked = marked(field, pieces)?;
    let item = trimmed(&marked);
    Ok((!item.is_empty()).then(|| address(item)))
}

fn marked(field: &str, pieces: &[Piece<'_>]) -> Result<Marked> {
    let mut marked = Marked::new();
    for piece in pieces {
        let mut line = String::new();
        push(&mut line, field, piece)?;
        marked.extend(line.chars().map(|c| (c, piece.literal)));
    }
    Ok(marked)
}

/// Splits at the template's own commas, outside its quotes; what is empty is left out.
fn split(marked: &Marked) -> Vec<&[(char, bool)]> {
    let mut quoted = false;
    let items = marked.split(|&(c, literal)| {
        quoted ^= literal && c == '"';
        literal && c == ',' && !quoted
    });
    items.map(trimmed).filter(|item| !item.is_empty()).collect()
}

fn trimmed(mut item: &[(char, bool)]) -> &[(char, bool)] {
    while let [(c, _), rest @ ..] = item
        && c.is_whitespace()
    {
        item = rest;
    }
    while let [rest @ .., (c, _)] = item
        && c.is_whitespace()
    {
        item = rest;
    }
    item
}

fn text(item: &[(char, bool)]) -> String {
    item.iter().map(|(c, _)| c).collect()
}

/// One address, with the name that the template puts before it.
fn address(item: &[(char, bool)]) -> Value {
    if item.iter().all(|(_, literal)| !literal) {
        return Value::String(text(item));
    }
    let open = item.iter().position(|&it| it == ('<', true));
    if let (Some(open), [.., ('>', true)]) = (open, item) {
        let (name, rest) = item.split_at(open);
        let name = text(unquoted(trimmed(name)));
        let address = text(trimmed(&rest[1..rest.len() - 1]));
        if name.is_empty() {
            return json!({ "address": address });
        }
        return json!({ "address": address, "name": name });
    }
    json!({ "address": text(item) })
}

/// Takes off the template's own quotes.
fn unquoted(name: &[(char, bool)]) -> &[(char, bool)] {
    match name {
        [('"', true), name @ .., ('"', true)] => trimmed(name),
        name => name,
    }
}

/// The addresses of a value: commas separate them outside quotes and angle brackets.
fn listed(text: &str) -> Vec<String> {
    let (mut quoted, mut angled) = (false, false);
    let items = text.split(|c| {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angled = true,
            '>' if !quoted => angled = false,
            _ => {}
        }
        c == ',' && !quoted && !angled
    });
    items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text between brackets comes from the event.
    fn pieces(text: &'static str) -> Vec<Piece<'static>> {
        let mut pieces = Vec::new();
        for (index, part) in text.split(['[', ']']).enumerate() {
            pieces.push(Piece { text: part, literal: index % 2 == 0 });
        }
        pieces
    }

    #[test]
    fn the_template_separates_and_the_event_does_not() {
        let named = |name: &str, address: &str| json!({ "address": address, "name": name });
        let plain = |address: &str| json!({ "address": address });
        for (template, wanted) in [
            ("[a@x.org]", vec![json!("a@x.org")]),
            ("a@x.org,\n b@x.org,", vec![plain("a@x.org"), plain("b@x.org")]),
            ("[a]@x.org", vec![plain("a@x.org")]),
            ("[Smith, John] <[j@x.org]>", vec![named("Smith, John", "j@x.org")]),
            ("\"Smith, [John]\" <j@x.org>", vec![named("Smith, John", "j@x.org")]),
            // an event that would like to add somebody
            ("[x <evil@x.org>, y] <[j@x.org]>", vec![named("x <evil@x.org>, y", "j@x.org")]),
            ("Bob <[j@x.org>, <evil@x.org]>", vec![named("Bob", "j@x.org>, <evil@x.org")]),
            ("[a@x.org, e@x.org]@x.org", vec![plain("a@x.org, e@x.org@x.org")]),
            // a value that stands alone is a list
            (
                "[a@x.org, \"B, C\" <b@x.org>], [Doe, J <d@x.org>,]",
                ["a@x.org", "\"B, C\" <b@x.org>", "Doe", "J <d@x.org>"].map(Value::from).into(),
            ),
            (" [] , ", vec![]),
        ] {
            assert_eq!(several("to", &pieces(template)).unwrap(), wanted, "{template}");
        }
    }

    #[test]
    fn one_template_of_a_list_gives_one_address() {
        let given = |template| one("to[0]", &pieces(template)).unwrap();
        assert_eq!(given("[a@x.org, e@x.org]"), Some(json!("a@x.org, e@x.org")));
        assert_eq!(given("\n [a@x.org]\n"), Some(json!("a@x.org")));
        assert_eq!(given("[]"), None);
        let error = one("to[0]", &pieces("[a@x.org\r\nBcc: e@x.org]")).unwrap_err();
        assert_eq!(error.field("field"), Some("to[0]"));
    }
}
