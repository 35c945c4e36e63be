//! `bench large`: mails with an attachment of 150 MB by reference, one and then many at once: time
//! against a bare client that uploads the same pieces, and memory above idle.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Failure,
    floor::{Graph, Mode},
    report,
    rig::{Rig, Streams, end, status_kib},
};

/// The largest attachment that Graph takes, a little less so that it fits whatever an MB is.
const FILE_BYTES: usize = 149_000_000;
/// The pieces of mailbridge: the floor uploads the same ones.
const PIECE_BYTES: usize = 12 * 320 * 1024;

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let (mut at_once, mut rounds, mut write) = (20, 9, false);
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let mut value = || Ok::<_, Failure>(args.next().ok_or("a value is missing")?.parse()?);
        match name.as_str() {
            "--at-once" => at_once = value()?,
            "--rounds" => rounds = value()?,
            "--write" => write = true,
            other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
        }
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("large.bin");
    make(&file)?;
    let mut rig = Rig::start().await?;
    allow_large(&rig).await?;
    let (mut bare, mut ours, mut above) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        bare.push(floor(&rig, &file, round).await?);
        let (took, kib) = mailbridge(&mut rig, folder.path(), 1).await?;
        eprintln!("round {round}: bare {:?}, mailbridge {took:?}", bare[bare.len() - 1]);
        ours.push(took);
        above.push(kib);
    }
    let (many, many_kib) = mailbridge(&mut rig, folder.path(), at_once).await?;
    // each round: one of the floor, a small one that warms up, and the one that is measured
    let (sent, expected) = (sent(&rig).await?, rounds * 3 + 1 + at_once);
    if sent != expected {
        return Err(format!("{sent} mails were sent, not {expected}").into());
    }
    let text = page(&mut bare, &mut ours, &above, at_once, many, many_kib);
    println!("{text}");
    if write {
        report::write("large", &text)?;
    }
    Ok(())
}

/// Tenants allow 35 MB for a mail unless somebody raises it.
async fn allow_large(rig: &Rig) -> Result<(), Failure> {
    let url = format!("{}/_sandbox/limits", rig.sandbox.url);
    let limits = json!({ "message_bytes": 2 * FILE_BYTES });
    reqwest::Client::builder().build()?.post(url).json(&limits).send().await?.error_for_status()?;
    Ok(())
}

/// How many mails there were, as the sandbox has it.
async fn sent(rig: &Rig) -> Result<usize, Failure> {
    #[derive(serde::Deserialize)]
    struct Truth {
        sent_total: usize,
    }
    let url = format!("{}/_sandbox/truth", rig.sandbox.url);
    let truth: Truth = reqwest::get(url).await?.error_for_status()?.json().await?;
    Ok(truth.sent_total)
}

/// A file that does not shrink when it is looked at twice.
fn make(file: &Path) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut state = 1_u64;
    for _ in 0..FILE_BYTES / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out.write_all(&state.to_le_bytes())?;
    }
    Ok(out.flush()?)
}

/// Draft, upload session, pieces, send: nothing else, and the file in memory.
async fn floor(rig: &Rig, file: &Path, round: usize) -> Result<Duration, Failure> {
    let content = bytes::Bytes::from(std::fs::read(file)?);
    let graph = Graph::new(&rig.sandbox.url, &rig.sandbox.token)?;
    let start = Instant::now();
    graph.send_large(&mailbox(1000 + round), &content, PIECE_BYTES).await?;
    Ok(start.elapsed())
}

/// How long so many sends at once take, from the first request stored to the last outcome stored, and
/// how many KiB the process was above idle at most.
async fn mailbridge(
    rig: &mut Rig,
    folder: &Path,
    at_once: usize,
) -> Result<(Duration, u64), Failure> {
    let streams = rig.streams().await?;
    let mut child = start(rig, &streams, folder)?;
    // a small one finds everything connected, and idle is what is then
    rig.publish(&streams, &request(0, None)).await?;
    rig.read(&streams.outcomes, 1).await?;
    let idle = status_kib(child.id(), "VmRSS")?;
    let start = Instant::now();
    for number in 1..=at_once {
        rig.publish(&streams, &request(number, Some(folder))).await?;
    }
    rig.read(&streams.outcomes, at_once + 1).await?;
    let took = start.elapsed();
    let most = status_kib(child.id(), "VmHWM")?;
    end(&mut child);
    rig.remove(&streams).await?;
    Ok((took, most.saturating_sub(idle)))
}

fn request(number: usize, folder: Option<&Path>) -> String {
    let attachments: Vec<_> = folder
        .map(|folder| format!("file://{}/large.bin", folder.display()))
        .map(|url| json!({ "name": "large.bin", "url": url }))
        .into_iter()
        .collect();
    json!({
        "id": format!("r{number}"), "mailbox": mailbox(number), "to": "someone@example.org",
        "subject": "large", "text": "see the file", "attachments": attachments,
    })
    .to_string()
}

fn mailbox(number: usize) -> String {
    format!("large{number}@{}", mailbridge_sandbox::DEMO_DOMAIN)
}

fn start(rig: &Rig, streams: &Streams, folder: &Path) -> Result<Child, Failure> {
    let file = folder.join(format!("{}.yaml", streams.requests));
    let config = rig.config(streams, Mode::Once, 64);
    let places = format!("      attachments: ['file://{}/']\n", folder.display());
    std::fs::write(&file, format!("{}\n{places}", config.trim_end()))?;
    let mut command = Command::new(&rig.program);
    command.args(["--log", "warn", "run"]).arg(&file);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?)
}

fn page(
    bare: &mut [Duration],
    ours: &mut [Duration],
    above: &[u64],
    at_once: usize,
    many: Duration,
    many_kib: u64,
) -> String {
    let median = |took: &mut [Duration]| {
        took.sort_unstable();
        took[took.len() / 2].as_secs_f64()
    };
    let (bare, ours) = (median(bare), median(ours));
    let most = above.iter().max().copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each = many.as_secs_f64() / at_once as f64;
    format!(
        "One attachment of {} MB by `file://`, `once`; medians of {} rounds; {}.\n\n\
         | | bare client | mailbridge | **ratio** | memory above idle |\n\
         |---|---|---|---|---|\n\
         | one | {bare:.2} s | {ours:.2} s | **{:.2}** | {} MiB |\n\
         | {at_once} at once, each | | {each:.2} s | | {} MiB |\n",
        FILE_BYTES / 1_000_000,
        above.len(),
        report::machine(),
        ours / bare,
        most / 1024,
        many_kib / 1024,
    )
}
