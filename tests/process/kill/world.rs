//! One experiment's world: a bus in memory, a sandbox that keeps the truth, and workers of the real
//! engine with the real connection to Graph, each in a runtime of its own. A worker that dies is
//! dropped with its runtime: whatever it was waiting for, it never touches the world again.

use std::{sync::Arc, time::Duration};

use mailbridge_core::{AsRequests, Mail as _, Message, Secret, SecretSource};
use mailbridge_engine::{Requests, Settings, health::Health};
use mailbridge_graph::{Connection, Graph, Options, SandboxAccess};
use mailbridge_sandbox::{
    DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Fault, Handle, Kind, Often, Running,
    Sandbox,
};
use mailbridge_testkit::{
    shelf::Shelf,
    simulation::{Bus, Power},
};
use serde_json::json;
use tokio::{runtime::Builder, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long a doubt stays young; the sandbox shows what was sent after half of it at most.
pub const SETTLE: Duration = Duration::from_millis(200);
/// After the end of a request, until what is left of it is deleted.
const SWEEP_AFTER: Duration = Duration::from_millis(150);
/// Longer than anybody waits: leases are ended when a worker dies.
const LEASE: Duration = Duration::from_mins(5);
/// How long the sandbox keeps a line that a dead worker does not hear.
const SILENCE: f64 = 5.0;

/// Where a worker dies. Everything is counted from the worker's first breath, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// With this request to Graph on its way; it never arrives.
    Asking(u64),
    /// When Graph has done what so many requests asked for, before the last one's answer.
    Unanswered(u64),
    /// Before or after it takes, publishes or settles: at this step of the bus's.
    AtTheBus(u64),
}

impl Death {
    fn silence(self) -> Option<Fault> {
        let fault = Fault::new(Kind::Hang { seconds: SILENCE });
        match self {
            Self::Asking(number) => Some(fault.often(Often::Nth(number))),
            Self::Unanswered(number) => Some(fault.after().often(Often::Nth(number))),
            Self::AtTheBus(_) => None,
        }
    }

    fn power(self) -> Power {
        match self {
            Self::AtTheBus(step) => Power::until(step - 1),
            Self::Asking(_) | Self::Unanswered(_) => Power::forever(),
        }
    }
}

/// How a worker's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Died,
    /// Everything was settled, and it had the time to tidy up.
    Done,
}

pub struct World {
    sandbox: Running,
    pub bus: Bus,
    pub shelf: Shelf,
}

impl World {
    pub async fn new(seed: u64) -> Self {
        let sandbox = Sandbox::builder().seed(seed).visibility_delay(Duration::ZERO..=SETTLE / 2);
        let sandbox = sandbox.start_local().await.expect("a sandbox");
        Self { sandbox, bus: Bus::new(LEASE), shelf: Shelf::default() }
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    pub fn push(&self, request: &serde_json::Value) {
        self.bus.push(Message { payload: request.to_string().into(), ..Message::default() });
    }

    /// One worker's life, to its death or until everything is settled.
    pub async fn live(&self, death: Option<Death>, settings: Settings, options: Options) -> Life {
        let worker = Worker {
            access: SandboxAccess {
                login: self.sandbox.login_url(),
                graph: self.sandbox.graph_url(),
                tenant: DEMO_TENANT_ID.to_owned(),
                client_id: DEMO_CLIENT_ID.to_owned(),
                client_secret: SecretSource::Literal(Secret::new(DEMO_CLIENT_SECRET)),
            },
            handle: self.handle().clone(),
            bus: self.bus.clone(),
            shelf: self.shelf.clone(),
            death,
            settings,
            options: Options { sweep_after: SWEEP_AFTER, ..options },
        };
        let lived = spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(worker.live())
        });
        let life = lived.await.expect("a worker dies without a panic");
        self.bus.end_leases();
        life
    }
}

/// Engine and connection as one process has them.
struct Worker {
    access: SandboxAccess,
    handle: Handle,
    bus: Bus,
    shelf: Shelf,
    death: Option<Death>,
    settings: Settings,
    options: Options,
}

impl Worker {
    async fn live(self) -> Life {
        let cloud: Connection =
            serde_json::from_value(json!({ "cloud": "sandbox" })).expect("a connection");
        let resolved = cloud.resolve(Some(&self.access)).expect("the sandbox's");
        let graph = Arc::new(Graph::new("sandbox", resolved, self.options).expect("a client"));
        let power = self.death.map_or_else(Power::forever, Death::power);
        let rule =
            self.death.and_then(Death::silence).map(|silence| self.handle.add_fault(silence));
        let requests = Requests {
            name: "kill".to_owned(),
            input: self.bus.input(&power),
            decoder: Arc::new(AsRequests),
            mail: Arc::clone(&graph) as _,
            ledger: None,
            files: Arc::new(self.shelf.clone()),
            outcomes: Some(self.bus.output(&power, "outcomes")),
            dead_letters: self.bus.output(&power, "dead"),
            settings: self.settings,
            health: Health::new().register("kill"),
            observer: None,
        };
        let done = tokio::select! {
            biased;
            () = power.gone() => false,
            () = struck(&self.handle, rule) => false,
            ended = requests.run(CancellationToken::new()) => panic!("it ended: {ended:?}"),
            () = self.bus.all_settled() => true,
        };
        if let Some(rule) = rule {
            self.handle.clear_faults(Some(rule));
        }
        if !done {
            return Life::Died;
        }
        sleep(SWEEP_AFTER + SETTLE / 2).await;
        graph.tidy().await;
        Life::Done
    }
}

/// Returns when a rule has struck.
async fn struck(handle: &Handle, rule: Option<u64>) {
    let fired = || handle.faults().iter().any(|it| Some(it.id) == rule && it.fired > 0);
    while rule.is_none() || !fired() {
        sleep(Duration::from_millis(1)).await;
    }
}
