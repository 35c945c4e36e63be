//! `bench budgets`: how well uneven mailboxes' budgets are used.
//!
//! Graph's documented budgets and Exchange Online's 30 mails a minute, some times faster so that
//! minutes are seconds, kept by the sandbox and known to mailbridge. The floor is arithmetic: the
//! time that a sender needs which is never late, never refused, and has no costs of its own.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Failure,
    floor::Mode,
    report::{self, median},
    rig::{Rig, Streams, end, nanos},
};

/// Exchange Online's rate of one mailbox.
const MAILS_PER_MINUTE: usize = 30;
/// Graph's budget of an app and a mailbox in ten minutes.
const REQUESTS_PER_10_MINUTES: usize = 10_000;
/// Deliveries in the worker at once: the default.
const IN_FLIGHT: usize = 256;

struct Options {
    requests: usize,
    mailboxes: usize,
    scale: u32,
    rounds: usize,
    write: bool,
}

/// What one round took.
struct Round {
    took: Duration,
    requests: u64,
    refused: u64,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options =
            Self { requests: 10_000, mailboxes: 200, scale: 60, rounds: 3, write: false };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--requests" => options.requests = value.parse()?,
                "--mailboxes" => options.mailboxes = value.parse()?,
                "--scale" => options.scale = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        Ok(options)
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    let mut rig = Rig::start_over(&["--budgets-scale", &options.scale.to_string()]).await?;
    let shares = shares(options.requests, options.mailboxes);
    let mut page = head(&options, &shares);
    let mut every = String::from("\nEvery round, seconds and share of 429:\n\n");
    for mode in [Mode::AtLeastOnce, Mode::Once] {
        let least = least(&shares, mode, options.scale);
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            // windows are empty when a round begins
            tokio::time::sleep(window(10 * 60, options.scale)).await;
            rounds.push(measure(&mut rig, &options, &shares, mode).await?);
        }
        let took: Vec<_> = rounds.iter().map(|round| round.took.as_secs_f64()).collect();
        let share: Vec<_> = rounds.iter().map(Round::refused_percent).collect();
        let (took_s, least_s) = (median(&took), least.as_secs_f64());
        writeln!(
            page,
            "| `{}` | {least_s:.2} s | {took_s:.2} s | **{:.3}** | **{:.2} %** of {} |",
            mode.as_str(),
            took_s / least_s,
            median(&share),
            rounds.last().map_or(0, |round| round.requests),
        )?;
        for (took, share) in took.iter().zip(&share) {
            writeln!(every, "- {}: {took:.2}, {share:.2} %", mode.as_str())?;
        }
    }
    page += &every;
    println!("{page}");
    if options.write {
        report::write("budgets", &page)?;
    }
    Ok(())
}

fn head(options: &Options, shares: &[usize]) -> String {
    format!(
        "{} mails from {} mailboxes, the largest share {}, the smallest {}; budgets {} times as fast as \
         documented; median of {} rounds; {}; load average {}.\n\n\
         | | least possible | mailbridge | **ratio** | answers 429 |\n|---|---|---|---|---|\n",
        options.requests,
        options.mailboxes,
        shares.first().copied().unwrap_or_default(),
        shares.last().copied().unwrap_or_default(),
        options.scale,
        options.rounds,
        report::machine(),
        report::load(),
    )
}

impl Round {
    fn refused_percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let share = self.refused as f64 / self.requests.max(1) as f64;
        share * 100.0
    }
}

/// How many mails each mailbox has: the n-th one as 1/n, all of them together `mails`.
pub fn shares(mails: usize, mailboxes: usize) -> Vec<usize> {
    // in millionths, so that nothing depends on how a machine rounds
    let weight = |n: usize| 1_000_000 / n;
    let all: usize = (1..=mailboxes).map(weight).sum();
    let mut shares: Vec<_> = (1..=mailboxes).map(|n| mails * weight(n) / all.max(1)).collect();
    let left = mails - shares.iter().sum::<usize>();
    shares.iter_mut().take(left).for_each(|share| *share += 1);
    shares
}

/// The time between the first mail and the last one that no sender can beat: a window holds no more
/// than its budget, so `n` of a mailbox span at least as many windows as budgets fit below `n`.
pub fn least(shares: &[usize], mode: Mode, scale: u32) -> Duration {
    let requests_each = if mode == Mode::Once { 2 } else { 1 };
    let of = |mails: usize| {
        let below = mails.saturating_sub(1);
        let minutes = below / MAILS_PER_MINUTE;
        let tens = (mails * requests_each).saturating_sub(1) / REQUESTS_PER_10_MINUTES;
        window(minutes as u64 * 60, scale).max(window(tens as u64 * 600, scale))
    };
    shares.iter().copied().map(of).max().unwrap_or_default()
}

fn window(seconds: u64, scale: u32) -> Duration {
    Duration::from_secs(seconds) / scale
}

/// The requests, in an order in which every mailbox is met all along.
pub fn payloads(shares: &[usize]) -> Vec<String> {
    let mut owners: Vec<usize> =
        shares.iter().enumerate().flat_map(|(at, share)| vec![at; *share]).collect();
    let mut state = 1_u64;
    for at in (1..owners.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let other = usize::try_from(state >> 33).unwrap_or_default() % (at + 1);
        owners.swap(at, other);
    }
    owners.iter().enumerate().map(|(number, owner)| payload(number, *owner)).collect()
}

fn payload(number: usize, owner: usize) -> String {
    json!({
        "id": format!("r{number}"),
        "mailbox": format!("m{owner}@{}", mailbridge_sandbox::DEMO_DOMAIN),
        "to": "someone@example.org", "subject": format!("order {number}"), "text": "it is here",
    })
    .to_string()
}

async fn measure(
    rig: &mut Rig,
    options: &Options,
    shares: &[usize],
    mode: Mode,
) -> Result<Round, Failure> {
    let streams = rig.streams().await?;
    rig.publish_all(&streams, &payloads(shares)).await?;
    let before = answers(rig).await?;
    let mut child = start(rig, &streams, mode, options.scale)?;
    let stored = rig.read(&streams.outcomes, options.requests).await;
    end(&mut child);
    let stored = stored?;
    let after = answers(rig).await?;
    rig.remove(&streams).await?;
    let times = || stored.iter().map(|stored| stored.nanos);
    let took = times().max().unwrap_or_default() - times().min().unwrap_or_default();
    let round =
        Round { took: nanos(took), requests: after.0 - before.0, refused: after.1 - before.1 };
    eprintln!(
        "{}: {:?}, {} of {} refused",
        mode.as_str(),
        round.took,
        round.refused,
        round.requests
    );
    Ok(round)
}

fn start(rig: &Rig, streams: &Streams, mode: Mode, scale: u32) -> Result<Child, Failure> {
    let file = std::env::temp_dir().join(format!("bench-budgets-{}.yaml", streams.requests));
    std::fs::write(&file, config(rig, streams, mode, scale))?;
    let mut command = Command::new(&rig.program);
    command.args(["--log", "error", "run"]).arg(&file);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}

/// As the reference has the limits, but for the pace.
fn config(rig: &Rig, streams: &Streams, mode: Mode, scale: u32) -> String {
    let config = rig.config(streams, mode, IN_FLIGHT);
    let config = config.replace("buses:", &format!("    limits: {{ scale: {scale} }}\nbuses:"));
    let budgets = format!("{{ mails_per_minute: {MAILS_PER_MINUTE}, scale: {scale} }}");
    format!("{}\n      budgets: {budgets}\n", config.trim_end())
}

/// How many requests to Graph the sandbox has answered, and how many of them with 429.
pub async fn answers(rig: &Rig) -> Result<(u64, u64), Failure> {
    let url = format!("{}/_sandbox/requests", rig.sandbox.url);
    let all: Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    let all = all["requests"].as_object().ok_or("no requests")?;
    let graph = all.iter().filter(|(name, _)| !name.contains("token"));
    let counts = graph.filter_map(|(_, counts)| counts.as_object()).flatten();
    let counts: Vec<_> = counts.filter_map(|(status, n)| Some((status, n.as_u64()?))).collect();
    let refused = counts.iter().filter(|(status, _)| *status == "429").map(|(_, n)| n).sum();
    Ok((counts.iter().map(|(_, n)| n).sum(), refused))
}
