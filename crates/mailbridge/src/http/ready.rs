//! `/readyz`: 200 while every pipeline does its work, else 503, and why.
//!
//! A tenant that is blocked while others of its connection are not makes nothing red, because a
//! pipeline goes on with the others; it is told beside them.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use mailbridge_core::Code;
use mailbridge_engine::health::{self, Health, PipelineHealth};
use mailbridge_graph::Trouble;
use serde::Serialize;

use crate::run::seen::Seen;

/// Who is asked. Cheap to clone.
#[derive(Clone)]
pub struct Witnesses {
    /// The pipelines.
    pub health: Health,
    /// The connections.
    pub seen: Seen,
}

/// What `/readyz` answers.
#[derive(Serialize)]
pub struct Answer {
    ready: bool,
    pipelines: Vec<Pipeline>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tenants_blocked: Vec<Blocked>,
}

/// A tenant, one of several of its connection, that does not let us in.
#[derive(Serialize)]
struct Blocked {
    connection: String,
    tenant: String,
    since: Timestamp,
    #[serde(flatten)]
    fault: Fault,
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

/// What is wrong, and what helps.
#[derive(Serialize)]
struct Fault {
    code: &'static str,
    reason: String,
    cure: &'static str,
}

/// Answers.
pub async fn ready(State(asked): State<Witnesses>) -> (StatusCode, Json<Answer>) {
    let shown = asked.seen.borrow();
    let troubles = shown.connections.iter();
    let troubles = troubles.map(|(name, tenants)| (name.as_str(), tenants.troubles())).collect();
    let answer = answer(asked.health.snapshot(), troubles);
    drop(shown);
    let status = if answer.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(answer))
}

fn answer(pipelines: Vec<PipelineHealth>, troubles: Vec<(&str, Vec<Trouble>)>) -> Answer {
    // Before the pipelines are known nothing is ready yet.
    let known = !pipelines.is_empty();
    Answer {
        ready: known && pipelines.iter().all(|pipeline| pipeline.state.is_ready()),
        pipelines: pipelines.into_iter().map(Pipeline::from).collect(),
        tenants_blocked: troubles.into_iter().flat_map(tenants).collect(),
    }
}

fn tenants((connection, troubles): (&str, Vec<Trouble>)) -> impl Iterator<Item = Blocked> {
    troubles.into_iter().map(move |Trouble { tenant, since, error }| Blocked {
        connection: connection.to_owned(),
        tenant,
        since,
        fault: Fault::new(error.code(), error.to_string()),
    })
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
    use mailbridge_core::Error;
    use serde_json::json;

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
        let answer = serde_json::to_value(answer(all, Vec::new())).unwrap();
        assert_eq!(answer["ready"], false);
        assert_eq!(answer["pipelines"][0]["state"], "ready");
        assert!(answer["pipelines"][0].get("code").is_none());
        assert_eq!(answer["pipelines"][1]["code"], "credential_secret_expired");
        assert_eq!(answer["pipelines"][1]["cure"], Code::CredentialSecretExpired.cure());
        assert_eq!(answer["pipelines"][1]["since"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_pipeline_that_has_ended_is_not_at_fault() {
        let ready = |pipelines| super::answer(pipelines, Vec::new()).ready;
        assert!(ready(vec![pipeline("a", health::State::Done)]));
        assert!(!ready(vec![pipeline("a", health::State::Starting)]));
        assert!(!ready(Vec::new()));
    }

    #[test]
    fn a_tenant_that_is_blocked_is_told_and_makes_nothing_red() {
        let error = Error::blocked(Code::CredentialAppNotFound, "no such app (aadsts: 700016)");
        let tenant = "fabrikam.com".to_owned();
        let trouble = Trouble { tenant, since: Timestamp::UNIX_EPOCH, error };
        let pipelines = vec![pipeline("a", health::State::Ready)];
        let answer = super::answer(pipelines, vec![("everyone", vec![trouble]), ("b", vec![])]);
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["ready"], true);
        let told = json!([{
            "connection": "everyone", "tenant": "fabrikam.com", "since": "1970-01-01T00:00:00Z",
            "code": "credential_app_not_found", "reason": "no such app (aadsts: 700016)",
            "cure": Code::CredentialAppNotFound.cure(),
        }]);
        assert_eq!(answer["tenants_blocked"], told);
    }
}
