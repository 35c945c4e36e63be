//! How long sending pauses while members of a group come and go under load: the longest time in
//! which the sandbox counted no mail, and the longest in which one mailbox had none.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use rdkafka::{Message as _, message::OwnedMessage};

use super::{
    broker::{Broker, millis},
    requests::{PARTITIONS, config, prime, record, stop},
};
use crate::{
    Failure,
    floor::Mode,
    rig::{Rig, end},
};

const MEMBERS: usize = 4;
const MAILBOXES: usize = 48;
/// Of each member, so that a member more is a pace more.
const IN_FLIGHT: usize = 8;
const REQUESTS: usize = 30_000;
/// Between two changes of the group.
const STEP: Duration = Duration::from_secs(6);
const LATENCY: &str = "20ms";

/// What the sandbox counted, and when it last counted more.
struct Counted {
    total: u64,
    since: Instant,
    longest: Duration,
}

pub async fn measure() -> Result<String, Failure> {
    let rig = Rig::start_with(&["--latency", LATENCY]).await?;
    let broker = Broker::start().await?;
    let config = config(&rig, &broker, "rebalance", Mode::Once, IN_FLIGHT);
    prime(&rig, &broker, "rebalance", &config, MAILBOXES).await?;
    let records: Vec<_> = (0..REQUESTS).map(|n| record(n, n % MAILBOXES)).collect();
    broker.produce("rebalance.send", &records).await?;
    let mut members = vec![broker.run(&rig, "member0", &config)?];
    let mut counted = Counted { total: 0, since: Instant::now(), longest: Duration::ZERO };
    while counted.total <= MAILBOXES as u64 {
        counted.look(&rig).await?;
    }
    counted.longest = Duration::ZERO;
    let (mut gaps, mut gone) = (Vec::new(), Vec::new());
    counted.watch(&rig, STEP).await?;
    gaps.push(("one member alone", counted.take()));
    while members.len() < MEMBERS {
        members.push(broker.run(&rig, &format!("member{}", members.len()), &config)?);
        counted.watch(&rig, STEP).await?;
    }
    gaps.push(("three join, one after the other", counted.take()));
    for number in 0..2 {
        gone.push(members.remove(0));
        gone.last().map_or(Ok(()), stop)?;
        let again = format!("again{number}");
        members.push(broker.run(&rig, &again, &config)?);
        counted.watch(&rig, STEP).await?;
    }
    gaps.push(("a rolling restart of two", counted.take()));
    gone.push(members.remove(0));
    gone.last().map_or(Ok(()), stop)?;
    counted.watch(&rig, STEP).await?;
    gaps.push(("one leaves", counted.take()));
    members.iter_mut().chain(&mut gone).for_each(end);
    if counted.total >= REQUESTS as u64 {
        return Err("all requests were sent before the group had changed: too few".into());
    }
    let sent = usize::try_from(counted.total)?;
    // those that were killed have not told the last ones
    let told = sent.saturating_sub(MEMBERS * IN_FLIGHT);
    let outcomes = tokio::task::block_in_place(|| broker.read("rebalance.out", told))?;
    let mut page = format!(
        "{PARTITIONS} partitions, {MEMBERS} members of {IN_FLIGHT} at once, {MAILBOXES} mailboxes, Graph \
         answers after {LATENCY}, {sent} mails sent. Longest time without a mail:\n\n| | |\n|---|---|\n"
    );
    for (what, gap) in gaps {
        writeln!(page, "| {what} | **{:.2} s** |", gap.as_secs_f64())?;
    }
    let (mailbox, gap) = quietest(&outcomes);
    let gap = gap.as_secs_f64();
    writeln!(page, "| of one mailbox ({mailbox}), over all of that | {gap:.2} s |")?;
    Ok(page)
}

impl Counted {
    async fn watch(&mut self, rig: &Rig, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look(rig).await?;
        }
        Ok(())
    }

    async fn look(&mut self, rig: &Rig) -> Result<(), Failure> {
        #[derive(serde::Deserialize)]
        struct Truth {
            sent_total: u64,
        }
        let url = format!("{}/_sandbox/truth", rig.sandbox.url);
        let truth: Truth = reqwest::get(url).await?.error_for_status()?.json().await?;
        self.longest = self.longest.max(self.since.elapsed());
        if truth.sent_total > self.total {
            (self.total, self.since) = (truth.sent_total, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// The longest pause so far, to begin anew.
    fn take(&mut self) -> Duration {
        std::mem::take(&mut self.longest)
    }
}

/// Which mailbox had to wait longest between two of its mails, and how long.
fn quietest(outcomes: &[OwnedMessage]) -> (String, Duration) {
    let mut times: HashMap<String, Vec<i64>> = HashMap::new();
    for outcome in outcomes {
        let payload: serde_json::Value =
            serde_json::from_slice(outcome.payload().unwrap_or_default()).unwrap_or_default();
        let mailbox = payload["data"]["mailbox"].as_str().unwrap_or("?").to_owned();
        times.entry(mailbox).or_default().push(millis(outcome));
    }
    let longest = |mut times: Vec<i64>| {
        times.sort_unstable();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    };
    let all = times.into_iter().map(|(mailbox, times)| (longest(times), mailbox));
    let (gap, mailbox) = all.max().unwrap_or_default();
    let mailbox = mailbox.split('@').next().unwrap_or_default().to_owned();
    (mailbox, Duration::from_millis(u64::try_from(gap).unwrap_or_default()))
}
