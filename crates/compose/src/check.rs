//! What can be found wrong with a template without an event: names of filters, tests, functions,
//! variables and files that nobody knows.
//!
//! The template engine looks a name up when it comes by; here all of a template's steps are gone
//! through, also those that an event seldom takes.

use std::collections::BTreeSet;

use minijinja::{
    Environment, Error as Cause, ErrorKind, Template, Value,
    machinery::{Instruction, Instructions, get_compiled_template},
};

use crate::template::Templates;

/// What templates see of an event.
const EVENT: [&str; 2] = ["event", "data"];

/// A mistake, and where it begins.
pub(crate) struct Unknown {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) detail: String,
}

impl Unknown {
    fn at(instructions: &Instructions<'_>, step: u32, detail: String) -> Self {
        let span = instructions.get_span(step).unwrap_or_default();
        // columns count from 0 there, and lines from 1
        let (line, column) = (usize::from(span.start_line.max(1)), usize::from(span.start_col) + 1);
        Self { line, column, detail }
    }
}

/// The filters, tests, functions and files that a template names and nobody has.
pub(crate) fn names(templates: &Templates, name: &str) -> Vec<Unknown> {
    let Ok(template) = templates.environment().get_template(name) else { return Vec::new() };
    unknown_names(templates, &template)
}

/// The variables that a template uses and no event has. Not for one that others include, or that
/// extends another: it sees what they have set. `item`: whether it stands below a `for_each`.
pub(crate) fn variables(templates: &Templates, name: &str, item: bool) -> Vec<Unknown> {
    match templates.environment().get_template(name) {
        Ok(template) if !extends(&template) => {
            unknown_variables(templates.environment(), &template, item)
        }
        _ => Vec::new(),
    }
}

fn all<'a>(template: &'a Template<'a, 'a>) -> impl Iterator<Item = &'a Instructions<'a>> {
    let compiled = get_compiled_template(template);
    std::iter::once(&compiled.instructions).chain(compiled.blocks.values())
}

fn steps<'a>(
    instructions: &'a Instructions<'a>,
) -> impl Iterator<Item = (u32, &'a Instruction<'a>)> {
    (0..).map_while(|at| Some((at, instructions.get(at)?)))
}

fn extends<'a>(template: &'a Template<'a, 'a>) -> bool {
    all(template).flat_map(steps).any(|(_, step)| matches!(step, Instruction::LoadBlocks))
}

fn unknown_names<'a>(templates: &Templates, template: &'a Template<'a, 'a>) -> Vec<Unknown> {
    let own: BTreeSet<&str> = all(template)
        .flat_map(steps)
        .filter_map(|(_, step)| match step {
            Instruction::StoreLocal(name) => Some(*name),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for instructions in all(template) {
        for (at, step) in steps(instructions) {
            let before = at.checked_sub(1).and_then(|at| instructions.get(at));
            if let Some(detail) = unknown_name(templates, step, before, &own) {
                found.push(Unknown::at(instructions, at, detail));
            }
        }
    }
    found
}

fn unknown_name(
    templates: &Templates,
    step: &Instruction<'_>,
    before: Option<&Instruction<'_>>,
    own: &BTreeSet<&str>,
) -> Option<String> {
    let environment = templates.environment();
    let is = |result: Result<(), Cause>, kind| result.is_err_and(|cause| cause.kind() == kind);
    match step {
        Instruction::ApplyFilter(name, ..) => {
            let tried = environment.empty_state().apply_filter(name, &[]).map(drop);
            is(tried, ErrorKind::UnknownFilter).then(|| format!("there is no filter `{name}`"))
        }
        Instruction::PerformTest(name, ..) => {
            let tried = environment.empty_state().perform_test(name, &[]).map(drop);
            is(tried, ErrorKind::UnknownTest).then(|| format!("there is no test `{name}`"))
        }
        Instruction::CallFunction(name, _) => {
            let known = own.contains(name)
                || ["super", "loop", "caller"].contains(name)
                || environment.globals().any(|(global, _)| global == *name);
            (!known).then(|| format!("there is no function `{name}`"))
        }
        Instruction::Include(false) | Instruction::LoadBlocks => {
            let Some(Instruction::LoadConst(names)) = before else { return None };
            missing_file(templates, names)
        }
        _ => None,
    }
}

/// A file, or all of several, that is not there.
fn missing_file(templates: &Templates, names: &Value) -> Option<String> {
    let names: Vec<String> = match names.as_str() {
        Some(name) => vec![name.to_owned()],
        None => names.try_iter().ok()?.map(|name| name.to_string()).collect(),
    };
    let there = names.iter().any(|name| templates.has(name));
    (!there)
        .then(|| format!("there is no file `{}` in the folder of templates", names.join("`, `")))
}

fn unknown_variables<'a>(
    environment: &Environment<'static>,
    template: &'a Template<'a, 'a>,
    item: bool,
) -> Vec<Unknown> {
    let known = |name: &str| {
        EVENT.contains(&name)
            || (item && name == "item")
            || environment.globals().any(|(global, _)| global == name)
    };
    let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
    names.retain(|name| !known(name));
    names.sort();
    let seen = if item { "event, data and item" } else { "event and data" };
    let told = |name: String| {
        let used = |step: &Instruction<'_>| matches!(step, Instruction::Lookup(it) if *it == name);
        let (instructions, at) = all(template).find_map(|instructions| {
            let (at, _) = steps(instructions).find(|(_, step)| used(step))?;
            Some((instructions, at))
        })?;
        let detail = format!("there is no variable `{name}`; templates see {seen}");
        Some(Unknown::at(instructions, at, detail))
    };
    names.into_iter().filter_map(told).collect()
}
