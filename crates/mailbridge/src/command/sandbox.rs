//! `mailbridge sandbox`: Microsoft Graph mail in memory, over HTTP, until it is asked to stop.

use std::net::SocketAddr;

use mailbridge_core::Span;
use mailbridge_sandbox::{
    Budgets, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Running, Sandbox,
    Tenant,
};

use crate::{
    config::model::Log,
    exit::Exit,
    log,
    run::{report::tell, signals::Signals},
};

/// How many sent mails of each mailbox are kept with --forget.
const KEPT_WHEN_FORGETTING: usize = 10;

/// The arguments.
#[derive(clap::Args)]
pub struct SandboxArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8365")]
    listen: SocketAddr,
    /// Everything random follows from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A domain in which every mailbox exists; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// A mailbox that exists; may be repeated
    #[arg(long = "mailbox", value_name = "ADDRESS")]
    mailboxes: Vec<String>,
    /// How long each answer takes at least, such as 50ms
    #[arg(long, value_name = "DURATION")]
    latency: Option<Span>,
    /// No budgets, so no 429: for measuring
    #[arg(long)]
    no_budgets: bool,
    /// Forget what was sent but for its number, so that memory stays flat in long runs
    #[arg(long)]
    forget: bool,
    /// Listen on an address that others can reach; they can read its mail and its secrets
    #[arg(long)]
    allow_remote: bool,
}

impl SandboxArgs {
    /// Serves until a signal comes.
    pub async fn run(self, wishes: &log::Wishes) -> Exit {
        log::start(wishes, &Log::default());
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(cause) => {
                tracing::error!(%cause, "signals cannot be taken");
                return Exit::Failed;
            }
        };
        match self.start().await {
            Ok(running) => {
                tell(format_args!("{}", welcome(&running)));
                signals.next().await;
                tell(format_args!("mails sent: {}\n", running.handle().truth().sent_total()));
                running.stop().await;
                Exit::Done
            }
            Err(error) => {
                eprintln!("{error}");
                Exit::Failed
            }
        }
    }

    async fn start(self) -> Result<Running, mailbridge_sandbox::StartError> {
        let tenant = self.domains.into_iter().fold(Tenant::demo(), Tenant::any_mailbox_of);
        let tenant = self.mailboxes.into_iter().fold(tenant, Tenant::mailbox);
        let mut builder = Sandbox::builder().seed(self.seed).tenant(tenant);
        if let Some(latency) = self.latency {
            builder = builder.latency(latency.get());
        }
        if self.no_budgets {
            builder = builder.budgets(Budgets::off());
        }
        if self.forget {
            builder = builder.keep_bodies(false).retain(KEPT_WHEN_FORGETTING);
        }
        builder.allow_remote(self.allow_remote).start(self.listen).await
    }
}

fn welcome(running: &Running) -> String {
    let url = running.base_url();
    format!(
        "a Microsoft Graph sandbox on {url}; every mailbox of {DEMO_DOMAIN} exists

  graph    {url}/v1.0/users/anyone@{DEMO_DOMAIN}/sendMail
  token    {url}/{DEMO_TENANT_ID}/oauth2/v2.0/token
  truth    {url}/_sandbox/truth

as a connection of a configuration:

connections:
  sandbox:
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: {DEMO_CLIENT_SECRET} }}
    cloud: {{ login: \"{url}\", graph: \"{url}\" }}

"
    )
}
