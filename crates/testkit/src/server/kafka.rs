//! A real Apache Kafka: one node, broker and controller in one (KRaft).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{self, LaunchError, Process};

mod find;
mod shared;
#[cfg(test)]
mod tests;

pub use shared::{InUse, SharedKafka, shared};

/// From the start of the process until clients are served. It takes 3 s; the rest is for a machine
/// that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// From SIGTERM to the end, with the log flushed.
const ENDED_WITHIN: Duration = Duration::from_mins(1);
/// Before a taken port is tried again.
const PORT_TAKEN_PAUSE: Duration = Duration::from_millis(200);
/// Any does, as long as it is the same at every start. (22 characters, a base64 UUID.)
const CLUSTER_ID: &str = "mailbridgeTestCluster0";
/// For a machine that runs tests at the same time: small, and with no threads of its own.
const JVM: [&str; 5] = [
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.net.preferIPv4Stack=true",
];

/// What is asked of a broker beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Doors beside the open one, each with a port of its own: a name (`SECURE`) and its security
    /// protocol (`SASL_SSL`).
    pub doors: Vec<(String, String)>,
    /// Lines for `server.properties`; the last of a name wins. Name files with absolute paths.
    pub properties: Vec<(String, String)>,
    /// Users for SCRAM-SHA-256: name and password.
    pub scram: Vec<(String, String)>,
}

/// A Kafka of its own: free loopback ports, an empty store, topics made by whoever names them.
///
/// It can be stopped or killed and started again on the same ports with the same store, as often
/// as a test likes. Dropping it kills it and removes the store.
#[derive(Debug)]
pub struct KafkaServer {
    /// Before the folder, because fields are dropped in this order: it writes there while it runs.
    process: Option<Process>,
    folder: TempDir,
    program: find::Kafka,
    options: KafkaOptions,
    /// The open door, the controller, then the doors that were asked for.
    ports: Vec<u16>,
}

impl KafkaServer {
    /// Starts one that lets everybody in.
    pub async fn start() -> Result<Self, LaunchError> {
        Self::start_with(KafkaOptions::default()).await
    }

    /// Starts one with more doors, users or settings.
    pub async fn start_with(options: KafkaOptions) -> Result<Self, LaunchError> {
        let folder = TempDir::with_prefix_in("kafka-", shared::folder()?)?;
        let program = find::kafka()?;
        let ports = free_ports(2 + options.doors.len())?;
        let mut server = Self { process: None, folder, program, options, ports };
        fs::write(server.path("log4j2.properties"), LOG4J)?;
        fs::write(server.path("server.properties"), server.properties())?;
        server.format()?;
        server.start_again().await?;
        Ok(server)
    }

    /// Where clients connect to, for example `127.0.0.1:41234`. Stays the same when the server is
    /// started again.
    pub fn broker(&self) -> String {
        address(self.ports[0])
    }

    /// The address of a door that was asked for.
    pub fn door(&self, name: &str) -> Option<String> {
        let index = self.options.doors.iter().position(|(known, _)| known == name)?;
        self.ports.get(2 + index).copied().map(address)
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The id of the process while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// One of Kafka's own command-line tools by its class, such as
    /// `org.apache.kafka.tools.ConsoleProducer`: a client that nobody here wrote. Not started yet.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = child::command(&self.program.java);
        let logging = self.path("log4j2.properties");
        command.args(JVM).arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        command.args(["-cp", &self.program.class_path, class]);
        command
    }

    /// Stops it as an operator would (SIGTERM) and waits until it is gone.
    pub async fn stop(&mut self) -> Result<(), LaunchError> {
        self.end(Signal::TERM).await
    }

    /// Kills it (SIGKILL), so that it has no chance to write anything, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), LaunchError> {
        self.end(Signal::KILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<(), LaunchError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(signal)?;
        process.wait(ENDED_WITHIN).await?;
        Ok(())
    }

    /// Starts it again on the same ports with the same store, and returns when clients are served.
    /// Does nothing to one that runs.
    pub async fn start_again(&mut self) -> Result<(), LaunchError> {
        if self.process.as_mut().is_some_and(|p| matches!(p.ended(), Ok(None))) {
            return Ok(());
        }
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut process = self.launch()?;
            match self.ready(&mut process, deadline).await {
                Ok(()) => {
                    self.process = Some(process);
                    return Ok(());
                }
                Err(_) if self.port_was_taken() && Instant::now() < deadline => {
                    tokio::time::sleep(PORT_TAKEN_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn launch(&self) -> Result<Process, LaunchError> {
        let mut command = self.tool("kafka.Kafka");
        command.arg(self.path("server.properties"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(self.path("log"))?);
        Process::start("kafka", command)
    }

    /// Waits until the broker says that it has started, which is after its ports are open.
    async fn ready(&self, process: &mut Process, deadline: Instant) -> Result<(), LaunchError> {
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[0])).is_ok()
                && self.log().contains("Kafka Server started")
            {
                return Ok(());
            }
            let failed = match process.ended()? {
                Some(status) => format!("ended ({status})"),
                None if Instant::now() > deadline => format!("waited {READY_WITHIN:?}"),
                None => {
                    child::look_again().await;
                    continue;
                }
            };
            let log = self.log();
            return Err(LaunchError::new(format!(
                "kafka did not get ready: {failed}; its log:\n{log}"
            )));
        }
    }

    fn port_was_taken(&self) -> bool {
        self.log().contains("Address already in use")
    }

    /// Prepares the store, as `kafka-storage.sh format` does.
    fn format(&self) -> Result<(), LaunchError> {
        let mut command = self.tool("kafka.tools.StorageTool");
        command.args(["format", "--cluster-id", CLUSTER_ID, "--ignore-formatted", "--config"]);
        command.arg(self.path("server.properties"));
        for (name, password) in &self.options.scram {
            command.arg("--add-scram");
            command.arg(format!("SCRAM-SHA-256=[name={name},password={password}]"));
        }
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Err(LaunchError::new(format!("kafka's store could not be formatted:\n{said}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn properties(&self) -> String {
        let (open, controller) = (address(self.ports[0]), address(self.ports[1]));
        let mut doors = format!("PLAINTEXT://{open}");
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for ((name, protocol), port) in self.options.doors.iter().zip(&self.ports[2..]) {
            // writing to a String cannot fail
            write!(doors, ",{name}://{}", address(*port)).ok();
            write!(protocols, ",{name}:{protocol}").ok();
        }
        let data = self.path("data");
        let mut lines = format!(
            "listeners={doors},CONTROLLER://{controller}\nadvertised.listeners={doors}\n\
             listener.security.protocol.map={protocols}\n\
             controller.quorum.voters=1@{controller}\nlog.dirs={}\n{PROPERTIES}",
            data.display(),
        );
        for (name, value) in &self.options.properties {
            writeln!(lines, "{name}={value}").ok();
        }
        lines
    }
}

/// One node, quick for tests: a group does not wait for more members, a member that was killed is
/// given up as soon as it asks to be, and internal topics are small.
const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
default.replication.factor=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
num.partitions=3
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.backoff.ms=500
log.segment.bytes=67108864
";

/// Complaints, and word of having started.
const LOG4J: &str = "\
status=error
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
appender.c.type=Console
appender.c.name=C
appender.c.target=SYSTEM_ERR
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %c{1} %m%n
";

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Ports that are free now. Kafka must be told its port, since it advertises it.
fn free_ports(count: usize) -> Result<Vec<u16>, LaunchError> {
    // all at once, so that they differ
    let held: Result<Vec<_>, _> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let ports: Result<Vec<_>, _> = held?.iter().map(|it| Ok(it.local_addr()?.port())).collect();
    ports
}
