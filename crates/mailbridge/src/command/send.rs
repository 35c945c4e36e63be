//! `mailbridge send`: one mail from the command line.
//!
//! It is a pipeline of one request, so it keeps the promises of a pipeline: it waits for a
//! throttled mailbox, tries again after a passing failure, and looks in the mailbox when in doubt.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{
    Error, Guarantee, Mailbox, Message, Span,
    contract::{OutcomeData, Status},
};
use mailbridge_engine::{
    Observer, Requests, Settings,
    health::{Health, State},
};
use mailbridge_graph::{Connection, Options};
use mailbridge_sandbox::DEMO_DOMAIN;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        self,
        model::{Level, Log},
    },
    exit::Exit,
    log,
    names::known,
    registry::Registry,
    run::{report::tell, wiring::Connections},
    single,
};

const NAME: &str = "send";
/// How long a stop waits for what is in flight once the time is over.
const DRAIN: Duration = Duration::from_secs(1);

/// With an id, how long a mailbox may take to show an earlier mail. Shorter than for a pipeline:
/// whoever gives the same id again does so by hand, and waits for the answer.
const SETTLE: Duration = Duration::from_secs(3);

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mailbridge send --sandbox --to bob@example.org --subject Hello --text 'Hi Bob'
  mailbridge send --config pipelines.yaml --mailbox noreply@contoso.com \\
      --to 'Bob <bob@example.org>' --subject Report --html @report.html --attach figures.pdf")]
pub struct Send {
    /// Send through a sandbox inside this process: nothing leaves
    #[arg(long, conflicts_with = "config")]
    sandbox: bool,
    /// Configuration files that have the connection
    #[arg(long, value_name = "FILE", required_unless_present = "sandbox")]
    config: Vec<PathBuf>,
    /// The connection, when the configuration has several
    #[arg(long, value_name = "NAME", requires = "config")]
    connection: Option<String>,
    /// The mailbox to send from
    #[arg(long, value_name = "ADDRESS", required_unless_present = "sandbox")]
    mailbox: Option<String>,
    /// Recipients; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<String>,
    /// Recipients of a copy
    #[arg(long, value_name = "ADDRESS")]
    cc: Vec<String>,
    /// Recipients that the others do not see
    #[arg(long, value_name = "ADDRESS")]
    bcc: Vec<String>,
    /// The subject
    #[arg(long, default_value = "")]
    subject: String,
    /// The plain text, or @FILE
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// The HTML text, or @FILE; with --text too, both are sent
    #[arg(long, value_name = "HTML")]
    html: Option<String>,
    /// A file to attach; may be repeated
    #[arg(long = "attach", value_name = "FILE")]
    attachments: Vec<PathBuf>,
    /// An id of your own: nothing is sent if the mailbox shows a mail that was sent with it
    #[arg(long)]
    id: Option<String>,
    /// Check the mail and the identity, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: Span,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Send {
    /// Sends.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        // The answer says all that matters here; the log is there for who asks for it.
        log::start(wishes, &Log { level: Some(Level("off".to_owned())), format: None });
        let connection = match self.connection(registry) {
            Ok(found) => found,
            Err((exit, message)) => {
                eprintln!("{message}");
                return exit;
            }
        };
        let message = match self.message() {
            Ok(message) => message,
            Err(message) => {
                eprintln!("{message}");
                return Exit::Usage;
            }
        };
        match self.send(connection, message).await {
            Ok(Ok(outcome)) => self.tell(&outcome),
            Ok(Err(health)) => {
                eprintln!("no outcome within {}; {}", self.timeout, why(&health));
                Exit::Failed
            }
            Err(error) => {
                eprintln!("{error}; {}", error.code().cure());
                Exit::Failed
            }
        }
    }

    fn connection(&self, registry: &Registry) -> Result<Connection, (Exit, String)> {
        if self.sandbox {
            return serde_json::from_value(json!({ "cloud": "sandbox" }))
                .map_err(|cause| (Exit::Failed, cause.to_string()));
        }
        let setup = config::read_connections(&self.config, registry)
            .map_err(|problems| (Exit::Config, problems.to_string()))?;
        let mut connections = setup.connections;
        let names: Vec<_> = connections.keys().cloned().collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let chosen = match (&self.connection, names.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [one]) => (*one).to_owned(),
            (None, _) => {
                let message = format!("say which --connection: {}", names.join(", "));
                return Err((Exit::Usage, message));
            }
        };
        connections.remove(&chosen).ok_or_else(|| {
            let hint = known("connections", &chosen, &names);
            (Exit::Usage, format!("there is no connection `{chosen}`; {hint}"))
        })
    }

    fn from(&self) -> Mailbox {
        let anyone = || format!("you@{DEMO_DOMAIN}");
        Mailbox::new(self.mailbox.clone().unwrap_or_else(anyone))
    }

    /// The request, as a producer would publish it.
    fn message(&self) -> Result<Message, String> {
        let mut request = json!({
            "to": self.to, "cc": self.cc, "bcc": self.bcc, "subject": self.subject,
        });
        for (key, text) in [("text", &self.text), ("html", &self.html)] {
            if let Some(text) = text {
                request[key] = Value::String(text_or_file(text)?);
            }
        }
        if let Some(id) = &self.id {
            request["id"] = json!(id);
        }
        let attachments: Result<Vec<_>, _> =
            self.attachments.iter().map(|path| attachment(path)).collect();
        request["attachments"] = Value::Array(attachments?);
        Ok(Message { payload: request.to_string().into(), ..Message::default() })
    }

    /// Carries the request out: its outcome, or how the pipeline was when the time was over.
    async fn send(
        &self,
        connection: Connection,
        message: Message,
    ) -> mailbridge_core::Result<Result<OutcomeData, State>> {
        let mailbox = self.from();
        let connections = BTreeMap::from([(NAME.to_owned(), connection)]);
        let used = std::iter::once(mailbox.as_str());
        let opened =
            Connections::open(connections, used, Options::default(), BTreeMap::new()).await?;
        let Some(mail) = opened.get(NAME) else {
            return Err(Error::permanent(mailbridge_core::Code::Internal, "no connection"));
        };
        let health = Health::new();
        let outcome = Arc::new(Outcome::default());
        let default = Settings::default();
        let settings = Settings {
            mailbox: Some(mailbox),
            guarantee: Guarantee::Once,
            in_flight: 1,
            dry_run: self.dry_run,
            settle_time: if self.id.is_some() { SETTLE } else { default.settle_time },
            drain: DRAIN,
            ..default
        };
        let pipeline = Requests {
            name: NAME.to_owned(),
            input: Arc::new(single::Source::new(message, self.id.is_some())),
            decoder: Arc::new(mailbridge_core::AsRequests),
            mail,
            ledger: None,
            files: Arc::new(mailbridge_core::NoFiles),
            outcomes: None,
            dead_letters: Arc::new(single::Nowhere),
            settings,
            health: health.register(NAME),
            observer: Some(Arc::clone(&outcome) as Arc<dyn Observer>),
        };
        let stop = CancellationToken::new();
        let timer = stop.clone();
        let run = pipeline.run(stop);
        tokio::pin!(run);
        let mut last = State::Starting;
        tokio::select! {
            ended = &mut run => ended?,
            () = tokio::time::sleep(self.timeout.get()) => {
                last = health.snapshot().pop().map_or(last, |health| health.state);
                timer.cancel();
                run.await?;
            }
        }
        Ok(outcome.0.get().cloned().ok_or(last))
    }

    fn tell(&self, outcome: &OutcomeData) -> Exit {
        if self.json {
            let text = serde_json::to_string(outcome).unwrap_or_default();
            tell(format_args!("{text}\n"));
        } else {
            tell(format_args!("{}\n", sentence(outcome)));
        }
        if outcome.status == Status::Accepted { Exit::Done } else { Exit::Failed }
    }
}

fn sentence(outcome: &OutcomeData) -> String {
    let mailbox = outcome.mailbox.as_ref().map_or("", Mailbox::as_str);
    let id = outcome.internet_message_id.as_deref().unwrap_or_default();
    match outcome.status {
        Status::Accepted if outcome.dry_run => {
            format!("a dry run: the mail of {mailbox} would be sent; nothing was")
        }
        Status::Accepted => format!("accepted: Graph has taken the mail of {mailbox}  {id}"),
        status => {
            let (code, reason) = (outcome.code.as_deref(), outcome.reason.as_deref());
            let cure = code.and_then(|code| code.parse::<mailbridge_core::Code>().ok());
            let cure = cure.map_or("", mailbridge_core::Code::cure);
            let (code, reason) = (code.unwrap_or_default(), reason.unwrap_or_default());
            format!("{}: {code}: {reason}\n{cure}", status.as_str())
        }
    }
}

fn why(state: &State) -> String {
    match state {
        State::Held { code, reason } | State::Disconnected { code, reason } => {
            format!("{code}: {reason}\n{}", code.cure())
        }
        state => format!("the pipeline was {}; whether it was sent is not known", state.as_str()),
    }
}

/// `@FILE` is the file's text.
fn text_or_file(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|cause| format!("{path} cannot be read ({})", cause.kind())),
        None => Ok(text.to_owned()),
    }
}

fn attachment(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|cause| format!("{shown} cannot be read ({})", cause.kind()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| format!("{shown} is not a file"))?;
    Ok(json!({ "name": name, "content": STANDARD.encode(bytes) }))
}

/// Keeps the one outcome.
#[derive(Default)]
struct Outcome(OnceLock<OutcomeData>);

impl Observer for Outcome {
    fn outcome(&self, data: &OutcomeData, _took: Duration) {
        self.0.get_or_init(|| data.clone());
    }
}
