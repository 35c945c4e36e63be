//! Attachments from templates: one, or one for each item of a list.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Result, limits::ATTACHMENTS_MAX};
use minijinja::{Value as Root, context};
use serde_json::{Map, Value, json};

use crate::{
    config::AttachmentTemplate,
    error::refused,
    line::line,
    plan::{Builder, named},
    template::{Kind, Templates},
};

/// An attachment's templates, by the names of their fields.
pub(crate) struct Attachment {
    field: String,
    for_each: Option<String>,
    when: Option<String>,
    lines: Vec<&'static str>,
    content: bool,
    /// The name of the template of its text.
    text: Option<String>,
}

/// Takes the templates of an attachment.
pub(crate) fn plan(builder: &mut Builder, index: usize, config: &AttachmentTemplate) -> Attachment {
    let field = format!("attachments[{index}]");
    let item = config.for_each.is_some();
    let sources = [config.url.is_some(), config.content.is_some(), config.text.is_some()];
    let key = index.to_string();
    if sources.into_iter().filter(|given| *given).count() != 1 {
        let detail = "an attachment has one of `url`, `content` and `text`".to_owned();
        builder.mistake(&["attachments", &key], detail);
    }
    if config.name.is_none() && config.url.is_none() {
        let detail = "an attachment needs a `name`".to_owned();
        builder.mistake(&["attachments", &key], detail);
    }
    if let Some(list) = &config.for_each {
        builder.expression(&format!("{field}.for_each"), list, false);
    }
    if let Some(when) = &config.when {
        builder.expression(&format!("{field}.when"), when, item);
    }
    let lines = [
        ("name", &config.name),
        ("content_type", &config.content_type),
        ("content_id", &config.content_id),
        ("url", &config.url),
        ("sha256", &config.sha256),
        ("size", &config.size),
    ];
    let mut given = Vec::new();
    for (key, text) in lines {
        if let Some(text) = text {
            builder.template(&format!("{field}.{key}"), text, item);
            given.push(key);
        }
    }
    if let Some(text) = &config.content {
        builder.template(&format!("{field}.content"), text, item);
    }
    let text = config.text.as_ref();
    let text = text.map(|body| builder.text(&format!("{field}.text"), body, item));
    Attachment {
        for_each: config.for_each.clone(),
        when: config.when.clone(),
        lines: given,
        content: config.content.is_some(),
        text,
        field,
    }
}

impl Attachment {
    /// Adds what it gives for an event.
    pub(crate) fn add_to(
        &self,
        files: &mut Vec<Value>,
        templates: &Templates,
        root: &Root,
    ) -> Result<()> {
        let Some(list) = &self.for_each else { return self.add_one(files, templates, root) };
        let field = format!("{}.for_each", self.field);
        let not_a_list = || refused(&field, "`for_each` needs a list, and this is none");
        let list = templates.value(list, &field, root)?;
        // text is a list of its letters to the engine, and a map one of its keys
        let listed = matches!(list.kind(), minijinja::value::ValueKind::Seq);
        let items = list.try_iter().ok().filter(|_| listed).ok_or_else(not_a_list)?;
        for item in items {
            let root = context! { item, ..root.clone() };
            self.add_one(files, templates, &root)?;
        }
        Ok(())
    }

    fn add_one(&self, files: &mut Vec<Value>, templates: &Templates, root: &Root) -> Result<()> {
        if let Some(when) = &self.when
            && !templates.holds(when, &format!("{}.when", self.field), root)?
        {
            return Ok(());
        }
        if files.len() >= ATTACHMENTS_MAX {
            return Err(refused(&self.field, "the mail has too many attachments")
                .with("max", ATTACHMENTS_MAX));
        }
        files.push(Value::Object(self.one(templates, root)?));
        Ok(())
    }

    fn one(&self, templates: &Templates, root: &Root) -> Result<Map<String, Value>> {
        let mut file = Map::new();
        for key in &self.lines {
            let field = format!("{}.{key}", self.field);
            let line =
                templates.pieces(&named(&field), &field, root, |pieces| line(&field, pieces))?;
            if line.is_empty() {
                continue;
            }
            let value =
                match *key {
                    "size" => {
                        json!(line.parse::<u64>().map_err(|_| {
                            refused(&field, "`size` is a whole number of bytes")
                        })?)
                    }
                    _ => Value::String(line),
                };
            file.insert((*key).to_owned(), value);
        }
        if self.content {
            let field = format!("{}.content", self.field);
            let base64 = templates.text(Kind::Plain, &named(&field), &field, root)?;
            // its lines may be broken, as in a mail
            let base64: String = base64.split_ascii_whitespace().collect();
            file.insert("content".to_owned(), Value::String(base64));
        }
        if let Some(text) = &self.text {
            let field = format!("{}.text", self.field);
            let text = templates.text(Kind::Plain, text, &field, root)?;
            file.insert("content".to_owned(), Value::String(STANDARD.encode(text)));
        }
        Ok(file)
    }
}
