//! Addresses with names in them, such as the subject `mail.received.{mailbox}`: what a bus plugin's
//! target may be, filled in from a message's [`Labels`].
//!
//! For addresses and keys only: what a value may hold is the bus's to say, so it hands over how a
//! value is written. Mails are composed elsewhere.

use std::fmt;

use crate::{Code, Error, Labels, Result};

/// A text with names in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(&'static str),
}

impl Template {
    /// Reads a template. A brace that is meant as such is doubled.
    ///
    /// # Errors
    /// `config_invalid` for a brace without its other one, and for a name that no message has.
    pub fn new(text: &str) -> Result<Self> {
        let wrong = |detail: String| Error::permanent(Code::ConfigInvalid, detail);
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            let doubled = brace.starts_with("{{") || brace.starts_with("}}");
            if doubled {
                plain.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let name = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = name else {
                return Err(wrong("a brace has no other one; `{{` stands for itself".to_owned()));
            };
            let Some(&known) = Labels::NAMES.iter().find(|known| **known == name) else {
                let names = Labels::NAMES.join("}, {");
                return Err(wrong(format!("there is no `{{{name}}}`; there are {{{names}}}")));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Name(known));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// A text in which no name stands, whatever it holds.
    pub fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// The text, if no name stands in it.
    pub fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a message. `write` makes a value fit for where it goes. A message that has no such
    /// value, as an outcome has no folder, gets `none` there.
    pub fn fill(&self, labels: &Labels, none: &str, write: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => labels.get(name).map_or_else(|| none.to_owned(), &write),
        };
        self.0.iter().map(part).collect()
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Name(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_values_written_as_the_bus_wants_them() {
        let template = Template::new("mail.{change}.{mailbox}.{{x}}").unwrap();
        let labels = Labels::default().with("change", "received").with("mailbox", "a.b@x.org");
        let text = template.fill(&labels, "-", |value| value.replace('.', "_"));
        assert_eq!(text, "mail.received.a_b@x_org.{x}");
        assert_eq!(template.fill(&Labels::default(), "-", str::to_owned), "mail.-.-.{x}");
        assert_eq!(template.to_string(), "mail.{change}.{mailbox}.{{x}}");
        assert_eq!(Template::new("mail.all").unwrap().plain(), Some("mail.all"));
        assert_eq!(template.plain(), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, told) in [("a{", "other one"), ("a}b", "other one"), ("{who}", "`{who}`")] {
            let error = Template::new(text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
