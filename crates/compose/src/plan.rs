//! From a configuration to templates that are compiled and looked through. A mistake is noted and
//! the work goes on, so that all of them are told at once.

use mailbridge_core::{limits::HEADERS_MAX, plugin::Malformed};

use crate::{
    attachment::{self, Attachment},
    check::{self, Unknown},
    config::{Body, Config, OneOrMany, Operation},
    error,
    template::{Kind, TemplateFiles, Templates},
};

/// A configuration, compiled. Every template has the name of its field.
pub(crate) struct Plan {
    pub(crate) templates: Templates,
    pub(crate) when: Option<String>,
    pub(crate) operation: Operation,
    /// Whether an id is given.
    pub(crate) id: bool,
    /// Fields of one line that an empty one leaves out.
    pub(crate) lines: Vec<&'static str>,
    /// Whether a subject is given.
    pub(crate) subject: bool,
    pub(crate) addresses: Vec<(&'static str, Addresses)>,
    pub(crate) from: bool,
    pub(crate) texts: Vec<(&'static str, Text)>,
    pub(crate) categories: usize,
    pub(crate) headers: Vec<String>,
    pub(crate) attachments: Vec<Attachment>,
    /// What is the same for every event.
    pub(crate) flags: Vec<(&'static str, bool)>,
}

/// Where addresses come from.
pub(crate) enum Addresses {
    /// A template that gives several.
    One,
    /// So many templates that give one each.
    Many(usize),
}

/// A text of several lines.
pub(crate) struct Text {
    pub(crate) kind: Kind,
    pub(crate) template: String,
}

/// What makes a template of an expression.
const OPEN: &str = "{{ ";

/// The name of the template of a field.
pub(crate) fn named(field: &str) -> String {
    format!(":{field}")
}

impl Plan {
    pub(crate) fn new(config: &Config, files: TemplateFiles) -> Result<Self, Vec<Malformed>> {
        let (templates, broken) = Templates::new(files);
        let mut builder = Builder::new(templates);
        for cause in broken {
            let detail = error::mistake(&cause, &builder.templates.folder);
            builder.mistake(&["templates"], detail);
        }
        builder.look_through_files();
        rules(config, &mut builder);
        if let Some(when) = &config.when {
            builder.expression("when", when, false);
        }
        let lines = builder.lines(config);
        let addresses = builder.addresses(config);
        let texts = builder.texts(config);
        for (index, category) in config.categories.iter().enumerate() {
            builder.template(&format!("categories[{index}]"), category, false);
        }
        for (name, value) in &config.headers {
            builder.template(&format!("headers.{name}"), value, false);
        }
        let attachments = config.attachments.iter().enumerate();
        let attachments =
            attachments.map(|(at, it)| attachment::plan(&mut builder, at, it)).collect();
        Ok(Self {
            templates: builder.finish()?,
            when: config.when.clone(),
            operation: config.operation,
            id: config.id.is_some(),
            lines,
            subject: config.subject.is_some(),
            addresses,
            from: config.from.is_some(),
            texts,
            categories: config.categories.len(),
            headers: config.headers.keys().cloned().collect(),
            attachments,
            flags: flags(config),
        })
    }
}

fn flags(config: &Config) -> Vec<(&'static str, bool)> {
    let given = [
        ("read_receipt", config.read_receipt.then_some(true)),
        ("delivery_receipt", config.delivery_receipt.then_some(true)),
        ("save_to_sent_items", config.save_to_sent_items),
        ("quote", config.quote),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What would be wrong with every request.
fn rules(config: &Config, builder: &mut Builder) {
    let answer = config.operation != Operation::Send;
    let mut unless = |fits: bool, key: &str, message: &str| {
        if !fits {
            builder.mistake(&[key], message.to_owned());
        }
    };
    let recipients = [&config.to, &config.cc, &config.bcc].into_iter().any(Option::is_some);
    let needs = matches!(config.operation, Operation::Send | Operation::Forward);
    unless(recipients || !needs, "to", "a mail needs recipients in `to`, `cc` or `bcc`");
    unless(
        config.message.is_some() || !answer,
        "message",
        "an answer needs `message`: the id of the mail that is answered",
    );
    for (key, given) in [("message", config.message.is_some()), ("quote", config.quote.is_some())] {
        unless(
            answer || !given,
            key,
            "this goes with `operation: reply`, `reply_all` or `forward`",
        );
    }
    unless(
        !answer || config.text.is_none() || config.html.is_none(),
        "html",
        "an answer has `text` or `html`: graph keeps one of them in a conversation",
    );
    unless(
        !answer || config.save_to_sent_items.is_none(),
        "save_to_sent_items",
        "an answer always leaves its copy in Sent Items",
    );
    unless(config.headers.len() <= HEADERS_MAX, "headers", "expected five headers or fewer");
    for name in config.headers.keys() {
        let custom = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
        if !custom {
            builder.mistake(&["headers", name], "a header's name must start with x-".to_owned());
        }
    }
}

/// Collects templates and mistakes.
pub(crate) struct Builder {
    pub(crate) templates: Templates,
    mistakes: Vec<Malformed>,
}

impl Builder {
    pub(crate) fn new(templates: Templates) -> Self {
        Self { templates, mistakes: Vec::new() }
    }

    /// Whether there is no mistake so far.
    pub(crate) fn is_well(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The templates, if nothing is wrong with them.
    pub(crate) fn finish(self) -> Result<Templates, Vec<Malformed>> {
        let Self { templates, mistakes } = self;
        if mistakes.is_empty() { Ok(templates) } else { Err(mistakes) }
    }

    pub(crate) fn mistake(&mut self, path: &[&str], detail: String) {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        self.mistakes.push(Malformed { path, detail });
    }

    fn look_through_files(&mut self) {
        let mut found = Vec::new();
        for file in self.templates.files() {
            let folder = &self.templates.folder;
            for Unknown { line, column, detail } in check::names(&self.templates, file) {
                let place = error::place(file, folder, line, Some(column));
                found.push(format!("{place}: {detail}"));
            }
        }
        for detail in found {
            self.mistake(&["templates"], detail);
        }
    }

    /// Takes the template of a field. `item`: whether it stands below a `for_each`.
    pub(crate) fn template(&mut self, field: &str, text: &str, item: bool) {
        if let Err(cause) = self.templates.add(named(field), text.to_owned()) {
            let detail = error::mistake(&cause, &self.templates.folder);
            self.mistake(&path(field), detail);
            return;
        }
        self.look_through(field, item, 0);
    }

    /// Takes an expression of a field.
    pub(crate) fn expression(&mut self, field: &str, text: &str, item: bool) {
        if let Err(cause) = self.templates.environment().compile_expression_owned(text.to_owned()) {
            let detail = error::mistake(&cause, &self.templates.folder);
            self.mistake(&path(field), detail);
            return;
        }
        // as a template too, only to be looked through: the engine shows nothing of an expression
        if self.templates.add(named(field), format!("{OPEN}{text} }}}}")).is_ok() {
            self.look_through(field, item, OPEN.len());
        }
    }

    fn look_through(&mut self, field: &str, item: bool, indent: usize) {
        let name = named(field);
        let mut found = check::names(&self.templates, &name);
        found.extend(check::variables(&self.templates, &name, item));
        for Unknown { line, column, detail } in found {
            let column = if line == 1 { column.saturating_sub(indent).max(1) } else { column };
            let place = error::place(&name, "", line, Some(column));
            self.mistake(&path(field), format!("{place}: {detail}"));
        }
    }

    /// Takes a text, here or in a file; its template's name.
    pub(crate) fn text(&mut self, field: &str, body: &Body, item: bool) -> String {
        let file = match body {
            Body::Inline(text) => {
                self.template(field, text, item);
                return named(field);
            }
            Body::File(file) => file.file.clone(),
        };
        let mut path = path(field);
        path.push("file");
        if !self.templates.has(&file) {
            let known: Vec<_> = self.templates.files().take(20).collect();
            let detail = if known.is_empty() {
                "there is no such file: `templates` names no folder with template files".to_owned()
            } else {
                format!("there is no such file below `templates`; there are {}", known.join(", "))
            };
            self.mistake(&path, detail);
        }
        for Unknown { line, column, detail } in check::variables(&self.templates, &file, item) {
            let place = error::place(&file, &self.templates.folder, line, Some(column));
            self.mistake(&path, format!("{place}: {detail}"));
        }
        file
    }

    fn lines(&mut self, config: &Config) -> Vec<&'static str> {
        let optional = [
            ("mailbox", &config.mailbox),
            ("not_after", &config.not_after),
            ("message", &config.message),
            ("importance", &config.importance),
        ];
        for (field, text) in
            optional.into_iter().chain([("id", &config.id), ("subject", &config.subject)])
        {
            if let Some(text) = text {
                self.template(field, text, false);
            }
        }
        if let Some(from) = &config.from {
            self.template("from", from, false);
        }
        let given = optional.into_iter().filter(|(_, text)| text.is_some());
        given.map(|(field, _)| field).collect()
    }

    fn addresses(&mut self, config: &Config) -> Vec<(&'static str, Addresses)> {
        let lists = [
            ("to", &config.to),
            ("cc", &config.cc),
            ("bcc", &config.bcc),
            ("reply_to", &config.reply_to),
        ];
        let mut given = Vec::new();
        for (field, list) in lists {
            match list {
                None => {}
                Some(OneOrMany::One(text)) => {
                    self.template(field, text, false);
                    given.push((field, Addresses::One));
                }
                Some(OneOrMany::Many(texts)) => {
                    for (index, text) in texts.iter().enumerate() {
                        self.template(&format!("{field}[{index}]"), text, false);
                    }
                    given.push((field, Addresses::Many(texts.len())));
                }
            }
        }
        given
    }

    fn texts(&mut self, config: &Config) -> Vec<(&'static str, Text)> {
        let bodies = [("text", Kind::Plain, &config.text), ("html", Kind::Html, &config.html)];
        let mut given = Vec::new();
        for (field, kind, body) in bodies {
            if let Some(body) = body {
                given.push((field, Text { kind, template: self.text(field, body, false) }));
            }
        }
        given
    }
}

/// The keys of a field such as `attachments[0].name`.
fn path(field: &str) -> Vec<&str> {
    // a header's name is one key, whatever is in it
    if let Some(name) = field.strip_prefix("headers.") {
        return vec!["headers", name];
    }
    field.split(['.', '[', ']']).filter(|key| !key.is_empty()).collect()
}
