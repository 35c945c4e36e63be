//! The figures as tables, and who was best at what.

use std::fmt::Write as _;

use super::{
    Results,
    contender::Who,
    plain::Plain,
    trouble::{Faults, Secret, Throttled},
};
use crate::{Failure, report::median};

/// One row: a name, a value of each contender, and which way is better.
struct Row<'a> {
    name: &'a str,
    values: Vec<Option<f64>>,
    unit: &'a str,
    better: Better,
}

#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
    /// A fact, of which none is best.
    Neither,
}

/// The measured part of the page.
pub fn markdown(results: &Results, at_once: usize, mailboxes: usize) -> Result<String, Failure> {
    let mut page = format!("{}.\n\n", results.environment.join("; "));
    page += "Every run is a line of [peers.ndjson](benchmarks/peers.ndjson). ";
    page += "The best of a row is **bold**, where one is.\n\n|";
    for who in Who::ALL {
        write!(page, " | {}", who.title())?;
    }
    page += " |\n|---|---|---|---|---|\n";
    for (bus, runs) in [("NATS", &results.nats), ("Kafka", &results.kafka)] {
        if let Some(run) = runs.values().flatten().next() {
            let mails = run.mails;
            let what = format!("{bus}: {mails} mails, {mailboxes} mailboxes, {at_once} at once");
            writeln!(page, "| *{what}* | | | | |")?;
            plain(&mut page, |pick| of(|who| Some(medians(runs.get(&who)?, pick))))?;
            let named = Who::ALL.map(|who| runs.get(&who).map_or("", |runs| bottleneck(runs)));
            writeln!(page, "| bottleneck | {} |", named.join(" | "))?;
        }
    }
    faults(&mut page, results)?;
    throttled(&mut page, results)?;
    secret(&mut page, results)?;
    let lines = of(|who| results.lines.get(&who).map(|lines| whole(*lines)));
    page += "| *What one writes* | | | | |\n";
    row(&mut page, &Row::new("lines, with NATS", lines, "", Better::Less))?;
    page += "\n![the same as bars](benchmarks/peers.svg)\n";
    Ok(page)
}

fn plain(
    page: &mut String,
    values: impl Fn(fn(&Plain) -> f64) -> Vec<Option<f64>>,
) -> Result<(), Failure> {
    for (name, pick, unit, better) in [
        ("mails a second", (|run| run.mails_per_second) as fn(&Plain) -> f64, "", Better::More),
        ("CPU seconds per 1,000 mails", |run| run.cpu_seconds_per_1000, " s", Better::Less),
        ("peak memory", |run| run.peak_mib, " MiB", Better::Less),
        ("exec to the first mail", |run| run.start_seconds, " s", Better::Less),
        ("cores it used", |run| run.cores, "", Better::Neither),
    ] {
        row(page, &Row::new(name, values(pick), unit, better))?;
    }
    Ok(())
}

fn faults(page: &mut String, results: &Results) -> Result<(), Failure> {
    let Some(one) = results.faults.values().next() else { return Ok(()) };
    writeln!(
        page,
        "| *Faults: {} requests; 10 % 429, 5 % 503, 5 % sent and answered 504; kill -9 twice* \
         | | | | |",
        one.requests
    )?;
    let value =
        |pick: fn(&Faults) -> usize| of(|who| results.faults.get(&who).map(|run| whole(pick(run))));
    let twice = of(|who| results.faults.get(&who).map(|run| whole(run.tally.duplicates)));
    row(page, &Row::new("mails sent twice", twice, "", Better::Less))?;
    for (name, pick) in [
        ("requests lost", (|run| run.tally.lost) as fn(&Faults) -> usize),
        ("dead letters", |run| run.tally.dead),
        ("of them sent all the same", |run| run.tally.dead_though_sent),
        ("still on the stream at the end", |run| run.tally.left),
    ] {
        row(page, &Row::new(name, value(pick), "", Better::Less))?;
    }
    let seconds = of(|who| results.faults.get(&who).map(|run| run.seconds));
    row(page, &Row::new("until all was done", seconds, " s", Better::Less))
}

fn throttled(page: &mut String, results: &Results) -> Result<(), Failure> {
    let Some(one) = results.throttled.values().next() else { return Ok(()) };
    writeln!(
        page,
        "| *One mailbox throttled for {} s, with {} of {} requests* | | | | |",
        one.seconds, one.of_mailbox, one.requests
    )?;
    let value = |pick: fn(&Throttled) -> f64| of(|who| results.throttled.get(&who).map(pick));
    let others = format!("mails of the others in that time, of {}", one.others);
    let in_the_end = format!("the mailbox's mails in the end, of {}", one.of_mailbox);
    for (name, pick, better) in [
        (
            others.as_str(),
            (|run| whole(run.others_sent_meanwhile)) as fn(&Throttled) -> f64,
            Better::More,
        ),
        (&in_the_end, |run| whole(run.mailbox_sent), Better::More),
        ("dead letters", |run| whole(run.tally.dead), Better::Less),
        ("mails sent twice", |run| whole(run.tally.duplicates), Better::Less),
    ] {
        row(page, &Row::new(name, value(pick), "", better))?;
    }
    Ok(())
}

fn secret(page: &mut String, results: &Results) -> Result<(), Failure> {
    let Some(one) = results.secret.values().next() else { return Ok(()) };
    writeln!(
        page,
        "| *The secret has expired, and is prolonged after {} s: {} requests* | | | | |",
        one.seconds, one.requests
    )?;
    let value =
        |pick: fn(&Secret) -> usize| of(|who| results.secret.get(&who).map(|run| whole(pick(run))));
    for (name, pick, better) in [
        ("sent in the end", (|run| run.tally.sent) as fn(&Secret) -> usize, Better::More),
        ("dead letters", |run| run.tally.dead, Better::Less),
        ("still on the stream at the end", |run| run.tally.left, Better::Less),
    ] {
        row(page, &Row::new(name, value(pick), "", better))?;
    }
    let seconds = of(|who| results.secret.get(&who)?.recovered_seconds);
    row(page, &Row::new("from prolonged to all done", seconds, " s", Better::Neither))
}

impl<'a> Row<'a> {
    const fn new(name: &'a str, values: Vec<Option<f64>>, unit: &'a str, better: Better) -> Self {
        Self { name, values, unit, better }
    }

    /// The best value as it is shown, unless all are shown the same.
    fn best(&self) -> Option<String> {
        let values = || self.values.iter().flatten().copied();
        let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let best = match self.better {
            Better::More => most,
            Better::Less => least,
            Better::Neither => return None,
        };
        (rounded(least) != rounded(most)).then(|| rounded(best))
    }
}

fn row(page: &mut String, row: &Row<'_>) -> Result<(), Failure> {
    let best = row.best();
    write!(page, "| {}", row.name)?;
    for value in &row.values {
        match value.map(rounded) {
            Some(value) if best.as_ref() == Some(&value) => {
                write!(page, " | **{value}{}**", row.unit)?;
            }
            Some(value) => write!(page, " | {value}{}", row.unit)?,
            None => page.push_str(" | –"),
        }
    }
    page.push_str(" |\n");
    Ok(())
}

fn of(value: impl Fn(Who) -> Option<f64>) -> Vec<Option<f64>> {
    Who::ALL.iter().map(|who| value(*who)).collect()
}

/// The median of one figure over the rounds.
pub fn medians(runs: &[Plain], pick: fn(&Plain) -> f64) -> f64 {
    median(&runs.iter().map(pick).collect::<Vec<_>>())
}

/// That of the round in the middle.
fn bottleneck(runs: &[Plain]) -> &'static str {
    let middle = medians(runs, |run| run.mails_per_second);
    let run = runs.iter().find(|run| (run.mails_per_second - middle).abs() < f64::EPSILON);
    run.map_or("", Plain::bottleneck)
}

#[expect(clippy::cast_precision_loss, reason = "counts here are small")]
pub fn whole(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// Three digits are enough to compare by.
fn rounded(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
