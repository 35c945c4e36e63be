//! `mailbridge check`: says what would run, or what is wrong. Connects to nothing; reads credentials
//! only to see whether they are some. With `--online` the doctor follows.

mod events;
mod rails;

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

use mailbridge_core::{Guarantee, Span};
use mailbridge_engine::InDoubt;
use mailbridge_graph::{
    Connection,
    cloud::{Cloud, Named},
    config::{Flaw, Tenancy},
};

use super::doctor::Doctor;
use crate::{
    config::{self, Pipeline, Setup},
    exit::Exit,
    log,
    registry::Registry,
    run::report::tell,
    sandboxes,
};

/// The arguments.
#[derive(clap::Args)]
pub struct Check {
    /// Configuration files (.yaml, .toml, .json); later ones win.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Then ask Microsoft 365 too, as `mailbridge doctor` does
    #[arg(long)]
    online: bool,
}

impl Check {
    /// Reads, checks, tells.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        match config::read_with_tests(&self.files, registry) {
            Ok(setup) => {
                for warning in &setup.warnings {
                    eprintln!("warning: {warning}");
                }
                let right = inspect(&setup).await;
                if !right {
                    return Exit::Config;
                }
                tell(format_args!("{}", Told(&setup)));
                if !self.online {
                    return Exit::Done;
                }
                tell(format_args!("\n"));
                Doctor::of(self.files).run(registry, wishes).await
            }
            Err(problems) => {
                eprintln!("{problems}");
                Exit::Config
            }
        }
    }
}

/// Looks at the credentials' files. What is not here may be where the program will run: a warning.
async fn inspect(setup: &Setup) -> bool {
    let mut right = true;
    let real = setup.connections.iter().filter(|(_, it)| !sandboxes::goes_there(it));
    for (name, connection) in real {
        for Flaw { key, error, absent } in connection.inspect().await {
            right &= absent;
            let (kind, cure) = (if absent { "warning" } else { "error" }, error.code().cure());
            eprintln!("{kind}: connections.{name}.{key}: {error}\n    cure: {cure}");
        }
    }
    right
}

/// A setup in words.
struct Told<'a>(&'a Setup);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { connections, pipelines, events, http, .. } = self.0;
        for (name, connection) in connections {
            writeln!(f, "connection {name}\n    {}", told(connection))?;
        }
        for pipeline in pipelines {
            write!(f, "{}", requests(pipeline)?)?;
        }
        for pipeline in events {
            write!(f, "{}", events::told(pipeline)?)?;
        }
        match &http.listen {
            Some(listen) => {
                writeln!(f, "http\n    /livez /readyz /status /metrics on {}", listen.0)?;
            }
            None => writeln!(f, "http\n    off; set `http.listen` to have health and metrics")?,
        }
        writeln!(f, "\nthe configuration is right; `mailbridge run` would start this")
    }
}

fn told(connection: &Connection) -> String {
    if sandboxes::goes_there(connection) {
        return "to a sandbox inside this process: no tenant is needed, no mail leaves".to_owned();
    }
    let cloud = match &connection.cloud {
        Cloud::Named(name) => named(*name).to_owned(),
        Cloud::Explicit(hosts) => hosts.graph.clone(),
    };
    format!("to {cloud}, {}", who(connection))
}

fn who(connection: &Connection) -> String {
    let tenancies = connection.clone().resolve_all(None).unwrap_or_default();
    let app = connection.client_id.as_deref().or(connection.environment.client_id.as_deref());
    let app = app.unwrap_or_default();
    if !connection.tenants.is_empty() {
        let tenants = tenancies.iter().map(|Tenancy { tenant, mailboxes, .. }| {
            let tenant = tenant.as_deref().unwrap_or_default();
            format!("\n    tenant        {tenant}, mailboxes {}", mailboxes.join(" "))
        });
        return tenants.fold(format!("as app {app}"), |told, tenant| told + &tenant);
    }
    match tenancies.into_iter().find_map(|it| it.tenant) {
        Some(tenant) => format!("tenant {tenant}, as app {app}"),
        None => "as the identity that azure gives this machine".to_owned(),
    }
}

fn named(cloud: Named) -> &'static str {
    match cloud {
        Named::Global => "the worldwide cloud",
        Named::UsGovL4 => "the US Government L4 cloud",
        Named::UsGovL5 => "the US Government L5 cloud",
        Named::China => "the cloud in China",
        Named::Sandbox => "the sandbox",
    }
}

fn requests(pipeline: &Pipeline) -> Result<String, fmt::Error> {
    let Pipeline { name, connection, settings, from, outcomes, dead_letters, .. } = pipeline;
    let mut text = String::new();
    let outcomes = outcomes.as_ref().map_or("nobody is told", |port| port.told.as_str());
    let mut mailboxes: Vec<&str> =
        settings.mailbox.iter().map(mailbridge_core::Mailbox::as_str).collect();
    mailboxes.extend(settings.allow_mailboxes.iter().map(String::as_str));
    let guarantee = match (settings.guarantee, settings.policy.in_doubt) {
        (Guarantee::Once, _) => "once: looks in the mailbox before it sends again",
        (Guarantee::AtLeastOnce, InDoubt::Retry) => "at least once: in doubt it sends again",
        (Guarantee::AtLeastOnce, InDoubt::DeadLetter) => {
            "at least once: in doubt it gives up as unknown"
        }
    };
    writeln!(text, "pipeline {name}: requests")?;
    writeln!(text, "    from          {}", from.told)?;
    if let Some(composer) = &pipeline.compose {
        let tests = pipeline.tests.len();
        writeln!(text, "    composed      {composer}; {tests} tests beside it")?;
    }
    writeln!(text, "    through       {connection}, mailboxes {}", mailboxes.join(" "))?;
    rails::tell(&mut text, settings)?;
    writeln!(text, "    guarantee     {guarantee}")?;
    writeln!(text, "    outcomes      {outcomes}")?;
    if let Some(every) = settings.bounces {
        writeln!(text, "    bounces       looked for every {}", Span::from(every))?;
    }
    writeln!(text, "    dead letters  {}", dead_letters.told)?;
    writeln!(
        text,
        "    limits        {} in flight, {} an attempt, {} attempts",
        settings.in_flight,
        Span::from(settings.deadline),
        settings.policy.attempts_max,
    )?;
    Ok(text)
}
