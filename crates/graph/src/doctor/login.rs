//! The login host, asked what it tells everybody: the tenant's discovery document.
//!
//! Only hints come of it: its clock, and which cloud the tenant is in. Whether the endpoint works
//! is decided by the token request itself, since a host of one's own may have no such document.

use std::time::Duration;

use reqwest::{Client, Method, Request, Url};
use serde::Deserialize;
use tokio::time::timeout;

use super::{Finding, report::Observation};
use crate::http::{self, Skew};

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A clock that is off by less is nobody's concern: `Date` itself is whole seconds old.
const CLOCK_OFF: Duration = Duration::from_mins(1);

/// What the login host says of the tenant.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Whether anything answered.
    pub(super) answered: bool,
    /// How far this machine's clock is off.
    pub(super) clock: Option<Skew>,
    /// The Graph host of the tenant's cloud.
    pub(super) graph_host: Option<String>,
}

/// A difference of clocks in words, when it matters.
pub(super) fn told(skew: Skew) -> Option<String> {
    let seconds = skew.seconds();
    let direction = if seconds > 0 { "ahead" } else { "behind" };
    let words = || format!("this machine is {} seconds {direction}", seconds.unsigned_abs());
    skew.exceeds(CLOCK_OFF).then(words)
}

/// Asks for the tenant's discovery document, without any credential.
pub(super) async fn hints(client: &Client, token_endpoint: &Url) -> Hints {
    timeout(PATIENCE, ask(client, token_endpoint)).await.ok().flatten().unwrap_or_default()
}

async fn ask(client: &Client, token_endpoint: &Url) -> Option<Hints> {
    #[derive(Deserialize)]
    struct Document {
        msgraph_host: Option<String>,
    }
    let tenant = token_endpoint.as_str().strip_suffix("/oauth2/v2.0/token")?;
    let url = Url::parse(&format!("{tenant}/v2.0/.well-known/openid-configuration")).ok()?;
    let mut response = client.execute(Request::new(Method::GET, url)).await.ok()?;
    let clock = Skew::of(response.headers());
    let body = http::body(&mut response, ANSWER_BYTES_MAX).await.ok();
    let document = body.and_then(|body| serde_json::from_slice::<Document>(&body).ok());
    let graph_host = document.and_then(|document| document.msgraph_host);
    let graph_host = graph_host.map(|host| http::printable(&host));
    Some(Hints { answered: true, clock, graph_host })
}

/// The finding that the connection's Graph host is another cloud's than the tenant. Hosts of one's
/// own are not compared: only Microsoft's are known to exclude each other.
pub(super) fn cloud(hints: &Hints, graph: &str) -> Option<Observation> {
    let ours = Url::parse(graph).ok()?.host_str()?.to_ascii_lowercase();
    let theirs = hints.graph_host.as_deref()?.to_ascii_lowercase();
    let known = |host: &str| crate::cloud::graph_hosts().any(|known| known == host);
    (known(&ours) && known(&theirs) && ours != theirs).then(|| {
        let seen = format!("the tenant's Graph is {theirs}, the connection's is {ours}");
        Observation::new(Finding::CloudWrong).detail("hosts", seen)
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_clock_is_told_of_when_it_is_off_by_a_minute() {
        let now = SystemTime::now();
        let told = |there| told(Skew::between(now, there));
        assert_eq!(told(now), None);
        let minutes = Duration::from_mins(10);
        assert_eq!(told(now + minutes).unwrap(), "this machine is 600 seconds behind");
        assert_eq!(told(now - minutes).unwrap(), "this machine is 600 seconds ahead");
    }

    #[test]
    fn a_tenant_in_another_cloud_is_told_and_hosts_of_ones_own_are_not() {
        let of = |theirs: &str, ours: &str| {
            let hints = Hints { graph_host: Some(theirs.to_owned()), ..Hints::default() };
            cloud(&hints, ours).map(|observation| observation.id)
        };
        let global = "https://graph.microsoft.com/v1.0";
        assert_eq!(of("graph.microsoft.us", global), Some(Finding::CloudWrong));
        assert_eq!(of("graph.microsoft.com", global), None);
        assert_eq!(of("graph.microsoft.us", "http://127.0.0.1:1/v1.0"), None);
        assert_eq!(of("graph.example", global), None);
    }
}
