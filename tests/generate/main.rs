//! `cargo xtask generate`: writes the documents that follow from the code, so that they cannot say
//! something else. With `--check` it writes nothing and fails when one is out of date.
//!
//! Whatever lies in a generated folder and is not generated any more is removed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use mailbridge_core::{
    Code,
    contract::{AnyRequest, MailEvent, Outcome},
};
use schemars::schema_for;

/// Documents by their path below `docs`.
type Documents = BTreeMap<String, String>;

/// Folders whose every file is generated.
const OWNED: [&str; 2] = ["errors", "reference"];

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|argument| argument == "--check");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let documents = summary(&docs).map(documents);
    let stale = match documents.and_then(|documents| stale(&docs, &documents)) {
        Ok(stale) => stale,
        Err(error) => {
            eprintln!("{}: {error}", docs.display());
            return ExitCode::FAILURE;
        }
    };
    if check && !stale.is_empty() {
        for (path, _) in &stale {
            eprintln!("out of date: {}", path.display());
        }
        eprintln!("run `cargo xtask generate`, and commit what it writes");
        return ExitCode::FAILURE;
    }
    for (path, text) in stale {
        if let Err(error) = apply(&path, text.as_deref()) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}

/// What differs from what ought to be there: a path, and its text or nothing if it must go.
fn stale(docs: &Path, documents: &Documents) -> io::Result<Vec<(PathBuf, Option<String>)>> {
    let mut stale = Vec::new();
    for (name, text) in documents {
        let path = docs.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            stale.push((path, Some(text.clone())));
        }
    }
    for folder in OWNED {
        fs::create_dir_all(docs.join(folder))?;
        for entry in fs::read_dir(docs.join(folder))? {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if !documents.contains_key(&name) {
                stale.push((entry.path(), None));
            }
        }
    }
    Ok(stale)
}

fn apply(path: &Path, text: Option<&str>) -> io::Result<()> {
    match text {
        Some(text) => fs::write(path, text),
        None => fs::remove_file(path),
    }
}

fn documents(summary: String) -> Documents {
    let mut documents = Documents::from([("SUMMARY.md".into(), summary)]);
    for code in Code::ALL {
        documents.insert(format!("errors/{code}.md"), error_page(*code));
    }
    documents.insert("errors/README.md".into(), error_index());
    documents.insert("reference/classification.md".into(), classification());
    documents.insert("reference/doctor.md".into(), doctor());
    documents.insert("reference/metrics.md".into(), metrics());
    for (name, schema) in [
        ("request", schema_for!(AnyRequest)),
        ("outcome", schema_for!(Outcome)),
        ("event", schema_for!(MailEvent)),
    ] {
        let text = format!("{:#}\n", schema.to_value());
        documents.insert(format!("reference/{name}.schema.json"), text);
    }
    documents
}

/// The pages of the book as they are listed now, with a page for each code that there is.
fn summary(docs: &Path) -> io::Result<String> {
    const INDEX: &str = "](errors/README.md)\n";
    let text = fs::read_to_string(docs.join("SUMMARY.md"))?;
    let (before, after) = text.split_once(INDEX).ok_or_else(|| {
        io::Error::other("SUMMARY.md does not list errors/README.md, below which codes go")
    })?;
    let mut summary = format!("{before}{INDEX}");
    summary.extend(Code::ALL.iter().map(|code| format!("  - [{code}](errors/{code}.md)\n")));
    let other = |line: &&str| !line.contains("](errors/");
    summary.extend(after.split_inclusive('\n').filter(other));
    Ok(summary)
}

fn error_page(code: Code) -> String {
    let (meaning, cure) = (capital(code.meaning()), capital(code.cure()));
    format!("# {code}\n\n{meaning}.\n\n**Cure.** {cure}.\n")
}

fn capital(sentence: &str) -> String {
    // A sentence that begins with code stays as it is.
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

fn error_index() -> String {
    let mut text = String::from(
        "# Error codes\n\nEach failure has a code, in logs, outcomes, dead letters and `/readyz`. \
         `mailbridge explain CODE` says the same.\n\n| code | what it means |\n|---|---|\n",
    );
    for code in Code::ALL {
        row(&mut text, &format!("[{code}]({code}.md)"), code.meaning());
    }
    text
}

fn row(text: &mut String, first: &str, second: &str) {
    if writeln!(text, "| {first} | {second} |").is_err() {
        unreachable!("a string takes every line");
    }
}

fn classification() -> String {
    let table = mailbridge_graph::classify::table();
    format!(
        "# What an answer of Graph means\n\nEvery answer becomes a code and a verdict in one pure \
         function; this is the whole of it. *Again*: it did not happen, and is tried again. *In doubt*: it \
         may have happened, and the mailbox is looked at first. *Permanent*: dead letter. *Waits*: nothing \
         is charged, nothing is dead-lettered.\n\n{table}"
    )
}

fn doctor() -> String {
    let table = mailbridge_graph::doctor::table();
    format!(
        "# What the doctor finds\n\n`mailbridge doctor FILE` walks the six steps of setting an app up, against \
         the live service, and names what is wrong by the ids below. It sends nothing and changes nothing: \
         changing and sending are tried on a message that does not exist. A warning leaves the exit code 0; a \
         failed step makes it 1. The steps by hand: [Microsoft Entra](../guide/entra.md). The shape of \
         `--format json`: `mailbridge schema doctor`.\n{table}"
    )
}

fn metrics() -> String {
    let mut text = String::from(
        "# Metrics\n\nAt `/metrics`, in Prometheus's format. No label holds a recipient.\n\n\
         | name | what it counts |\n|---|---|\n",
    );
    let all = mailbridge_engine::metric::ALL.iter().chain(mailbridge_graph::metric::ALL);
    for (name, meaning) in all {
        row(&mut text, &format!("`{name}`"), meaning);
    }
    text
}
