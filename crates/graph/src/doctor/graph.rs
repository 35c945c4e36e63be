//! The steps that Graph answers for: the directory first, then each mailbox.

use futures_util::{StreamExt as _, stream};
use mailbridge_core::Secret;
use reqwest::{Client, header::HeaderValue};

use super::{
    Finding, Needs, Observation, Step,
    access::{Access, Probe},
    claims::Claims,
    exchange::Exchange,
    is_personal,
    judge::{Seen, Tried},
    probe::{Answer, Graph},
    report::Chart,
};
use crate::config::Resolved;

/// Mailboxes that are tried at once. Each has its own limits at Graph.
const MAILBOXES_AT_ONCE: usize = 8;

/// Fills the steps that need a token.
pub(super) async fn examine(
    client: &Client,
    resolved: &Resolved,
    needs: &Needs,
    token: &Secret,
    chart: &mut Chart,
) {
    let Ok(mut authorization) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) else {
        chart.note(Observation::new(Finding::LoginNotMicrosoft));
        return;
    };
    authorization.set_sensitive(true);
    let graph = Graph { client, base: &resolved.graph, authorization };
    let directory = graph.ask(Probe::Users, "").await;
    if let Some(finding) = unusable(directory.access) {
        chart.note(Observation::new(finding).seen(directory.fields()));
        return;
    }
    chart.found(Step::Endpoint, "login and Graph answer as they should");
    let claims = Claims::of(token.expose());
    let claims = claims.as_ref();
    let tried = mailboxes(&graph, needs, chart).await;
    let client_id = resolved.app.as_ref().map(|app| app.client_id.as_str());
    let exchange = Exchange {
        client_id: client_id.or_else(|| claims?.app()),
        object_id: claims.and_then(|claims| claims.oid.as_deref()),
        graph: &resolved.graph,
    };
    let seen = Seen { needs, claims, directory: &directory, tried: &tried, exchange };
    seen.judge(chart);
}

async fn mailboxes(graph: &Graph<'_>, needs: &Needs, chart: &mut Chart) -> Vec<Tried> {
    let names = needs.mailboxes().iter().map(|mailbox| mailbox.as_str().to_owned());
    let (personal, others): (Vec<_>, Vec<_>) = names.partition(|name| is_personal(name));
    for name in personal {
        chart.note(Observation::new(Finding::MailboxPersonal).about(name));
    }
    let tries = others.into_iter().map(|mailbox| one(graph, needs, mailbox));
    stream::iter(tries).buffered(MAILBOXES_AT_ONCE).collect().await
}

/// Tries what is needed of one mailbox.
async fn one(graph: &Graph<'_>, needs: &Needs, mailbox: String) -> Tried {
    let mut answers = Vec::new();
    for permission in needs.permissions() {
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
