//! The doctor: walks the six steps of setting an app up, against the live service, and says for
//! each what was found and what cures it.
//!
//! An app-only token is all it has, so it finds out by asking: the token request names most
//! mistakes by its AADSTS number ([`sign_in`], [`refusal`]), Graph's answers to requests that
//! change nothing tell the rest ([`graph`], [`probe`], [`access`], [`judge`]). The roles in the
//! token are a hint and never a verdict: what Exchange grants (RBAC for Applications) does not show
//! there.
//!
//! It changes nothing, sends nothing, keeps nothing, and knows no terminal: whoever calls it shows
//! the [`Examination`].

mod access;
mod claims;
mod exchange;
mod finding;
mod graph;
mod judge;
mod login;
mod needs;
mod offline;
mod probe;
mod refusal;
mod report;
mod sign_in;
mod step;

use mailbridge_core::Result;

use crate::{
    config::{Connection, Tenancy},
    http,
};
use report::Chart;

use crate::config::is_personal;
pub use finding::{Finding, Severity, table};
pub use needs::{Needs, Permission};
pub use report::{Examination, Observation, Status, StepReport};
pub use step::Step;

/// Walks the six steps for one connection in one of its tenants. Takes as long as the service
/// takes: seconds, a minute when nothing answers.
///
/// # Errors
/// Only when this machine cannot do TLS. Whatever else is wrong is in the examination.
pub async fn examine(name: &str, tenancy: Tenancy, needs: &Needs) -> Result<Examination> {
    let client = http::client()?;
    let Tenancy { tenant, mailboxes, resolved } = tenancy;
    let needs = needs.within(&mailboxes);
    let mut chart = Chart::default();
    // a connection with one tenant has all mailboxes in it
    let multi_tenant = mailboxes.iter().all(|pattern| pattern != "*");
    let patient = sign_in::Patient { client: &client, resolved: &resolved, multi_tenant };
    if let Some(token) = patient.examine(&mut chart).await {
        graph::examine(&client, &resolved, &needs, &token, &mut chart).await;
    }
    let app = resolved.app;
    Ok(Examination {
        connection: name.to_owned(),
        tenant,
        token_endpoint: app.as_ref().map(|app| app.token_endpoint.to_string()),
        app: app.map(|app| app.client_id),
        graph: Some(resolved.graph),
        steps: chart.finish(),
    })
}

/// The same for a connection that the configuration's own check has refused: nothing is asked.
pub fn examine_written(name: &str, connection: &Connection) -> Examination {
    let mut chart = Chart::default();
    offline::mistakes(connection).into_iter().map(Observation::new).for_each(|it| chart.note(it));
    let (connection, tenant) = (name.to_owned(), connection.tenant.clone());
    let (app, token_endpoint, graph) = (None, None, None);
    Examination { connection, tenant, app, token_endpoint, graph, steps: chart.finish() }
}
