//! Tests beside a pipeline, as users write them: an event, and what is to become of it. They are
//! run by `mailbridge test`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mailbridge_core::{Code, plugin};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{load, parse, problem::Problem};

/// A test, or a file of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a test with `name`, `event` and `expect`, or a file's path"
)]
#[schemars(rename = "TestOrFile")]
pub enum Entry {
    /// A file with tests under the key `tests`.
    File(PathBuf),
    /// A test.
    Test(#[schemars(with = "Test")] Value),
}

/// An event, and what is to become of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// The message's payload as JSON, or the path of a file that holds it.
    pub event: Value,
    /// The message's headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Where the message comes from: its subject or topic.
    #[serde(default)]
    pub address: Option<String>,
    /// What is to become of it.
    pub expect: Expect,
}

/// What is to become of an event: a request, nothing, or an error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Fields of its request, as `mailbridge render` shows it; others may have any value.
    #[serde(default)]
    pub request: Option<Map<String, Value>>,
    /// Texts that fields of its request contain.
    #[serde(default)]
    pub contains: BTreeMap<String, Texts>,
    /// It is passed by, because `when` is false.
    #[serde(default)]
    pub skipped: bool,
    /// The code with which it is rejected.
    #[serde(default)]
    pub error: Option<String>,
    /// With `error`: the field that the error names.
    #[serde(default)]
    pub field: Option<String>,
}

/// One text, or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// All of them.
    Many(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// A file of tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tests: Vec<Value>,
}

/// Reads the tests of a pipeline, and what is wrong with them. `place` says where a key below the
/// pipeline's `tests` stands.
pub fn read(entries: &[Entry], place: impl Fn(&[String]) -> Problem) -> (Vec<Test>, Vec<Problem>) {
    let (mut tests, mut problems) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let index = index.to_string();
        match entry {
            Entry::Test(section) => match test(section.clone()) {
                Ok(test) => tests.push(test),
                Err(mistakes) => problems.extend(mistakes.into_iter().map(|(path, message)| {
                    let key: Vec<_> = std::iter::once(index.clone()).chain(path).collect();
                    Problem { message, ..place(&key) }
                })),
            },
            Entry::File(path) => match file(path) {
                Ok(read) => tests.extend(read),
                Err(found) => problems.extend(found),
            },
        }
    }
    (tests, problems)
}

fn file(path: &Path) -> Result<Vec<Test>, Vec<Problem>> {
    let loaded = load::alone(path)?;
    let at = |key: Vec<String>, message: String| Problem {
        place: loaded.places.find(&key),
        key,
        message,
    };
    let file: File = parse::all(loaded.tree.clone(), plugin::parse).map_err(|mistakes| {
        mistakes.into_iter().map(|it| at(it.path, it.detail)).collect::<Vec<_>>()
    })?;
    let (mut tests, mut problems) = (Vec::new(), Vec::new());
    for (index, section) in file.tests.into_iter().enumerate() {
        let below = |path: Vec<String>| {
            ["tests".to_owned(), index.to_string()].into_iter().chain(path).collect()
        };
        match test(section) {
            Ok(test) => tests.push(test),
            Err(mistakes) => problems
                .extend(mistakes.into_iter().map(|(path, message)| at(below(path), message))),
        }
    }
    if problems.is_empty() { Ok(tests) } else { Err(problems) }
}

/// Reads one test.
fn test(section: Value) -> Result<Test, Vec<(Vec<String>, String)>> {
    let mut test: Test = parse::all(section, plugin::parse).map_err(|mistakes| {
        mistakes.into_iter().map(|it| (it.path, it.detail)).collect::<Vec<_>>()
    })?;
    let wrong = |key: &str, message: String| {
        let path = key.split('.').map(str::to_owned).collect();
        Err(vec![(path, message)])
    };
    let Expect { request, contains, skipped, error, field } = &test.expect;
    let mail = request.is_some() || !contains.is_empty();
    if [mail, *skipped, error.is_some()].into_iter().filter(|given| *given).count() != 1 {
        let one = "expected one of `request` (with `contains`), `skipped: true` and `error`";
        return wrong("expect", one.to_owned());
    }
    if field.is_some() && error.is_none() {
        return wrong("expect.field", "this goes with `error`".to_owned());
    }
    if let Some(code) = error
        && code.parse::<Code>().is_err()
    {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let near = crate::names::nearest(code, &codes);
        let near = near.map_or_else(
            || "`mailbridge explain` lists all".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return wrong("expect.error", format!("there is no such code; {near}"));
    }
    if let Value::String(path) = &test.event {
        match event(path) {
            Ok(event) => test.event = event,
            Err(message) => return wrong("event", message),
        }
    }
    Ok(test)
}

fn event(path: &str) -> Result<Value, String> {
    let bytes = std::fs::read(path)
        .map_err(|cause| format!("the file `{path}` cannot be read ({})", cause.kind()))?;
    serde_json::from_slice(&bytes).map_err(|_| format!("the file `{path}` is not JSON"))
}
