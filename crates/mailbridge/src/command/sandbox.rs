//! `mailbridge sandbox`: Microsoft Graph mail in memory, over HTTP, until it is asked to stop.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use mailbridge_core::Span;
use mailbridge_sandbox::{
    Budgets, Builder, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Description,
    Running, Sandbox, Tenant,
};

use crate::{
    config::model::Log,
    exit::Exit,
    log,
    run::{report::tell, signals::Signals},
    sandboxes,
};

/// How many sent mails of each mailbox are kept with --forget.
const KEPT_WHEN_FORGETTING: usize = 10;

/// The arguments.
#[derive(clap::Args)]
pub struct SandboxArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8365")]
    listen: SocketAddr,
    /// Everything random follows from it; without it, each start has ids of its own
    #[arg(long)]
    seed: Option<u64>,
    /// Tenants, apps with their credentials and permissions, managed identities and mailboxes, as
    /// YAML or JSON, in place of the demo tenant
    #[arg(long, value_name = "FILE", conflicts_with_all = ["domains", "mailboxes"])]
    config: Option<PathBuf>,
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
    /// Graph's budgets, and 30 mails a minute, in windows so many times shorter: 60 makes seconds of
    /// minutes. For measuring
    #[arg(long, value_name = "TIMES", conflicts_with = "no_budgets")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=600))]
    budgets_scale: Option<u32>,
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
        let described = self.config.is_some();
        match self.start().await {
            Ok(running) => {
                tell(format_args!("{}", welcome(&running, described)));
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

    async fn start(self) -> Result<Running, String> {
        let mut builder = self.world()?.seed(self.seed.unwrap_or_else(sandboxes::seed));
        if let Some(latency) = self.latency {
            builder = builder.latency(latency.get());
        }
        if self.no_budgets {
            builder = builder.budgets(Budgets::off());
        }
        if let Some(times) = self.budgets_scale {
            let budgets = Budgets::graph().with_mail_rate();
            builder = builder.budgets(budgets.in_windows_divided_by(times));
        }
        if self.forget {
            builder = builder.keep_bodies(false).retain(KEPT_WHEN_FORGETTING);
        }
        let started = builder.allow_remote(self.allow_remote).start(self.listen).await;
        started.map_err(|error| error.to_string())
    }

    /// Who and what is in it: as the file says, or the demo tenant with what was asked for.
    fn world(&self) -> Result<Builder, String> {
        if let Some(path) = &self.config {
            return Ok(Sandbox::builder().describe(describe(path)?));
        }
        let domains = self.domains.iter().cloned();
        let tenant = domains.fold(Tenant::demo(), Tenant::any_mailbox_of);
        let tenant = self.mailboxes.iter().cloned().fold(tenant, Tenant::mailbox);
        Ok(Sandbox::builder().tenant(tenant))
    }
}

/// Reads a sandbox's description; JSON is YAML too.
fn describe(path: &Path) -> Result<Description, String> {
    let failed = |error: &dyn std::fmt::Display| format!("sandbox: {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    yaml_serde::from_str(&text).map_err(|error| failed(&error))
}

fn welcome(running: &Running, described: bool) -> String {
    let url = running.base_url();
    if described {
        return format!(
            "a Microsoft Graph sandbox on {url}

  graph    {url}/v1.0/users/{{mailbox}}/sendMail
  token    {url}/{{tenant}}/oauth2/v2.0/token
  machine  {url}/metadata/identity/oauth2/token
  truth    {url}/_sandbox/truth

"
        );
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Description, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        describe(file.path())
    }

    const WORLD: &str = "
tenants:
  - id: 5a0d0001-5a0d-4000-8000-00000000da7a
    domain: contoso.example
    open_domains: [contoso.example]
    mailboxes: [anna@other.example, {address: bob@other.example, name: Bob}]
    apps:
      - client_id: 5a0d0002-5a0d-4000-8000-0000000000a9
        secrets: [a-secret, {value: old, id: its-guid, expires: 2026-01-01T00:00:00Z}]
        federated: [{issuer: https://i.example, subject: s, keys: {keys: []}}]
        roles: [Mail.ReadWrite]
        grants: [{role: Application Mail.Send, mailboxes: ['anna@*']}]
        access_policy: ['*@contoso.example']
    identities: [{client_id: i, system_assigned: true, roles: [Mail.Send]}]
";

    #[test]
    fn a_world_is_read_from_yaml_and_json() {
        written(WORLD).unwrap();
        written(r#"{"tenants": [{"id": "t", "apps": [{"client_id": "a"}]}]}"#).unwrap();
    }

    #[test]
    fn what_is_wrong_with_it_is_told_with_the_place() {
        let unknown = written(&WORLD.replace("roles: [Mail.ReadWrite]", "rolls: []")).unwrap_err();
        assert!(unknown.contains("unknown field `rolls`"), "{unknown}");
        assert!(unknown.contains("line"), "{unknown}");
        let secret = written(&WORLD.replace("[a-secret,", "[{value: 4711, ids: 1},")).unwrap_err();
        assert!(!secret.contains("4711"), "{secret}");
        let missing = describe(Path::new("/nowhere/world.yaml")).unwrap_err();
        assert!(missing.contains("/nowhere/world.yaml"), "{missing}");
    }
}
