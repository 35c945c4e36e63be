//! `/status`: how each mailbox of each events pipeline is.
//!
//! For people and for scripts that look for mailboxes which are behind; whether the program does its
//! work says `/readyz`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use jiff::Timestamp;
use mailbridge_core::Mailbox;
use mailbridge_engine::{
    events::{Board, Status, Worker},
    health::Health,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{
    names::known,
    run::seen::{Config, Seen, Shown},
};

/// Mailboxes that are told of when nobody says how many: some hundred kilobytes.
const LIMIT: usize = 1_000;
/// How long the state store has to say who else there is.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Who is asked. Cheap to clone.
#[derive(Clone)]
pub struct Overview {
    /// The pipelines.
    pub health: Health,
    /// Of the events pipelines among them: their mailboxes, and with whom those are shared.
    pub seen: Seen,
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Only this pipeline.
    pipeline: Option<String>,
    /// Only this mailbox.
    mailbox: Option<String>,
    /// Mailboxes of each pipeline, at most.
    limit: Option<usize>,
}

/// What `/status` answers.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// What runs, and what of the files is not run.
    config: Config,
    pipelines: Vec<Pipeline>,
}

#[derive(Debug, Serialize)]
struct Pipeline {
    #[serde(rename = "pipeline")]
    name: String,
    /// As in `/readyz`.
    state: &'static str,
    /// Since the start of this process.
    published: u64,
    /// Messages of Graph's answers, since the start of this process.
    read: u64,
    /// How many mailboxes are in each state.
    counts: BTreeMap<&'static str, u64>,
    /// By name.
    mailboxes: Vec<Told>,
    /// How many more there are.
    left_off: usize,
    /// All workers that share the pipeline, this one among them; none, where `state` is not shared,
    /// or does not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    status: Status,
    /// For how long it is not known that everything is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<i64>,
}

/// Answers.
pub async fn status(
    State(asked): State<Overview>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    let shown = asked.seen.borrow().clone();
    let answer = asked.answer(&shown, &wanted, Timestamp::now());
    let mut answer = answer.map_err(|it| (StatusCode::NOT_FOUND, it))?;
    for pipeline in &mut answer.pipelines {
        if let Some(pool) = shown.pools.get(&pipeline.name) {
            let workers = timeout(TOLD_WITHIN, pool.workers()).await;
            pipeline.workers = workers.ok().and_then(Result::ok).unwrap_or_default();
        }
    }
    Ok(Json(answer))
}

impl Overview {
    fn answer(&self, shown: &Shown, wanted: &Wanted, now: Timestamp) -> Result<Answer, String> {
        if let Some(name) = wanted.pipeline.as_ref().filter(|it| !shown.boards.contains_key(*it)) {
            let names: Vec<_> = shown.boards.keys().map(String::as_str).collect();
            let known = known("pipelines of events", name, &names);
            return Err(format!("there is no such pipeline of events; {known}\n"));
        }
        let health: BTreeMap<_, _> =
            self.health.snapshot().into_iter().map(|it| (it.pipeline, it.state.as_str())).collect();
        let meant = |name: &str| wanted.pipeline.as_ref().is_none_or(|it| it == name);
        let boards = shown.boards.iter().filter(|(name, _)| meant(name));
        let pipelines = boards.map(|(name, board)| {
            let state = health.get(name).copied().unwrap_or("starting");
            pipeline(name, state, board, wanted, now)
        });
        Ok(Answer { config: shown.config.clone(), pipelines: pipelines.collect() })
    }
}

fn pipeline(
    name: &str,
    state: &'static str,
    board: &Board,
    wanted: &Wanted,
    now: Timestamp,
) -> Pipeline {
    let (published, read) = board.totals();
    let counts = board.counts().into_iter().map(|(state, count)| (state.as_str(), count));
    let all = match &wanted.mailbox {
        Some(mailbox) => board.get(&Mailbox::new(mailbox)).into_iter().collect(),
        None => board.snapshot(),
    };
    let limit = wanted.limit.unwrap_or(LIMIT);
    let left_off = all.len().saturating_sub(limit);
    let told = |status: Status| {
        let lag_seconds = status.up_to_date_at.map(|at| now.duration_since(at).as_secs().max(0));
        Told { status, lag_seconds }
    };
    Pipeline {
        name: name.to_owned(),
        state,
        published,
        read,
        counts: counts.collect(),
        mailboxes: all.into_iter().take(limit).map(told).collect(),
        left_off,
        workers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn a_pipeline_is_chosen_by_its_name() {
        let boards = BTreeMap::from([
            ("sales".to_owned(), Board::new()),
            ("support".to_owned(), Board::new()),
        ]);
        let shown = Shown { boards, ..Shown::default() };
        let (_, seen) = watch::channel(Shown::default());
        let asked = Overview { health: Health::new(), seen };
        let ask = |pipeline: Option<&str>| {
            let pipeline = pipeline.map(str::to_owned);
            let wanted = Wanted { pipeline, ..Wanted::default() };
            asked.answer(&shown, &wanted, Timestamp::UNIX_EPOCH).map(|it| it.pipelines.len())
        };
        assert_eq!((ask(None), ask(Some("sales"))), (Ok(2), Ok(1)));
        assert!(ask(Some("suport")).unwrap_err().contains("did you mean `support`?"));
    }
}
