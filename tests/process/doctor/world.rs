//! One sandbox, one configuration, one run of the doctor.

use std::{net::TcpListener, path::Path, time::Duration};

use mailbridge_graph::{
    Connection,
    doctor::{self, Finding, Needs, Severity, Step},
};
use mailbridge_sandbox::{
    App, DEMO_CLIENT_ID, DEMO_TENANT_ID, Handle, MailboxGrant, ManagedIdentity, Running, Sandbox,
    Tenant,
};
use mailbridge_testkit::program::{Launch, Stream};
use serde_json::{Value, json};

/// The one mailbox of the healthy configuration.
pub const MAILBOX: &str = "noreply@contoso.example";
/// The app's secret, which no output may show.
pub const SECRET: &str = "hush-Q~3cret.that-opens-nothing";
/// The machine's own identity.
pub const MACHINE: &str = "5a0d0003-5a0d-4000-8000-0000000000b0";
/// How long one run may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One misconfiguration, and what must be said of it.
pub struct Case {
    pub name: &'static str,
    pub finding: Finding,
    pub exit: i32,
    pub app: App,
    pub values: Values,
    /// What happens to the sandbox before the run.
    pub act: fn(&Handle),
    /// What is put into the folder beside the configuration, and registered for it.
    pub files: fn(&Handle, &Path),
}

/// What the configuration says.
#[derive(Clone)]
pub struct Values {
    /// Left out when empty.
    pub tenant: &'static str,
    /// Left out when empty.
    pub client_id: &'static str,
    /// In YAML, as `more`.
    pub credential: &'static str,
    /// What is in the file `secret`.
    pub secret: &'static str,
    /// In YAML, without the line break; `{sandbox}` is the sandbox's address, `{nobody}` one at
    /// which nobody listens.
    pub more: &'static str,
    /// Patterns too.
    pub mailboxes: &'static [&'static str],
    pub guarantee: &'static str,
    /// Nobody listens where the login host ought to be.
    pub login_is_gone: bool,
    /// Nobody listens where Graph ought to be.
    pub graph_is_gone: bool,
}

/// An app with what the healthy configuration needs, granted in Exchange for its mailbox.
pub fn granted() -> App {
    let grant = |role| MailboxGrant::new(role, [MAILBOX]);
    App::new(DEMO_CLIENT_ID)
        .secret(SECRET)
        .grant(grant("Application Mail.Send"))
        .grant(grant("Application Mail.ReadWrite"))
}

impl Case {
    /// Nothing is wrong. The finding and the exit code stand for nothing yet.
    pub fn healthy() -> Self {
        Self {
            name: "healthy",
            finding: Finding::CredentialRefused,
            exit: 0,
            app: granted(),
            values: Values {
                tenant: DEMO_TENANT_ID,
                client_id: DEMO_CLIENT_ID,
                credential: "{ client_secret: { file: secret } }",
                secret: SECRET,
                more: "",
                mailboxes: &[MAILBOX],
                guarantee: "once",
                login_is_gone: false,
                graph_is_gone: false,
            },
            act: |_| {},
            files: |_, _| {},
        }
    }

    /// The sandbox that it is run in.
    pub async fn sandbox(&self) -> Running {
        let machine = ManagedIdentity::system_assigned(MACHINE)
            .grant(MailboxGrant::new("Application Mail.Send", [MAILBOX]))
            .grant(MailboxGrant::new("Application Mail.ReadWrite", [MAILBOX]));
        let tenant = Tenant::new(DEMO_TENANT_ID)
            .identity(machine)
            .domain("contoso.example")
            .app(self.app.clone())
            .mailbox(MAILBOX)
            .mailbox("bob@contoso.example")
            .mailbox("it's@contoso.example");
        let sandbox = Sandbox::builder().seed(7).tenant(tenant).start_local().await;
        let sandbox = sandbox.expect("a sandbox");
        (self.act)(sandbox.handle());
        sandbox
    }

    pub fn config(&self, sandbox: &Running) -> String {
        let Values { tenant, client_id, credential, more, mailboxes, guarantee, .. } = &self.values;
        let url = |gone| if gone { nobody() } else { sandbox.base_url() };
        let (login, graph) = (url(self.values.login_is_gone), url(self.values.graph_is_gone));
        let filled = |text: &str| {
            let text = text.replace("{sandbox}", &sandbox.base_url());
            text.replace("{nobody}", &nobody())
        };
        let (more, credential) = (filled(more), filled(credential));
        let line = |name, value: &str| match value {
            "" => String::new(),
            value => format!("{name}: {value}"),
        };
        let (tenant, client_id) = (line("tenant", tenant), line("client_id", client_id));
        let mailboxes = json!(mailboxes);
        format!(
            r#"
connections:
  contoso:
    {tenant}
    {client_id}
    credential: {credential}
    cloud: {{ login: "{login}", graph: "{graph}" }}
    {more}
buses:
  files: {{ local: {{}} }}
pipelines:
  orders:
    requests:
      from: {{ bus: files, path: requests.ndjson }}
      connection: contoso
      allow_mailboxes: {mailboxes}
      guarantee: {guarantee}
      dead_letters: {{ bus: files, path: dead.ndjson }}
"#
        )
    }

    /// Runs the doctor in a sandbox of its own.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let sandbox = self.sandbox().await;
        self.run_in(&sandbox, arguments).await
    }

    pub async fn run_in(&self, sandbox: &Running, arguments: &[&str]) -> Ran {
        let launch = Launch::mailbridge().expect("the program");
        std::fs::write(launch.folder().join("secret"), self.values.secret).expect("a file");
        (self.files)(sandbox.handle(), launch.folder());
        let arguments = [&["doctor"], arguments].concat();
        ran(launch, &arguments, &self.config(sandbox)).await
    }

    /// What the library finds for a pipeline that looks mailboxes up.
    pub async fn examine_with_discovery(
        &self,
        sandbox: &Running,
    ) -> Vec<(Finding, Step, Severity)> {
        let connection: Connection = serde_json::from_value(json!({
            "tenant": self.values.tenant, "client_id": self.values.client_id,
            "credential": { "client_secret": SECRET },
            "cloud": { "login": sandbox.base_url(), "graph": sandbox.base_url() },
        }))
        .expect("a connection");
        let mut needs = Needs::default();
        needs.sending(mailbridge_core::Guarantee::Once, [MAILBOX]);
        needs.discovery(false);
        let mut tenancies = connection.resolve_all(None).expect("it is right");
        let tenancy = tenancies.pop().expect("a tenant");
        let examined = doctor::examine("contoso", tenancy, &needs).await.expect("TLS");
        let findings = examined.steps.iter().flat_map(|step| &step.findings);
        findings.map(|finding| (finding.id, finding.id.step(), finding.severity)).collect()
    }
}

/// The address of a port on which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Runs the doctor with this configuration.
pub async fn doctor(config: &str, arguments: &[&str]) -> Ran {
    mailbridge(&[&["doctor"], arguments].concat(), config).await
}

/// Runs the program with this configuration.
pub async fn mailbridge(arguments: &[&str], config: &str) -> Ran {
    let launch = Launch::mailbridge().expect("the program");
    std::fs::write(launch.folder().join("secret"), SECRET).expect("a file");
    ran(launch, arguments, config).await
}

async fn ran(launch: Launch, arguments: &[&str], config: &str) -> Ran {
    let launch = launch.args(arguments).config(config).expect("a configuration");
    let mut program = launch.start().expect("it starts");
    let status = program.wait_exit(PATIENCE).await.expect("it ends by itself");
    let text = |from| {
        let lines = program.lines().into_iter().filter(|line| line.from == from);
        lines.map(|line| line.text + "\n").collect::<String>()
    };
    let code = status.code().expect("a code");
    Ran { code, stdout: text(Stream::Stdout), stderr: text(Stream::Stderr) }
}

/// How a run ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    /// No secret, no key, no assertion and no token, whatever was logged.
    pub fn tells_no_secret(&self, name: &str) {
        for said in [&self.stdout, &self.stderr] {
            for part in ["hush-", "PRIVATE", "eyJ", "client_secret=", "0b5f3a0e-"] {
                assert!(!said.contains(part), "{name} tells {part}: {said}");
            }
        }
    }

    /// What was shown, without what differs from run to run: addresses, and the ids of requests.
    pub fn shown(&self, sandbox: &Running) -> String {
        let shown = self.stdout.replace(&sandbox.base_url(), "http://sandbox");
        let lines = shown.lines().map(|line| match line.split_once("id ") {
            Some((name, id)) if id.len() == 36 => format!("{name}id …\n"),
            _ => format!("{line}\n"),
        });
        lines.collect()
    }
}
