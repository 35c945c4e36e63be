//! Where to publish: one subject, or one for each mailbox, folder or kind of change.

use std::borrow::Cow;

use mailbridge_core::{Error, Labels, Result, Template};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::{Create, name_fits, subject_fits, wrong};

/// Where to publish.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TargetKeys")]
pub struct Target {
    /// The subject, or what it is made of.
    pub subject: Template,
    /// The stream that keeps it, where it is to be checked or made.
    pub stream: Option<String>,
    /// Whether to make what is missing; needs `stream`.
    pub create: Create,
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        TargetKeys::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        TargetKeys::json_schema(generator)
    }
}

impl Target {
    /// One subject, which a stream is known to keep.
    pub(crate) fn at(subject: &str) -> Self {
        let subject = Template::literal(subject);
        Self { subject, stream: None, create: Create::default() }
    }

    /// All subjects that it publishes to, as a filter: a token that names something is any token.
    pub(crate) fn filter(&self) -> String {
        let text = self.subject.to_string();
        let tokens = text.split('.').map(|token| if token.contains('{') { "*" } else { token });
        tokens.collect::<Vec<_>>().join(".")
    }

    /// The subject of a message. A value is one token, whatever it holds.
    pub(crate) fn subject(&self, labels: &Labels) -> String {
        let kept = |c: char| c.is_ascii_alphanumeric() || "-_@+=".contains(c);
        let token = |value: &str| match value {
            "" => "_".to_owned(),
            value => value.chars().map(|c| if kept(c) { c } else { '_' }).collect(),
        };
        self.subject.fill(labels, "_", token)
    }
}

/// Where to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Target")]
struct TargetKeys {
    /// The subject. It may name `{mailbox}`, `{folder}`, `{change}` and `{pipeline}`, as in
    /// `mail.received.{mailbox}`; each becomes one token, with `_` for what a token does not take.
    subject: String,
    /// The stream that keeps it, where it is to be checked or made.
    #[serde(default)]
    stream: Option<String>,
    /// Whether to make what is missing; needs `stream`.
    #[serde(default)]
    create: Create,
}

impl TryFrom<TargetKeys> for Target {
    type Error = Error;

    fn try_from(keys: TargetKeys) -> Result<Self> {
        let TargetKeys { subject, stream, create } = keys;
        if subject.contains(['*', '>']) {
            return Err(wrong("subject", "one subject, without wildcards"));
        }
        let subject = Template::new(&subject).map_err(|error| error.with("key", "subject"))?;
        match &stream {
            Some(name) => name_fits("stream", name)?,
            None if create.asked() => {
                return Err(wrong("stream", "the name of the stream to make, with `create`"));
            }
            None => {}
        }
        let target = Self { subject, stream, create };
        subject_fits("subject", &target.filter())?;
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(subject: &str) -> Result<Target, String> {
        serde_json::from_value(json!({ "subject": subject })).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_one_token_whatever_it_holds() {
        let labels = Labels::default().with("mailbox", "o'Neil.x@contoso.com").with("folder", "");
        let subject = |text| target(text).unwrap().subject(&labels);
        assert_eq!(subject("mail.received.{mailbox}"), "mail.received.o_Neil_x@contoso_com");
        assert_eq!(subject("mail.{folder}.{change}"), "mail._._");
        assert_eq!(subject("mail.all"), "mail.all");
        let wild = Labels::default().with("mailbox", "*.> a\r\nb");
        assert_eq!(target("m.{mailbox}").unwrap().subject(&wild), "m.____a__b");
    }

    #[test]
    fn what_it_publishes_to_is_known_beforehand() {
        assert_eq!(target("mail.{change}.box-{mailbox}").unwrap().filter(), "mail.*.*");
        assert_eq!(target("mail.all").unwrap().filter(), "mail.all");
        for (bad, told) in
            [("mail.*", "wildcards"), ("mail..x", "dots"), ("m.{who}", "`{who}`"), ("m.{", "brace")]
        {
            let error = target(bad).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
