//! `mailbridge test`: runs the tests that stand beside pipelines. Connects to nothing.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use mailbridge_core::{Headers, Message};
use serde_json::{Value, json};

use crate::{
    compare::differences,
    config::{self, Pipeline, expectation},
    exit::Exit,
    registry::Registry,
    rehearsal::{Part, Rehearsal, rehearse},
    run::report::tell,
};

/// The arguments.
#[derive(clap::Args)]
pub struct Test {
    /// Configuration files (.yaml, .toml, .json); later ones win
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the results are told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object
    Json,
    /// For build servers: JUnit's XML
    Junit,
}

/// A test that was run.
struct Ran<'a> {
    pipeline: &'a str,
    name: &'a str,
    took: Duration,
    /// What is not as expected.
    failures: Vec<String>,
}

impl Test {
    /// Runs them.
    pub fn run(&self, registry: &Registry) -> Exit {
        let setup = match config::read_with_tests(&self.files, registry) {
            Ok(setup) => setup,
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Config;
            }
        };
        let ran: Vec<_> = setup
            .pipelines
            .iter()
            .flat_map(|pipeline| pipeline.tests.iter().map(|test| carry_out(pipeline, test)))
            .collect();
        if ran.is_empty() {
            eprintln!("there are no tests: write some under the key `tests` of a pipeline");
            return Exit::Failed;
        }
        match self.format {
            Format::Text => tell(format_args!("{}", text(&ran))),
            Format::Json => tell(format_args!("{:#}\n", as_json(&ran))),
            Format::Junit => tell(format_args!("{}", junit(&ran))),
        }
        let good = ran.iter().all(|ran| ran.failures.is_empty());
        if good { Exit::Done } else { Exit::Failed }
    }
}

fn carry_out<'a>(pipeline: &'a Pipeline, test: &'a expectation::Test) -> Ran<'a> {
    let started = Instant::now();
    let mut headers = Headers::new();
    for (name, value) in &test.headers {
        headers.push(name, value.clone());
    }
    let message = Message {
        address: test.address.clone(),
        headers,
        payload: test.event.to_string().into(),
        ..Message::default()
    };
    let failures = failures(&rehearse(pipeline, &message), &test.expect);
    Ran { pipeline: &pipeline.name, name: &test.name, took: started.elapsed(), failures }
}

fn failures(rehearsal: &Rehearsal, expect: &expectation::Expect) -> Vec<String> {
    let unlike =
        |expected: &str, got: String| vec![format!("  expected  {expected}\n  got       {got}")];
    let wants_mail = expect.request.is_some() || !expect.contains.is_empty();
    match rehearsal {
        Rehearsal::Skipped if expect.skipped => Vec::new(),
        Rehearsal::Skipped => unlike(&wanted(expect), "skipped: `when` is false".to_owned()),
        Rehearsal::Request(part) if wants_mail => {
            let Part { request, .. } = part.as_ref();
            let expected = expect.request.iter().flatten();
            differences(expected, &expect.contains, request.as_ref().unwrap_or(&Value::Null))
        }
        Rehearsal::Request(_) => unlike(&wanted(expect), "a request".to_owned()),
        Rehearsal::Rejected { error, .. } => {
            let code = expect.error.as_deref() == Some(error.code().as_str());
            let field = expect.field.as_deref().is_none_or(|it| error.field("field") == Some(it));
            if code && field {
                return Vec::new();
            }
            unlike(&wanted(expect), format!("{}: {error}", error.code()))
        }
    }
}

fn wanted(expect: &expectation::Expect) -> String {
    match (&expect.error, &expect.field) {
        (Some(code), Some(field)) => format!("{code} (field: {field})"),
        (Some(code), None) => code.clone(),
        (None, _) if expect.skipped => "skipped".to_owned(),
        (None, _) => "a request".to_owned(),
    }
}

fn text(ran: &[Ran<'_>]) -> String {
    let mut text = String::new();
    for Ran { pipeline, name, failures, .. } in ran {
        let result = if failures.is_empty() { "ok    " } else { "FAILED" };
        line(&mut text, &format!("{result}  {pipeline}: {name}"));
        for failure in failures {
            for part in failure.lines() {
                line(&mut text, &format!("          {part}"));
            }
        }
    }
    let failed = ran.iter().filter(|ran| !ran.failures.is_empty()).count();
    line(&mut text, &format!("\n{} passed, {failed} failed", ran.len() - failed));
    text
}

fn as_json(ran: &[Ran<'_>]) -> Value {
    let tests: Vec<_> = ran
        .iter()
        .map(|Ran { pipeline, name, failures, .. }| {
            let passed = failures.is_empty();
            json!({ "pipeline": pipeline, "name": name, "passed": passed, "failures": failures })
        })
        .collect();
    let failed = ran.iter().filter(|ran| !ran.failures.is_empty()).count();
    json!({ "passed": ran.len() - failed, "failed": failed, "tests": tests })
}

fn junit(ran: &[Ran<'_>]) -> String {
    let failed = ran.iter().filter(|ran| !ran.failures.is_empty()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = ran.len();
    line(
        &mut text,
        &format!("<testsuite name=\"mailbridge\" tests=\"{count}\" failures=\"{failed}\">"),
    );
    for Ran { pipeline, name, took, failures } in ran {
        let (pipeline, name) = (escaped(pipeline), escaped(name));
        let case = format!(
            "  <testcase classname=\"{pipeline}\" name=\"{name}\" time=\"{:.6}\"",
            took.as_secs_f64()
        );
        if failures.is_empty() {
            line(&mut text, &format!("{case}/>"));
            continue;
        }
        let told = escaped(&failures.join("\n"));
        line(
            &mut text,
            &format!("{case}><failure message=\"not as expected\">{told}</failure></testcase>"),
        );
    }
    line(&mut text, "</testsuite>");
    text
}

fn line(text: &mut String, line: &str) {
    // writing to a String cannot fail
    writeln!(text, "{line}").ok();
}

/// Text in XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_to_people_programs_and_build_servers() {
        let ran = |name, failures: &[&str]| Ran {
            pipeline: "orders",
            name,
            took: Duration::from_millis(2),
            failures: failures.iter().map(|&it| it.to_owned()).collect(),
        };
        let all =
            [ran("good", &[]), ran("a \"<bad>\" one", &["to\n  expected  1\n  got       \u{1}"])];
        let told = text(&all);
        assert!(told.starts_with("ok      orders: good\nFAILED  orders: a"), "{told}");
        assert!(told.contains("\n            expected  1\n"), "{told}");
        assert!(told.ends_with("\n1 passed, 1 failed\n"), "{told}");
        assert_eq!(as_json(&all)["tests"][1]["passed"], false);
        let xml = junit(&all);
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("name=\"a &quot;&lt;bad&gt;&quot; one\" time=\"0.002000\""), "{xml}");
        assert!(!xml.contains('\u{1}'), "{xml}");
    }
}
