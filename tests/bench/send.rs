//! `bench send`: throughput, latency, memory and start-up of the requests flow.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Failure,
    floor::{self, Graph, Mode},
    report::{self, Figures, Rates},
    rig::{Rig, Streams, end, nanos, now, status_kib},
};

pub struct Options {
    pub requests: usize,
    pub mailboxes: usize,
    pub concurrency: usize,
    pub rounds: usize,
    pub long: usize,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            requests: 20_000,
            mailboxes: 500,
            concurrency: 64,
            rounds: 3,
            long: 100_000,
            write: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?.parse()?;
            match name.as_str() {
                "--requests" => options.requests = value,
                "--mailboxes" => options.mailboxes = value,
                "--concurrency" => options.concurrency = value,
                "--rounds" => options.rounds = value,
                "--long" => options.long = value,
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        Ok(options)
    }
}

/// Who does the work.
#[derive(Clone, Copy)]
enum Contender {
    Worker,
    Mailbridge,
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let mut bench = Bench { rig: Rig::start().await?, options };
    let figures = bench.measure().await?;
    let text = report::markdown(&bench.options, &figures);
    println!("{text}");
    if bench.options.write {
        report::write("send", &text)?;
    }
    Ok(())
}

struct Bench {
    rig: Rig,
    options: Options,
}

impl Bench {
    async fn measure(&mut self) -> Result<Figures, Failure> {
        let mut rates = [Rates::default(), Rates::default()];
        for round in 1..=self.options.rounds {
            for (mode, rates) in [Mode::AtLeastOnce, Mode::Once].into_iter().zip(&mut rates) {
                let bare = self.bare(mode).await?;
                let worker = self.throughput(Contender::Worker, mode).await?;
                let mailbridge = self.throughput(Contender::Mailbridge, mode).await?;
                eprintln!(
                    "round {round} {}: bare {bare:.0}/s, worker {worker:.0}/s, mailbridge {mailbridge:.0}/s",
                    mode.as_str()
                );
                rates.push(bare, worker, mailbridge);
            }
        }
        let mut latency = Vec::new();
        for contender in [Contender::Worker, Contender::Mailbridge] {
            latency.push(self.latency(contender).await?);
        }
        Ok(Figures {
            at_least_once: rates[0].clone(),
            once: rates[1].clone(),
            worker_latency: latency[0].clone(),
            mailbridge_latency: latency[1].clone(),
            memory: self.memory().await?,
            ready: self.ready().await?,
        })
    }

    fn payloads(&self, count: usize) -> Vec<String> {
        (0..count).map(|n| payload(n, n % self.options.mailboxes)).collect()
    }

    async fn bare(&self, mode: Mode) -> Result<f64, Failure> {
        let graph = Graph::new(&self.rig.sandbox.url, &self.rig.sandbox.token)?;
        let payloads = self.payloads(self.options.requests);
        let took = floor::bare(&graph, mode, &payloads, self.options.concurrency).await?;
        Ok(rate(self.options.requests, took))
    }

    /// Mails a second, from the first outcome to the last, by the server's clock.
    async fn throughput(&mut self, contender: Contender, mode: Mode) -> Result<f64, Failure> {
        let streams = self.rig.streams().await?;
        self.rig.publish_all(&streams, &self.payloads(self.options.requests)).await?;
        let mut child = self.start(contender, &streams, mode)?;
        let stored = self.rig.read(&streams.outcomes, self.options.requests).await;
        end(&mut child);
        let stored = stored?;
        self.rig.remove(&streams).await?;
        let first = stored.first().map_or(0, |stored| stored.nanos);
        let last = stored.last().map_or(0, |stored| stored.nanos);
        Ok(rate(stored.len(), nanos(last - first)))
    }

    /// From a request stored to its outcome stored, at a fifth of what the worker could do.
    async fn latency(&mut self, contender: Contender) -> Result<Vec<Duration>, Failure> {
        const REQUESTS: usize = 2_000;
        const PAUSE: Duration = Duration::from_millis(2);
        let streams = self.rig.streams().await?;
        let mut child = self.start(contender, &streams, Mode::AtLeastOnce)?;
        // The first one finds everything connected, and does not count.
        self.rig.publish(&streams, &payload(0, 0)).await?;
        self.rig.read(&streams.outcomes, 1).await?;
        let mut asked = Vec::with_capacity(REQUESTS);
        let mut tick = tokio::time::interval(PAUSE);
        for n in 1..=REQUESTS {
            tick.tick().await;
            asked.push(now());
            self.rig.publish(&streams, &payload(n, n % self.options.mailboxes)).await?;
        }
        let stored = self.rig.read(&streams.outcomes, REQUESTS + 1).await;
        end(&mut child);
        let mut took: Vec<_> = stored?
            .iter()
            .filter(|stored| stored.number > 0)
            .map(|stored| nanos(stored.nanos - asked[stored.number - 1]))
            .collect();
        self.rig.remove(&streams).await?;
        took.sort_unstable();
        Ok(took)
    }

    /// Resident memory after so many requests, of one process.
    async fn memory(&mut self) -> Result<Vec<(usize, u64)>, Failure> {
        let streams = self.rig.streams().await?;
        let mut child = self.start(Contender::Mailbridge, &streams, Mode::Once)?;
        let (mut done, mut points) = (0, Vec::new());
        for part in 1..=10 {
            let upto = self.options.long * part / 10;
            let payloads: Vec<_> =
                (done..upto).map(|n| payload(n, n % self.options.mailboxes)).collect();
            self.rig.publish_all(&streams, &payloads).await?;
            self.rig.read(&streams.outcomes, upto).await?;
            points.push((upto, status_kib(child.id(), "VmRSS")?));
            done = upto;
        }
        end(&mut child);
        self.rig.remove(&streams).await?;
        Ok(points)
    }

    /// From exec to the first `200` of `/readyz`, with the local bus.
    async fn ready(&self) -> Result<Vec<Duration>, Failure> {
        let folder = tempfile::tempdir()?;
        let http = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = folder.path().join("local.yaml");
        std::fs::write(folder.path().join("requests.ndjson"), "")?;
        std::fs::write(&file, local_config(http))?;
        let client = reqwest::Client::builder().build()?;
        let mut took = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let mut child = Command::new(&self.rig.program)
                .arg("run")
                .arg(&file)
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            loop {
                let answer = client.get(format!("http://{http}/readyz")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                if start.elapsed() > Duration::from_secs(20) {
                    return Err("the program does not become ready".into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took.push(start.elapsed());
            end(&mut child);
        }
        took.sort_unstable();
        Ok(took)
    }

    fn start(&self, who: Contender, streams: &Streams, mode: Mode) -> Result<Child, Failure> {
        let rig = &self.rig;
        let concurrency = self.options.concurrency;
        let child = match who {
            Contender::Worker => Command::new(std::env::current_exe()?)
                .args(["worker", rig.nats.url(), &rig.sandbox.url, &rig.sandbox.token])
                .args([&streams.requests, &format!("{}.out", streams.outcomes)])
                .args([mode.as_str(), &concurrency.to_string()])
                .spawn()?,
            Contender::Mailbridge => {
                let file = std::env::temp_dir().join(format!("bench-{}.yaml", streams.requests));
                std::fs::write(&file, rig.config(streams, mode, concurrency))?;
                let mut command = Command::new(&rig.program);
                command.args(["--log", "error", "run"]).arg(&file);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?
            }
        };
        Ok(child)
    }
}

/// A request of about 2 KB.
pub fn payload(n: usize, mailbox: usize) -> String {
    let text = "All work and no play makes a dull mail. ".repeat(46);
    serde_json::json!({
        "id": format!("r{n}"),
        "mailbox": format!("m{mailbox}@{}", mailbridge_sandbox::DEMO_DOMAIN),
        "to": format!("someone-{n}@example.org"),
        "subject": format!("order {n}"),
        "text": text,
    })
    .to_string()
}

fn local_config(http: std::net::SocketAddr) -> String {
    format!(
        r#"
http: {{ listen: "{http}" }}
connections: {{ sandbox: {{ cloud: sandbox }} }}
buses: {{ files: {{ local: {{ dir: state }} }} }}
pipelines:
  ready:
    requests:
      from: {{ bus: files, path: requests.ndjson, follow: true }}
      connection: sandbox
      allow_mailboxes: ["*"]
      dead_letters: {{ bus: files, path: dead.ndjson }}
"#
    )
}

pub fn rate(count: usize, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are small")]
    let count = count as f64;
    count / took.as_secs_f64()
}
