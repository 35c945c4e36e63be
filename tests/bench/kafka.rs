//! `bench kafka`: requests from Kafka against the same ones from NATS, events to Kafka against a bare
//! producer, and how long a rebalance keeps mails back.
//!
//! One broker of its own, a process beside nats-server and the sandbox on the same cores.

pub mod broker;
mod events;
mod rebalance;
pub mod requests;

use std::fmt::Write as _;

use crate::{Failure, report};

pub struct Options {
    pub requests: usize,
    pub mailboxes: usize,
    pub messages: usize,
    pub rounds: usize,
    only: Option<String>,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            requests: 20_000,
            mailboxes: 500,
            messages: 30_000,
            rounds: 3,
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
                "--requests" => options.requests = value.parse()?,
                "--mailboxes" => options.mailboxes = value.parse()?,
                "--messages" => options.messages = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
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
    let mut page = format!("{}; load average {}.\n\n", report::machine(), report::load());
    if options.wants("requests") {
        writeln!(page, "{}", requests::measure(&options).await?)?;
    }
    if options.wants("events") {
        writeln!(page, "{}", events::measure(&options).await?)?;
    }
    if options.wants("rebalance") {
        writeln!(page, "{}", rebalance::measure().await?)?;
    }
    println!("{page}");
    if options.write {
        report::write("kafka", &page)?;
    }
    Ok(())
}
