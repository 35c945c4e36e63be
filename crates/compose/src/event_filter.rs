//! Which events about mails a pipeline wants: an expression over `data` and `event`, in the
//! language of templates.
//!
//! A mail need not have a sender, a subject or anybody in copy, and an expression is not to fail
//! for that: what a mail does not have is an empty text, an empty list or false here, and whatever
//! is looked for in nothing is not there. A name that no event has at all is a mistake that is told
//! when the pipeline is read.

use std::fmt;

use mailbridge_core::{
    Code, Error, Filter, Result,
    contract::{MailCloudEvent, MailEvent},
    plugin::Malformed,
};
use minijinja::{Value as Root, context, value::Serde};
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

use crate::{
    plan::{Builder, named},
    template::{TemplateFiles, Templates},
};

/// The key of the configuration that holds the expression.
const FIELD: &str = "when";

/// Lets events through for which an expression holds.
pub struct EventFilter {
    templates: Templates,
    when: String,
    reads: Vec<String>,
}

impl EventFilter {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Every mistake that can be seen without an event.
    pub fn new(when: &str) -> Result<Self, Vec<Malformed>> {
        let (mut templates, _) = Templates::new(TemplateFiles::default());
        templates.lenient();
        let mut builder = Builder::new(templates);
        builder.expression(FIELD, when, false);
        let names = names(&builder.templates);
        if names.is_empty() && builder.is_well() {
            let detail = "the expression looks at nothing of the event; give one over `data`";
            builder.mistake(&[FIELD], detail.to_owned());
        }
        for detail in names.iter().filter_map(|name| unknown(name)) {
            builder.mistake(&[FIELD], detail);
        }
        let reads = names.iter().filter_map(|name| field_of("data", name)).map(str::to_owned);
        let reads = reads.collect();
        Ok(Self { templates: builder.finish()?, when: when.to_owned(), reads })
    }

    /// Whether it looks at a field of `data`: what the pipeline does not ask for is always empty.
    pub fn reads(&self, field: &str) -> bool {
        self.reads.iter().any(|read| read == field)
    }
}

impl Filter for EventFilter {
    fn wants(&self, event: &MailCloudEvent) -> Result<bool> {
        let (event, data) = parts(event)?;
        let (event, data) = (Root::from(Serde(event)), Root::from(Serde(data)));
        let root = context! { event, data };
        match self.templates.value(&self.when, FIELD, &root) {
            Ok(value) => Ok(value.is_true()),
            Err(error) => Err(error
                .fields()
                .filter(|(name, _)| *name != "field")
                .fold(failed(error.detail().to_owned()), |failed, (name, value)| {
                    failed.with(name, value)
                })),
        }
    }
}

fn failed(detail: String) -> Error {
    Error::permanent(Code::FilterFailed, detail)
}

/// What an expression names, such as `data.from.address`.
fn names(templates: &Templates) -> Vec<String> {
    let template = templates.environment().get_template(&named(FIELD));
    let mut names: Vec<_> = template
        .map(|template| template.undeclared_variables(true).into_iter().collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// The field of a variable that a name is about.
fn field_of<'a>(variable: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(variable)?.strip_prefix('.')?.split('.').next()
}

/// What is wrong with a name, if it is one that no event has.
fn unknown(name: &str) -> Option<String> {
    let (variable, field, known) = match (field_of("data", name), field_of("event", name)) {
        (Some(field), _) => ("data", field, fields::<MailEvent>()),
        (None, Some(field)) => ("event", field, fields::<MailCloudEvent>()),
        (None, None) => return None,
    };
    (!known.iter().any(|it| it == field))
        .then(|| format!("there is no `{variable}.{field}`; {variable} has {}", known.join(", ")))
}

fn fields<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T).to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut names: Vec<_> = properties.into_iter().flat_map(Map::keys).cloned().collect();
    names.retain(|name| name != "data");
    names
}

/// The attributes and the data as expressions see them.
fn parts(event: &MailCloudEvent) -> Result<(Value, Value)> {
    let unwritable = |_| failed("the event cannot be written as JSON".to_owned());
    let Value::Object(mut attributes) = serde_json::to_value(event).map_err(unwritable)? else {
        return Err(failed("the event is not an object".to_owned()));
    };
    let mut data = attributes.remove("data").unwrap_or_default();
    if let Value::Object(data) = &mut data {
        fill(data);
    }
    Ok((Value::Object(attributes), data))
}

/// What a mail does not have.
fn fill(data: &mut Map<String, Value>) {
    let nobody = json!({ "address": "", "name": "" });
    let texts = ["internet_message_id", "conversation_id", "subject", "preview", "text", "html"];
    let more = ["importance", "flag", "received_at", "sent_at", "web_link", "moved_to"];
    let texts = texts.into_iter().chain(more).map(|name| (name, json!("")));
    let lists = ["changed", "to", "cc", "bcc", "reply_to", "categories", "headers"];
    let lists = lists.into_iter().chain(["attachments", "left_out"]).map(|it| (it, json!([])));
    let flags = ["is_read", "is_draft", "has_attachments"].map(|name| (name, json!(false)));
    let people = ["from", "sender"].map(|name| (name, nobody.clone()));
    for (name, value) in texts.chain(lists).chain(flags).chain(people) {
        data.entry(name).or_insert(value);
    }
}

/// As it was written.
impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.when)
    }
}

impl fmt::Debug for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFilter").field("when", &self.when).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
