//! The sandbox inside this process, for connections with `cloud: sandbox`.
//!
//! One sandbox serves all of them. Such a connection enters as the sandbox's own app, whatever
//! tenant, client id and credential its file has: a real configuration can be rehearsed by changing
//! `cloud` alone, and no real secret is read for it. Every mailbox that the pipelines may use
//! exists.

use std::collections::BTreeSet;

use mailbridge_core::{Code, Error, Result, Secret, SecretSource};
use mailbridge_graph::{
    Connection, SandboxAccess,
    cloud::{Cloud, Named},
};
use mailbridge_sandbox::{
    DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Running, Sandbox, Tenant,
};

/// What stands for the sandbox while a configuration is checked and none runs.
pub fn stand_in() -> SandboxAccess {
    access("http://127.0.0.1:9")
}

/// Whether a connection goes to the sandbox.
pub fn goes_there(connection: &Connection) -> bool {
    matches!(connection.cloud, Cloud::Named(Named::Sandbox))
}

/// A seed of its own for each sandbox. Each is another world: had it the ids of an earlier one, a bus and
/// a cursor that remember that one would take its mails for told.
pub fn seed() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// Starts one on a free port, in which every mailbox of these domains exists.
pub async fn start(domains: BTreeSet<String>) -> Result<Running> {
    let tenant = domains.into_iter().fold(Tenant::demo(), Tenant::any_mailbox_of);
    Sandbox::builder().seed(seed()).tenant(tenant).start_local().await.map_err(|cause| {
        Error::transient(Code::Listen, "the sandbox cannot listen").with("cause", cause)
    })
}

/// The domains of the mailboxes that patterns such as `*@contoso.com` allow.
pub fn domains<'a>(patterns: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let domains = patterns.filter_map(|pattern| pattern.rsplit_once('@'));
    let named = domains.filter(|(_, domain)| !domain.contains('*'));
    named.map(|(_, domain)| domain.to_lowercase()).collect()
}

/// The connection as it enters a running sandbox.
pub fn enter(mut connection: Connection, running: &Running) -> (Connection, SandboxAccess) {
    connection.tenant = None;
    connection.tenants.clear();
    connection.client_id = None;
    connection.credential = None;
    connection.token_endpoint = None;
    (connection, access(&running.base_url()))
}

fn access(url: &str) -> SandboxAccess {
    SandboxAccess {
        login: url.to_owned(),
        graph: url.to_owned(),
        tenant: DEMO_TENANT_ID.to_owned(),
        client_id: DEMO_CLIENT_ID.to_owned(),
        client_secret: SecretSource::Literal(Secret::new(DEMO_CLIENT_SECRET)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_of_mailboxes_and_patterns() {
        let patterns = ["noreply@Contoso.com", "*@fabrikam.com", "*", "*@*.org", "a-guid"];
        let found = domains(patterns.into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["contoso.com", "fabrikam.com"]);
    }
}
