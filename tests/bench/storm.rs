//! `bench pool-storm`: the storm and the rolling restart that the process tests run small, at their
//! full size, with the figures that depend on the machine. Both fail where a mail is sent or told
//! twice or not at all.

use std::{fmt::Write as _, time::Duration};

use mailbridge_tests::pool::{
    rolling::{Rolling, Took},
    storm::Storm,
};

use crate::{Failure, report};

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let mut parts = vec!["storm", "rolling"];
    let (mut write, mut seconds) = (false, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.as_slice().first();
        match (arg.as_str(), value) {
            ("--write", _) => write = true,
            ("--only", Some(part)) => parts.retain(|it| it == part),
            ("--seconds", Some(number)) => seconds = Some(Duration::from_secs(number.parse()?)),
            _ => return Err(format!("{arg}: expected --only PART, --seconds N or --write").into()),
        }
        if arg != "--write" {
            args.next();
        }
    }
    let mut text = String::new();
    if parts.contains(&"storm") {
        storm(seconds, &mut text).await?;
    }
    if parts.contains(&"rolling") {
        rolling(&mut text).await?;
    }
    println!("{text}");
    if write {
        report::write("pool-storm", &text)?;
    }
    Ok(())
}

async fn storm(seconds: Option<Duration>, text: &mut String) -> Result<(), Failure> {
    let mut storm = Storm::full();
    storm.lasts = seconds.unwrap_or(storm.lasts);
    let passed = storm.run().await;
    let sizes = &storm.sizes;
    writeln!(
        text,
        "{} workers, {} mailboxes, a lease of {} s, {} s:\n\n```\n{passed}\n```\n",
        sizes.workers,
        sizes.mailboxes,
        sizes.lease.as_secs(),
        storm.lasts.as_secs()
    )?;
    Ok(())
}

async fn rolling(text: &mut String) -> Result<(), Failure> {
    let rolling = Rolling::full();
    let (quiet, rolled) = rolling.run().await;
    writeln!(
        text,
        "{} workers that are replaced one after the other, {} requests a second:\n\n\
         | | requests | median | p99 | longest |\n|---|---|---|---|---|",
        rolling.sizes.workers, rolling.sizes.requests
    )?;
    for (name, took) in [("quiet", quiet), ("while they are replaced", rolled)] {
        let Took { requests, median, p99, longest } = took;
        writeln!(text, "| {name} | {requests} | {median:.0?} | {p99:.0?} | {longest:.0?} |")?;
    }
    Ok(())
}
