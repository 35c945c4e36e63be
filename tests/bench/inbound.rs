//! `bench inbound`: a backfill against floors that read the same pages, memory over large mailboxes,
//! ten thousand idle mailboxes, and the time from a mail to its event where Graph calls.

mod backfill;
mod floor;
mod idle;
mod wake;
mod world;

use std::fmt::Write as _;

use crate::{Failure, report};
use world::World;

pub struct Options {
    pub messages: usize,
    pub mailboxes: usize,
    pub rounds: usize,
    pub idle: usize,
    pub mails: usize,
    pub long: usize,
    only: Option<String>,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            messages: 100_000,
            mailboxes: 50,
            rounds: 3,
            idle: 10_000,
            mails: 3_000,
            long: 100_000,
            only: None,
            write: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--write" {
                options.write = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--messages" => options.messages = value.parse()?,
                "--mailboxes" => options.mailboxes = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--idle" => options.idle = value.parse()?,
                "--mails" => options.mails = value.parse()?,
                "--long" => options.long = value.parse()?,
                "--only" => options.only = Some(value.clone()),
                other => return Err(format!("no such option: {other}\n{}", crate::USAGE).into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

pub async fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args)?;
    if options.write && options.only.is_some() {
        return Err("--write wants every part: leave out --only".into());
    }
    let mut page = format!("{}; load average {}.\n", report::machine(), report::load());
    if options.wants("backfill") {
        writeln!(page, "{}", backfill::measure(&options).await?)?;
    }
    if options.wants("memory") {
        writeln!(page, "{}", backfill::memory(&options).await?)?;
    }
    if options.wants("idle") {
        writeln!(page, "{}", idle::measure(&options).await?)?;
    }
    if options.wants("wake") {
        writeln!(page, "{}", wake::measure(&options).await?)?;
    }
    println!("{page}");
    if options.write {
        report::write("inbound", &page)?;
    }
    Ok(())
}

/// Counts here are small.
#[expect(clippy::cast_precision_loss, reason = "a small count")]
const fn real(count: u64) -> f64 {
    count as f64
}
