//! An event's request: every template in its turn, and then the way of all requests.

use std::fmt;

use mailbridge_core::{
    Decoder, Message, Position, Result,
    contract::{
        Decoded, Undecodable,
        decode::{decode, undecodable},
    },
    plugin::Malformed,
};
use minijinja::{Value as Root, context, value::Serde};
use serde_json::{Map, Value};

use crate::{
    address,
    config::{Config, Operation},
    event::Event,
    line::line,
    plan::{Addresses, Plan, named},
    template::TemplateFiles,
};

/// Makes requests of events, as one pipeline wants them.
pub struct Composer(Plan);

/// A request that was composed, or why there is none.
type Composed<T> = Result<Option<T>, Box<Undecodable>>;

impl Composer {
    /// Compiles all templates.
    ///
    /// # Errors
    /// Every mistake that can be seen without an event, by its keys.
    pub fn new(config: &Config, files: TemplateFiles) -> Result<Self, Vec<Malformed>> {
        Plan::new(config, files).map(Self)
    }

    /// The message that carries the request of an event, as its producer could have published it.
    /// Nothing, if the event is no mail.
    pub fn compose(&self, message: &Message, position: &Position) -> Composed<Message> {
        let event = Event::of(message, position)
            .map_err(|error| undecodable(message, position, None, error))?;
        let Event { attributes, data, envelope } = event;
        let (event, data) = (Root::from(Serde(attributes)), Root::from(Serde(data)));
        let root = context! { event, data };
        let wanted = self.wanted(&root);
        let failed = |id: Option<&str>, error| undecodable(&envelope, position, id, error);
        if !wanted.map_err(|error| failed(None, error))? {
            return Ok(None);
        }
        let id = self.id(&root).map_err(|error| failed(None, error))?;
        let request =
            self.request(&root, id.as_deref()).map_err(|error| failed(id.as_deref(), error))?;
        let payload = Value::Object(request).to_string().into();
        Ok(Some(Message { payload, ..envelope }))
    }

    fn wanted(&self, root: &Root) -> Result<bool> {
        match &self.0.when {
            Some(when) => self.0.templates.holds(when, "when", root),
            None => Ok(true),
        }
    }

    /// First of all, so that whatever fails later is known by it.
    fn id(&self, root: &Root) -> Result<Option<String>> {
        self.0.id.then(|| self.line("id", root)).transpose()
    }

    fn request(&self, root: &Root, id: Option<&str>) -> Result<Map<String, Value>> {
        let mut request = Map::new();
        let mut put = |key: &str, value: Value| request.insert(key.to_owned(), value);
        if self.0.operation != Operation::Send {
            put("operation", self.0.operation.name().into());
        }
        if let Some(id) = id {
            put("id", id.into());
        }
        for (field, list) in &self.0.addresses {
            put(field, self.addresses(field, list, root)?.into());
        }
        if self.0.from
            && let Some(from) = self.address("from", root)?
        {
            put("from", from);
        }
        if self.0.subject {
            put("subject", self.line("subject", root)?.into());
        }
        for field in &self.0.lines {
            let line = self.line(field, root)?;
            if !line.is_empty() {
                put(field, line.into());
            }
        }
        for (field, text) in &self.0.texts {
            let text = self.0.templates.text(text.kind, &text.template, field, root)?;
            put(field, text.into());
        }
        for (field, value) in [
            ("categories", self.categories(root)?),
            ("headers", self.headers(root)?),
            ("attachments", self.attachments(root)?),
        ] {
            if let Some(value) = value {
                put(field, value);
            }
        }
        for (field, flag) in &self.0.flags {
            put(field, (*flag).into());
        }
        Ok(request)
    }

    fn line(&self, field: &str, root: &Root) -> Result<String> {
        self.0.templates.pieces(&named(field), field, root, |pieces| line(field, pieces))
    }

    fn addresses(&self, field: &str, list: &Addresses, root: &Root) -> Result<Vec<Value>> {
        match list {
            Addresses::One => self
                .0
                .templates
                .pieces(&named(field), field, root, |pieces| address::several(field, pieces)),
            Addresses::Many(count) => (0..*count)
                .filter_map(|index| self.address(&format!("{field}[{index}]"), root).transpose())
                .collect(),
        }
    }

    fn address(&self, field: &str, root: &Root) -> Result<Option<Value>> {
        let templates = &self.0.templates;
        templates.pieces(&named(field), field, root, |pieces| address::one(field, pieces))
    }

    fn categories(&self, root: &Root) -> Result<Option<Value>> {
        let mut categories = Vec::new();
        for index in 0..self.0.categories {
            let category = self.line(&format!("categories[{index}]"), root)?;
            if !category.is_empty() {
                categories.push(category);
            }
        }
        Ok((!categories.is_empty()).then(|| categories.into()))
    }

    fn headers(&self, root: &Root) -> Result<Option<Value>> {
        let mut headers = Map::new();
        for name in &self.0.headers {
            let value = self.line(&format!("headers.{name}"), root)?;
            if !value.is_empty() {
                headers.insert(name.clone(), value.into());
            }
        }
        Ok((!headers.is_empty()).then(|| headers.into()))
    }

    fn attachments(&self, root: &Root) -> Result<Option<Value>> {
        let mut files = Vec::new();
        for attachment in &self.0.attachments {
            attachment.add_to(&mut files, &self.0.templates, root)?;
        }
        Ok((!files.is_empty()).then(|| files.into()))
    }
}

impl Decoder for Composer {
    fn decode(&self, message: &Message, position: &Position) -> Composed<Decoded> {
        match self.compose(message, position)? {
            Some(request) => decode(&request, position).map(Some),
            None => Ok(None),
        }
    }
}

/// In words, for a person who reads what would run.
impl fmt::Display for Composer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.when {
            Some(when) => write!(f, "of events for which {when}"),
            None => f.write_str("of every event"),
        }?;
        match self.0.templates.files().count() {
            0 => Ok(()),
            count => write!(f, ", with {count} template files"),
        }
    }
}

/// Shows nothing: templates are long.
impl fmt::Debug for Composer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
