//! The doctor: walks the six steps of setting an app up, against the live service, and says for
//! each what was found and what cures it.
//!
//! An app-only token is all it has, so it finds out by asking: the token request names most
//! mistakes by its AADSTS number ([`refusal`]), Graph's answers to requests that change nothing
//! tell the rest ([`probe`], [`access`], [`judge`]). The roles in the token are a hint and never a
//! verdict: what Exchange grants (RBAC for Applications) does not show there.
//!
//! It changes nothing, sends nothing, keeps nothing, and knows no terminal: whoever calls it shows
//! the [`Examination`].

mod access;
mod claims;
mod exchange;
mod finding;
mod judge;
mod login;
mod needs;
mod offline;
mod probe;
mod refusal;
mod report;
mod step;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mailbridge_core::{Code, Error, Result, Secret};
use reqwest::{Client, header::HeaderValue};
use tokio::time::timeout;

use crate::{
    config::{Connection, Resolved},
    credential, http,
    token::{Endpoint, Issuer as _},
};
use access::{Access, Probe};
use claims::Claims;
use exchange::Exchange;
use judge::{Seen, Tried};
use login::Hints;
pub(crate) use offline::is_personal;
use offline::mistakes;
use probe::{Answer, Graph};
use refusal::Asked;
use report::Chart;

pub use finding::{Finding, Severity, table};
pub use needs::{Needs, Permission};
pub use report::{Examination, Observation, Status, StepReport};
pub use step::Step;

/// A token request that takes longer has failed.
const TOKEN_PATIENCE: Duration = Duration::from_secs(15);
/// Mailboxes that are tried at once. Each has its own limits at Graph.
const MAILBOXES_AT_ONCE: usize = 8;

const KNOWN: &str = "the tenant knows the app, and it may sign in";
const ANSWERS: &str = "the login host answers, and knows the tenant";

/// Walks the six steps for one connection. Takes as long as the service takes: seconds, a minute
/// when nothing answers.
///
/// # Errors
/// Only when this machine cannot do TLS. Whatever else is wrong is in the examination.
pub async fn examine(name: &str, resolved: Resolved, needs: &Needs) -> Result<Examination> {
    let client = http::client()?;
    let mut chart = Chart::default();
    let hints = login::hints(&client, &resolved.token_endpoint).await;
    let patient = Patient { client, resolved, needs, hints };
    if let Some(token) = patient.token(&mut chart).await {
        patient.graph(&token, &mut chart).await;
    }
    let Resolved { client_id, token_endpoint, graph, .. } = patient.resolved;
    Ok(Examination {
        connection: name.to_owned(),
        app: Some(client_id),
        token_endpoint: Some(token_endpoint.to_string()),
        graph: Some(graph),
        steps: chart.finish(),
    })
}

/// The same for a connection that the configuration's own check has refused: nothing is asked.
pub fn examine_written(name: &str, connection: &Connection) -> Examination {
    let mut chart = Chart::default();
    mistakes(connection).into_iter().map(Observation::new).for_each(|it| chart.note(it));
    let connection = name.to_owned();
    let (app, token_endpoint, graph) = (None, None, None);
    Examination { connection, app, token_endpoint, graph, steps: chart.finish() }
}

/// A connection under examination.
struct Patient<'a> {
    client: Client,
    resolved: Resolved,
    needs: &'a Needs,
    hints: Hints,
}

impl Patient<'_> {
    /// Steps 1, 4 and most of 5: a token, by each of the credentials.
    async fn token(&self, chart: &mut Chart) -> Option<Secret> {
        let mut token = None;
        let mut refusals = Vec::new();
        match self.issue().await {
            Ok(issued) => token = Some(issued),
            Err(error) => refusals.push(error),
        }
        self.endpoint(chart);
        if token.is_some() {
            chart.found(Step::Register, KNOWN);
            chart.found(Step::Credential, "it is right");
        }
        for error in &refusals {
            self.refused(error, token.is_some(), chart);
        }
        token
    }

    /// One refusal. It is bearable when another credential works.
    fn refused(&self, error: &Error, bearable: bool, chart: &mut Chart) {
        let finding = refusal::finding(error, self.asked());
        let mut observation = Observation::new(finding).seen(error.fields());
        if finding == Finding::ClockWrong
            && let Some(skew) = self.hints.clock.and_then(login::Skew::told)
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
        if refusal::is_local(finding) && !self.hints.answered {
            chart.note(Observation::new(Finding::LoginUnreachable));
        }
    }

    /// Where an administrator of the tenant consents (learn.microsoft.com, entra
    /// v2-admin-consent).
    fn consent_link(&self) -> Option<String> {
        let tenant = self.resolved.token_endpoint.as_str().strip_suffix("/oauth2/v2.0/token")?;
        Some(format!("{tenant}/adminconsent?client_id={}", self.resolved.client_id))
    }

    async fn issue(&self) -> Result<Secret> {
        let endpoint = Endpoint {
            client: self.client.clone(),
            url: self.resolved.token_endpoint.clone(),
            client_id: self.resolved.client_id.clone(),
            scope: self.resolved.scope.clone(),
            credential: credential::of(self.resolved.credential.clone()),
        };
        let issued = timeout(TOKEN_PATIENCE, endpoint.issue(None)).await.unwrap_or_else(|_| {
            let detail = "the login service did not give a token in time";
            Err(Error::blocked(Code::LoginUnreachable, detail).with("cause", "no answer in time"))
        });
        issued.map(|issued| issued.access_token)
    }

    fn asked(&self) -> Asked {
        let tenant = self.resolved.token_endpoint.path_segments().and_then(|mut path| path.next());
        let client_id_is_tenant =
            tenant.is_some_and(|tenant| tenant.eq_ignore_ascii_case(&self.resolved.client_id));
        Asked { client_id_is_tenant, ..Asked::default() }
    }

    /// What the login host says to everybody.
    fn endpoint(&self, chart: &mut Chart) {
        if self.hints.graph_host.is_some() {
            chart.found(Step::Endpoint, ANSWERS);
        }
        if let Some(observation) = login::cloud(&self.hints, &self.resolved.graph) {
            chart.note(observation);
        }
        if let Some(skew) = self.hints.clock.and_then(login::Skew::told) {
            chart.note(Observation::new(Finding::ClockOff).detail("clock", skew));
        }
    }

    /// The steps that Graph answers for.
    async fn graph(&self, token: &Secret, chart: &mut Chart) {
        let Ok(mut authorization) = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        else {
            chart.note(Observation::new(Finding::LoginNotMicrosoft));
            return;
        };
        authorization.set_sensitive(true);
        let graph = Graph { client: &self.client, base: &self.resolved.graph, authorization };
        let directory = graph.ask(Probe::Users, "").await;
        if let Some(finding) = unusable(directory.access) {
            chart.note(Observation::new(finding).seen(fields(&directory)));
            return;
        }
        chart.found(Step::Endpoint, "login and Graph answer as they should");
        let claims = Claims::of(token.expose());
        let tried = self.mailboxes(&graph, chart).await;
        let exchange = Exchange {
            client_id: &self.resolved.client_id,
            object_id: claims.as_ref().and_then(|claims| claims.oid.as_deref()),
            graph: &self.resolved.graph,
        };
        let (needs, claims) = (self.needs, claims.as_ref());
        let seen = Seen { needs, claims, directory: &directory, tried: &tried, exchange };
        seen.judge(chart);
    }

    async fn mailboxes(&self, graph: &Graph<'_>, chart: &mut Chart) -> Vec<Tried> {
        let names = self.needs.mailboxes().iter().map(|mailbox| mailbox.as_str().to_owned());
        let (personal, others): (Vec<_>, Vec<_>) = names.partition(|name| offline::is_personal(name));
        for name in personal {
            chart.note(Observation::new(Finding::MailboxPersonal).about(name));
        }
        let tries = others.into_iter().map(|mailbox| self.mailbox(graph, mailbox));
        stream::iter(tries).buffered(MAILBOXES_AT_ONCE).collect().await
    }

    /// Tries what is needed of one mailbox.
    async fn mailbox(&self, graph: &Graph<'_>, mailbox: String) -> Tried {
        let mut answers = Vec::new();
        for permission in self.needs.permissions() {
            let mut last: Option<Answer> = None;
            for probe in Probe::of(*permission) {
                let answer = graph.ask(*probe, &mailbox).await;
                let denied = answer.access != Access::Granted;
                last = Some(answer);
                if denied {
                    break;
                }
            }
            answers.extend(last.map(|answer| (*permission, answer)));
        }
        Tried { mailbox, answers }
    }
}

/// What makes every other answer of Graph's worthless.
fn unusable(access: Access) -> Option<Finding> {
    match access {
        Access::Unreachable => Some(Finding::GraphUnreachable),
        Access::NotGraph => Some(Finding::GraphNotMicrosoft),
        Access::TokenRefused => Some(Finding::GraphRefusesToken),
        Access::Granted
        | Access::Denied
        | Access::NoUser
        | Access::NoMailbox
        | Access::Unproven => None,
    }
}

fn fields(answer: &Answer) -> impl Iterator<Item = (&str, &str)> {
    answer.fields.iter().map(|(name, value)| (*name, value.as_str()))
}
