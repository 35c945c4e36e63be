//! `mailbridge render`: the request that a pipeline makes of an event, and what Graph would be sent.
//! Connects to nothing.

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use mailbridge_core::{Headers, Message};
use mailbridge_graph::{Preview, PreviewBody};
use serde_json::{Value, json};

use crate::{
    config::{self, Pipeline},
    exit::Exit,
    names::known,
    registry::Registry,
    rehearsal::{Part, Rehearsal, rehearse},
    run::report::tell,
};

/// Characters of a base64 content that are shown.
const BASE64_SHOWN: usize = 32;

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mailbridge render configs/compose.yaml orders configs/compose/order.json
  nats sub shop.orders --raw --count 1 | mailbridge render pipelines.yaml orders -")]
pub struct Render {
    /// The configuration file (.yaml, .toml, .json)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The pipeline's name
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// A file with the event, or - for standard input
    #[arg(value_name = "EVENT")]
    event: PathBuf,
    /// A header of the message; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Where the message comes from: its subject or topic
    #[arg(long, value_name = "SUBJECT")]
    address: Option<String>,
    /// The id that the bus knows the message by
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How it is shown
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
}

impl Render {
    /// Shows it.
    pub fn run(self, registry: &Registry) -> Exit {
        let setup = match config::read(std::slice::from_ref(&self.file), registry) {
            Ok(setup) => setup,
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Config;
            }
        };
        let Some(pipeline) = setup.pipelines.iter().find(|it| it.name == self.pipeline) else {
            let names: Vec<_> = setup.pipelines.iter().map(|it| it.name.as_str()).collect();
            let hint = known("pipelines", &self.pipeline, &names);
            eprintln!("there is no pipeline `{}`; {hint}", self.pipeline);
            return Exit::Usage;
        };
        let payload = match read(&self.event) {
            Ok(payload) => payload,
            Err(message) => {
                eprintln!("{message}");
                return Exit::Usage;
            }
        };
        self.show(pipeline, payload)
    }

    fn show(self, pipeline: &Pipeline, payload: Vec<u8>) -> Exit {
        let mut headers = Headers::new();
        for (name, value) in self.headers {
            headers.push(name, value);
        }
        let message = Message {
            address: self.address,
            id: self.id,
            headers,
            payload: payload.into(),
            ..Message::default()
        };
        let rehearsal = rehearse(pipeline, &message);
        match self.format {
            Format::Text => tell(format_args!("{}", Told(&rehearsal))),
            Format::Json => tell(format_args!("{:#}\n", as_json(&rehearsal))),
        }
        match rehearsal {
            Rehearsal::Skipped | Rehearsal::Request(_) => Exit::Done,
            Rehearsal::Rejected { .. } => Exit::Failed,
        }
    }
}

/// `name: value`, as they stand in a mail, or `name=value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once([':', '=']).ok_or("expected `name: value`")?;
    let name = name.trim();
    if name.is_empty() {
        return Err("expected `name: value`".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|cause| format!("{} cannot be read ({})", path.display(), cause.kind()))
}

/// A rehearsal for people.
struct Told<'a>(&'a Rehearsal);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = |f: &mut fmt::Formatter<'_>, request: &Option<Value>| match request {
            Some(request) => writeln!(f, "\nrequest\n{:#}", shortened(request)),
            None => Ok(()),
        };
        match self.0 {
            Rehearsal::Skipped => {
                writeln!(f, "skipped: `when` is false for this event; nobody would be told")
            }
            Rehearsal::Rejected { key, error, request: made } => {
                let (code, cure) = (error.code(), error.code().cure());
                writeln!(f, "rejected: {code}: {error}\n  cure  {cure}\n  key   {}", key.as_str())?;
                request(f, made)
            }
            Rehearsal::Request(part) => {
                let Part { key, request: made, admitted, preview, redirected_to, dry_run } =
                    part.as_ref();
                writeln!(f, "key      {}\nmailbox  {}", key.as_str(), admitted.mailbox)?;
                if let Some(to) = redirected_to {
                    writeln!(f, "goes to  {to}, in place of its recipients")?;
                }
                if *dry_run {
                    writeln!(f, "dry run  this pipeline sends nothing")?;
                }
                request(f, made)?;
                writeln!(f, "\nto Graph\n{} {}", preview.method, preview.path)?;
                match &preview.body {
                    PreviewBody::Empty => Ok(()),
                    PreviewBody::Json(body) => writeln!(f, "{body:#}"),
                    PreviewBody::Mime(mime) => {
                        let mime = mime.replace("\r\n", "\n");
                        writeln!(f, "content-type: text/plain (this message in base64)\n\n{mime}")
                    }
                }
            }
        }
    }
}

fn as_json(rehearsal: &Rehearsal) -> Value {
    match rehearsal {
        Rehearsal::Skipped => json!({ "skipped": true }),
        Rehearsal::Rejected { key, error, request } => {
            let fields: serde_json::Map<_, _> =
                error.fields().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let (code, detail) = (error.code().as_str(), error.detail());
            let error = json!({ "code": code, "reason": detail, "fields": fields });
            json!({ "key": key.as_str(), "error": error, "request": request.as_ref().map(shortened) })
        }
        Rehearsal::Request(part) => {
            let Part { key, request, admitted, preview, redirected_to, dry_run } = part.as_ref();
            let mut told = json!({
                "key": key.as_str(),
                "mailbox": admitted.mailbox.as_str(),
                "request": request.as_ref().map(shortened),
                "graph": graph(preview),
            });
            if let Some(to) = redirected_to {
                told["redirected_to"] = json!(to);
            }
            if *dry_run {
                told["dry_run"] = json!(true);
            }
            told
        }
    }
}

fn graph(preview: &Preview) -> Value {
    let Preview { method, path, body } = preview;
    match body {
        PreviewBody::Empty => json!({ "method": method, "path": path }),
        PreviewBody::Json(body) => json!({ "method": method, "path": path, "body": body }),
        PreviewBody::Mime(mime) => json!({ "method": method, "path": path, "mime": mime }),
    }
}

/// A request whose attachments are shown by their beginnings.
fn shortened(request: &Value) -> Value {
    let mut request = request.clone();
    let files = request.get_mut("attachments").and_then(Value::as_array_mut);
    for file in files.into_iter().flatten() {
        let Some(Value::String(content)) = file.get_mut("content") else { continue };
        if let Some(start) = content.get(..BASE64_SHOWN).filter(|_| content.len() > BASE64_SHOWN) {
            *content = format!("{start}… ({} characters)", content.len());
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("ce-type: order.created"), pair("ce-type", "order.created"));
        assert_eq!(header("a=b:c"), pair("a", "b:c"));
        assert!(header("a").is_err() && header(": b").is_err());
    }

    #[test]
    fn only_long_contents_are_shortened() {
        let request = json!({ "attachments": [
            { "content": "aGk=" }, { "content": "a".repeat(100) }, { "url": "s3://b/k" } ] });
        let shown = shortened(&request);
        assert_eq!(shown["attachments"][0]["content"], "aGk=");
        assert!(shown["attachments"][1]["content"].as_str().unwrap().ends_with("(100 characters)"));
        assert_eq!(shown["attachments"][2]["url"], "s3://b/k");
    }
}
