//! The steps that the login service answers for: the app, the credential, the endpoint.
//!
//! Each credential is tried by itself, also where two stand side by side and one of them works.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Result, Secret};
use reqwest::Client;
use tokio::time::timeout;

use super::{
    Finding, Observation, Step,
    login::{self, Hints},
    refusal::{self, Asked},
    report::Chart,
};
use crate::{
    config::{Credential, Kind, Resolved},
    credential::{self, Labelled},
};

/// A token request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(15);

const KNOWN: &str = "the tenant knows the app, and it may sign in";
const ASSIGNED: &str = "this machine has the identity";
const ANSWERS: &str = "the login host answers, and knows the tenant";

/// A connection in one tenant.
pub(super) struct Patient<'a> {
    pub(super) client: &'a Client,
    pub(super) resolved: &'a Resolved,
    /// The app is used in several tenants.
    pub(super) multi_tenant: bool,
}

/// A credential, tried.
struct Tried<'a> {
    label: String,
    credential: &'a Credential,
    /// When it ends, as far as that is known here.
    ends: Option<Timestamp>,
    token: Result<Secret>,
}

impl Patient<'_> {
    /// Fills the steps, and gives a token if there is one.
    pub(super) async fn examine(&self, chart: &mut Chart) -> Option<Secret> {
        let hints = match &self.resolved.app {
            Some(app) => login::hints(self.client, &app.token_endpoint).await,
            None => Hints { answered: true, ..Hints::default() },
        };
        let mut tried = Vec::new();
        for labelled in credential::labelled(self.resolved) {
            tried.push(self.try_it(labelled).await);
        }
        self.endpoint(&hints, chart);
        let works = tried.iter().any(|it| it.token.is_ok());
        if works {
            let app = self.resolved.app.is_some();
            chart.found(Step::Register, if app { KNOWN } else { ASSIGNED });
            chart.found(Step::Credential, right(&tried));
        }
        for it in &tried {
            match &it.token {
                Ok(_) => expiring(it, chart),
                Err(error) => self.refused(it, error, works, &hints, chart),
            }
        }
        tried.into_iter().find_map(|it| it.token.ok())
    }

    async fn try_it<'c>(&self, labelled: Labelled<'c>) -> Tried<'c> {
        let Labelled { label, credential } = labelled;
        let (ends, token) = match credential::inspect(credential).await {
            Ok(ends) => (ends, self.issue(credential).await),
            Err(error) => (None, Err(error)),
        };
        Tried { label, credential, ends, token }
    }

    async fn issue(&self, credential: &Credential) -> Result<Secret> {
        let issuer = credential::one(self.client, self.resolved, credential)?;
        let token = timeout(PATIENCE, issuer.issue(None)).await.unwrap_or_else(|_| {
            let detail = "the login service did not give a token in time";
            Err(Error::blocked(Code::LoginUnreachable, detail).with("cause", "no answer in time"))
        });
        token.map(|token| token.access_token)
    }

    /// One refusal. It is bearable when another credential works.
    fn refused(
        &self,
        tried: &Tried<'_>,
        error: &Error,
        bearable: bool,
        hints: &Hints,
        chart: &mut Chart,
    ) {
        let finding = refusal::finding(error, self.asked(tried));
        let mut observation = Observation::new(finding).seen(error.fields());
        if finding.step() == Step::Credential {
            observation = observation.about(&tried.label);
        }
        if finding == Finding::ClockWrong
            && let Some(skew) = hints.clock.and_then(login::told)
        {
            observation = observation.detail("clock", skew);
        }
        if matches!(finding, Finding::AppNotInTenant | Finding::ConsentMissing)
            && let Some(link) = self.consent_link()
        {
            observation = observation.detail("link", link);
        }
        if bearable {
            chart.note(observation.bearable());
            return;
        }
        chart.note(observation);
        for step in refusal::proves(finding) {
            chart.found(*step, if *step == Step::Register { KNOWN } else { ANSWERS });
        }
        if refusal::is_local(finding) && !hints.answered {
            chart.note(Observation::new(Finding::LoginUnreachable));
        }
    }

    fn asked(&self, tried: &Tried<'_>) -> Asked {
        Asked {
            multi_tenant: self.multi_tenant,
            federated: matches!(tried.credential.kind, Kind::FederatedToken(_)),
            machine: matches!(tried.credential.kind, Kind::ManagedIdentity(_)),
        }
    }

    /// Where an administrator of the tenant consents (learn.microsoft.com, entra
    /// v2-admin-consent).
    fn consent_link(&self) -> Option<String> {
        let app = self.resolved.app.as_ref()?;
        let tenant = app.token_endpoint.as_str().strip_suffix("/oauth2/v2.0/token")?;
        Some(format!("{tenant}/adminconsent?client_id={}", app.client_id))
    }

    /// What the login host says to everybody.
    fn endpoint(&self, hints: &Hints, chart: &mut Chart) {
        if hints.graph_host.is_some() {
            chart.found(Step::Endpoint, ANSWERS);
        }
        if let Some(observation) = login::cloud(hints, &self.resolved.graph) {
            chart.note(observation);
        }
        if let Some(skew) = hints.clock.and_then(login::told) {
            chart.note(Observation::new(Finding::ClockOff).detail("clock", skew));
        }
    }
}

/// The credentials that work, and until when.
fn right(tried: &[Tried<'_>]) -> String {
    let good: Vec<_> = tried
        .iter()
        .filter(|it| it.token.is_ok())
        .map(|it| match it.ends {
            Some(ends) => format!("{} is right, until {}", it.label, day(ends)),
            None => format!("{} is right", it.label),
        })
        .collect();
    good.join("; ")
}

fn expiring(tried: &Tried<'_>, chart: &mut Chart) {
    let soon = Timestamp::now().saturating_add(credential::SOON).unwrap_or(Timestamp::MAX);
    if let Some(ends) = tried.ends.filter(|ends| *ends < soon) {
        let observation = Observation::new(Finding::CredentialExpiring).about(&tried.label);
        chart.note(observation.detail("ends", day(ends)));
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
