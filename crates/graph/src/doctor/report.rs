//! What the doctor says of a connection: its shape for programs, in which everything is told that
//! is shown to people. Stable: fields are added, never renamed.
//!
//! Nothing here can hold a secret or a token: observations are made of words from the table and of
//! ids.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Finding, Severity, Step};

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and something should be changed.
    Warning,
    /// It does not work.
    Failed,
    /// It cannot be seen before another step is cured.
    NotReached,
}

/// One connection, examined.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Examination {
    /// Its name.
    pub connection: String,
    /// The tenant, as the connection names it; a connection may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The app's client id; absent when nothing was asked, and for a managed identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Where its token comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// The Graph host, with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// The six steps, in their order.
    pub steps: Vec<StepReport>,
}

impl Examination {
    /// Whether a step failed.
    pub fn failed(&self) -> bool {
        self.steps.iter().any(|step| step.status == Status::Failed)
    }
}

/// One step of a connection.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StepReport {
    /// 1 to 6.
    pub number: usize,
    /// Which.
    pub step: Step,
    /// How it stands.
    pub status: Status,
    /// What was found good, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// For a step that was not reached: the step to cure first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because_of: Option<Step>,
    /// What was found wrong.
    pub findings: Vec<Observation>,
}

/// A finding, where it was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Observation {
    /// Which, from the table.
    pub id: Finding,
    /// How bad it is here: a credential that fails is a warning when another one works.
    pub severity: Severity,
    /// The mailbox, credential, permission or key that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What it means.
    pub means: String,
    /// What to do about it.
    pub cure: String,
    /// What the service said: an AADSTS number or a Graph code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// More of what was seen, such as the HTTP status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// What Microsoft's support asks for: `trace_id`, `correlation_id`, `request-id`,
    /// `client-request-id`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ids: BTreeMap<String, String>,
    /// PowerShell that cures it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// Names of fields that go among the ids.
const IDS: [&str; 4] = ["trace_id", "correlation_id", "request-id", "client-request-id"];
/// Names of fields that say what the service answered.
const CODES: [&str; 2] = ["aadsts", "graph_code"];

impl Observation {
    /// A finding by itself.
    pub fn new(id: Finding) -> Self {
        Self {
            id,
            severity: id.severity(),
            about: None,
            means: id.means().to_owned(),
            cure: id.cure().to_owned(),
            code: None,
            details: BTreeMap::new(),
            ids: BTreeMap::new(),
            commands: Vec::new(),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// What was seen: a failure's fields, which hold no secret.
    #[must_use]
    pub fn seen<'a, 'b>(mut self, fields: impl Iterator<Item = (&'a str, &'b str)>) -> Self {
        for (name, value) in fields {
            if IDS.contains(&name) {
                self.ids.insert(name.to_owned(), value.to_owned());
            } else if CODES.contains(&name) {
                self.code = Some(value.to_owned());
            } else {
                self.details.insert(name.to_owned(), value.to_owned());
            }
        }
        self
    }

    /// More of what was seen.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The commands that cure it.
    #[must_use]
    pub fn commands(mut self, commands: Vec<String>) -> Self {
        self.commands = commands;
        self
    }

    /// No more than a warning, because something else makes up for it.
    #[must_use]
    pub fn bearable(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// The steps of one connection while it is examined.
#[derive(Default)]
pub(super) struct Chart {
    found: BTreeMap<Step, String>,
    findings: Vec<Observation>,
}

impl Chart {
    /// A step was seen to be right, as far as that goes.
    pub(super) fn found(&mut self, step: Step, what: impl Into<String>) {
        self.found.insert(step, what.into());
    }

    /// Something is wrong.
    pub(super) fn note(&mut self, observation: Observation) {
        self.findings.push(observation);
    }

    /// All six steps. Those of which nothing was seen wait for the first one that failed.
    pub(super) fn finish(mut self) -> Vec<StepReport> {
        let failed = self
            .findings
            .iter()
            .filter(|it| it.severity == Severity::Failed)
            .map(|it| it.id.step());
        let first = failed.min();
        Step::ALL.map(|step| self.step(step, first)).into()
    }

    fn step(&mut self, step: Step, first_failed: Option<Step>) -> StepReport {
        let findings: Vec<_> =
            self.findings.extract_if(.., |finding| finding.id.step() == step).collect();
        let found = self.found.remove(&step);
        let status = match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Failed) => Status::Failed,
            Some(Severity::Warning) => Status::Warning,
            None if found.is_some() => Status::Ok,
            None => Status::NotReached,
        };
        let because_of = first_failed.filter(|_| status == Status::NotReached);
        StepReport { number: step.number(), step, status, found, because_of, findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_listed_and_what_was_not_seen_waits_for_what_failed() {
        let mut chart = Chart::default();
        chart.found(Step::Register, "found");
        chart.note(Observation::new(Finding::CredentialExpiring));
        chart.note(Observation::new(Finding::SecretExpired));
        chart.note(Observation::new(Finding::ClockOff));
        let steps = chart.finish();
        let all: Vec<_> = steps.iter().map(|step| (step.number, step.status)).collect();
        let waits = Status::NotReached;
        assert_eq!(
            all,
            [
                (1, Status::Ok),
                (2, waits),
                (3, waits),
                (4, Status::Failed),
                (5, Status::Warning),
                (6, waits)
            ]
        );
        assert_eq!(steps[1].because_of, Some(Step::Credential));
        assert_eq!(steps[3].because_of, None);
    }

    #[test]
    fn fields_find_their_place() {
        let fields = [("aadsts", "AADSTS1"), ("trace_id", "t"), ("status", "401")];
        let seen = Observation::new(Finding::SecretWrong).seen(fields.into_iter());
        assert_eq!(seen.code.as_deref(), Some("AADSTS1"));
        assert_eq!(seen.ids["trace_id"], "t");
        assert_eq!(seen.details["status"], "401");
    }
}
