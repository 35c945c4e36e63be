//! The templates of a pipeline, compiled, and what it costs at most to use one.
//!
//! There are two sets of the same templates: one for what becomes html, where everything that comes
//! from the event is escaped, and one for the rest, where nothing is. So it is the request's field
//! that decides, whatever a file is called and whoever includes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use mailbridge_core::{Result, limits::BODY_BYTES_MAX};
use minijinja::{
    AutoEscape, Environment, Error as Cause, Output, OutputSpanKind, State, UndefinedBehavior,
    Value, escape_formatter, value::ValueKind,
};

use crate::{
    error::{failed, refused, said},
    filter,
};

/// The work that one template may do: about as many steps of it, or 64 times as many bytes. A mail
/// of 4 MB in 40,000 rows takes half of it.
const FUEL: u64 = 1_000_000;
/// How deep templates may include and call each other: what fits on a thread's stack.
const DEPTH_MAX: usize = 64;

/// Template files by their paths below one folder.
#[derive(Clone, Debug, Default)]
pub struct TemplateFiles {
    /// The folder, as messages name it.
    pub folder: String,
    /// Their texts. The paths have `/` between their parts.
    pub texts: BTreeMap<String, String>,
}

/// What a template's text becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Html: what comes from the event is escaped.
    Html,
    /// Anything else.
    Plain,
}

/// A piece of rendered text.
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Whether it stands in the template as it is; else it was computed, from the event or not.
    pub(crate) literal: bool,
}

/// The templates of a pipeline.
pub(crate) struct Templates {
    html: Environment<'static>,
    plain: Environment<'static>,
    /// The folder of those that are files, as messages name it.
    pub(crate) folder: String,
    files: BTreeSet<String>,
}

impl Templates {
    /// Compiles the files, each that can be.
    pub(crate) fn new(files: TemplateFiles) -> (Self, Vec<Cause>) {
        let mut templates = Self {
            html: environment(AutoEscape::Html),
            plain: environment(AutoEscape::None),
            folder: files.folder,
            files: files.texts.keys().cloned().collect(),
        };
        let mut mistakes = Vec::new();
        for (name, text) in files.texts {
            mistakes.extend(templates.add(name, text).err());
        }
        (templates, mistakes)
    }

    /// From now on, what is looked up in nothing is nothing, and no failure.
    pub(crate) fn lenient(&mut self) {
        for environment in [&mut self.html, &mut self.plain] {
            environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        }
    }

    /// The files, also those that could not be compiled.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Compiles one more.
    pub(crate) fn add(&mut self, name: String, text: String) -> Result<(), Cause> {
        self.html.add_template_owned(name.clone(), text.clone())?;
        self.plain.add_template_owned(name, text)
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    pub(crate) fn environment(&self) -> &Environment<'static> {
        &self.plain
    }

    /// Renders a text of several lines.
    pub(crate) fn text(&self, kind: Kind, name: &str, field: &str, root: &Value) -> Result<String> {
        let environment = match kind {
            Kind::Html => &self.html,
            Kind::Plain => &self.plain,
        };
        let mut bytes = Bounded(Vec::new());
        environment
            .get_template(name)
            .and_then(|template| template.render_captured_to(root, &mut bytes))
            .map_err(|cause| failed(field, &cause, &self.folder))?;
        // the engine writes whole texts, so this never replaces anything
        Ok(String::from_utf8_lossy(&bytes.0).into_owned())
    }

    /// Renders a text and says which parts of it stand in the template.
    pub(crate) fn pieces<T>(
        &self,
        name: &str,
        field: &str,
        root: &Value,
        take: impl FnOnce(&[Piece<'_>]) -> Result<T>,
    ) -> Result<T> {
        let (text, spans) = self
            .plain
            .get_template(name)
            .and_then(|template| template.render_with_spans(root))
            .map_err(|cause| failed(field, &cause, &self.folder))?;
        let mut pieces = Vec::with_capacity(spans.len());
        let mut end = 0;
        for span in &spans {
            let range = span.output_range();
            // what no span speaks for is taken for computed
            pieces.push(Piece { text: &text[end..range.start], literal: false });
            let literal = span.kind() == OutputSpanKind::Raw;
            end = range.end;
            pieces.push(Piece { text: &text[range], literal });
        }
        pieces.push(Piece { text: &text[end..], literal: false });
        pieces.retain(|piece| !piece.text.is_empty());
        take(&pieces)
    }

    /// Whether a condition holds.
    pub(crate) fn holds(&self, condition: &str, field: &str, root: &Value) -> Result<bool> {
        let value = self.value(condition, field, root)?;
        if value.is_undefined() {
            let detail = "the condition is a value that the event does not have";
            return Err(refused(field, detail));
        }
        Ok(value.is_true())
    }

    /// Evaluates an expression.
    pub(crate) fn value(&self, expression: &str, field: &str, root: &Value) -> Result<Value> {
        self.plain
            .compile_expression(expression)
            .and_then(|expression| expression.eval(root))
            .map_err(|cause| failed(field, &cause, &self.folder))
    }
}

fn environment(escape: AutoEscape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| escape.clone());
    environment.set_formatter(format);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    // for the place and the name of what is missing; what else it collects is never shown
    environment.set_debug(true);
    filter::add_to(&mut environment);
    environment
}

/// As the engine does it, but for people: nobody wants to read "none" in a mail, or a list with
/// brackets and quotes around its words.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Cause> {
    if value.is_none() {
        return Err(said("the event has null here; `default` says what stands in its place"));
    }
    if value.kind() != ValueKind::Seq {
        return escape_formatter(out, state, value);
    }
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        escape_formatter(out, state, &item)?;
    }
    Ok(())
}

/// Takes what fits into a mail.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BODY_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
