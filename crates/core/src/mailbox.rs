//! A mailbox, by the address or id that Graph's paths take.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A user principal name, a mail address or a user id. Compares without regard to case, as Exchange
/// does.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mailbox(String);

impl Mailbox {
    /// A mailbox by name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a pattern such as `noreply@contoso.com`, `*@contoso.com` or `*` names this mailbox.
    /// A `*` stands for any run of characters.
    pub fn matches(&self, pattern: &str) -> bool {
        glob(&pattern.to_lowercase(), &self.0.to_lowercase())
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    text.char_indices()
        .map(|(at, _)| &text[at..])
        .chain(std::iter::once(""))
        .any(|tail| glob(rest, tail))
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Mailbox {}

impl std::hash::Hash for Mailbox {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.0)
    }
}

impl JsonSchema for Mailbox {
    fn schema_name() -> Cow<'static, str> {
        "Mailbox".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a user principal name, mail address or user id",
            "examples": ["noreply@contoso.com"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let mailbox = Mailbox::new("NoReply@Contoso.com");
        for yes in ["noreply@contoso.com", "*@contoso.com", "*", "no*@*.com"] {
            assert!(mailbox.matches(yes), "{yes}");
        }
        for no in ["*@contoso.org", "noreply", "", "*@contoso.com.evil"] {
            assert!(!mailbox.matches(no), "{no}");
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(Mailbox::new("A@b.c"), Mailbox::new("a@B.C"));
    }
}
