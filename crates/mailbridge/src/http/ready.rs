//! `/readyz`: 200 while every pipeline does its work, else 503, and why.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use mailbridge_core::Code;
use mailbridge_engine::health::{self, Health, PipelineHealth};
use serde::Serialize;

/// What `/readyz` answers.
#[derive(Serialize)]
pub struct Answer {
    ready: bool,
    pipelines: Vec<Pipeline>,
}

#[derive(Serialize)]
struct Pipeline {
    #[serde(rename = "pipeline")]
    name: String,
    state: &'static str,
    since: Timestamp,
    #[serde(flatten)]
    fault: Option<Fault>,
}

/// Why a pipeline does not do its work, and what helps.
#[derive(Serialize)]
struct Fault {
    code: &'static str,
    reason: String,
    cure: &'static str,
}

/// Answers.
pub async fn ready(State(health): State<Health>) -> (StatusCode, Json<Answer>) {
    let answer = answer(health.snapshot());
    let status = if answer.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(answer))
}

fn answer(pipelines: Vec<PipelineHealth>) -> Answer {
    // Before the pipelines are known nothing is ready yet.
    let known = !pipelines.is_empty();
    Answer {
        ready: known && pipelines.iter().all(|pipeline| pipeline.state.is_ready()),
        pipelines: pipelines.into_iter().map(Pipeline::from).collect(),
    }
}

impl From<PipelineHealth> for Pipeline {
    fn from(health: PipelineHealth) -> Self {
        let PipelineHealth { pipeline: name, state, since } = health;
        let word = state.as_str();
        let fault = match state {
            health::State::Held { code, reason } | health::State::Disconnected { code, reason } => {
                Some(Fault::new(code, reason))
            }
            health::State::Starting
            | health::State::Ready
            | health::State::Draining
            | health::State::Done => None,
        };
        Self { name, state: word, since, fault }
    }
}

impl Fault {
    fn new(code: Code, reason: String) -> Self {
        Self { code: code.as_str(), reason, cure: code.cure() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(name: &str, state: health::State) -> PipelineHealth {
        PipelineHealth { pipeline: name.to_owned(), state, since: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn one_held_pipeline_makes_it_red_and_says_why_and_what_helps() {
        let held = health::State::Held {
            code: Code::CredentialSecretExpired,
            reason: "the client secret has expired (aadsts: 7000222)".to_owned(),
        };
        let all = vec![pipeline("a", health::State::Ready), pipeline("b", held)];
        let answer = serde_json::to_value(answer(all)).unwrap();
        assert_eq!(answer["ready"], false);
        assert_eq!(answer["pipelines"][0]["state"], "ready");
        assert!(answer["pipelines"][0].get("code").is_none());
        assert_eq!(answer["pipelines"][1]["code"], "credential_secret_expired");
        assert_eq!(answer["pipelines"][1]["cure"], Code::CredentialSecretExpired.cure());
        assert_eq!(answer["pipelines"][1]["since"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_pipeline_that_has_ended_is_not_at_fault() {
        assert!(super::answer(vec![pipeline("a", health::State::Done)]).ready);
        assert!(!super::answer(vec![pipeline("a", health::State::Starting)]).ready);
        assert!(!super::answer(Vec::new()).ready);
    }
}
