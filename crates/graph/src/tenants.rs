//! One app in several tenants, behind the ports [`Mail`] and, in `changes`, [`Changes`]: each mailbox
//! goes to the Graph of its own tenant, with that tenant's token. Which tenant a mailbox is in is
//! written in the configuration; nothing is asked to find out.
//!
//! A block (no token, no consent, nothing granted) is first of all one tenant's: its mailboxes are
//! closed, each by itself, and the others go on. How long for is kept by the tenant's [`Gate`], so
//! that a tenant with a thousand mailboxes is tried by one mail at a time and not by a thousand.
//!
//! A block of all tenants at once is the connection's: it is passed on as such, and the engine
//! holds the stream. So a cause that all tenants share, such as an expired secret, closes one after
//! the other as their tokens run out (until then mail goes out), and the last one holds the stream.
//! While it is held the gates let everything through: the engine sends one delivery at a time, and
//! its pauses are the only ones. It asks [`Mail::ready`] before each; that is true when one tenant
//! has a token, and a tenant whose block showed in its answer opens when the answer changes.
//!
//! Deliveries for a closed tenant wait on the bus like those of a throttled mailbox: a bus that
//! bounds how many may wait hands out nothing new beyond that, whoever it is for.

mod changes;
mod gate;
mod reports;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use mailbridge_core::{
    Attempt, Changes, Code, Completion, Error, Mail, Mailbox, Reports, Result, Scope,
    Subscriptions, Verdict,
};
use tokio::time::Instant;

pub use self::gate::Trouble;
use self::gate::{Gate, blocks};
use crate::{Graph, Options, config::Tenancy};

/// A connection in all its tenants. One that has a single tenant behaves as a [`Graph`].
pub struct Tenants(Vec<Tenant>);

struct Tenant {
    /// Patterns of the mailboxes in it.
    mailboxes: Vec<String>,
    graph: Arc<dyn Service>,
    gate: Gate,
}

/// All that a tenant's Graph does for us.
trait Service: Mail + Changes + Subscriptions {}

impl<T: Mail + Changes + Subscriptions> Service for T {}

/// A tenant that may be asked, and since when it is being asked where that is of interest.
struct Entry<'a> {
    tenant: &'a Tenant,
    begun: Option<Instant>,
}

impl Tenants {
    /// Opens a connection in all its tenants; `name` is what logs and metrics call it.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub fn open(name: &str, tenancies: Vec<Tenancy>, options: Options) -> Result<Self> {
        let several = tenancies.len() > 1;
        let tenant = |Tenancy { tenant, mailboxes, resolved }| {
            let gate = Gate::new(name, tenant.unwrap_or_default());
            if several {
                gate.measure();
            }
            Ok(Tenant { mailboxes, graph: Arc::new(Graph::new(name, resolved, options)?), gate })
        };
        tenancies.into_iter().map(tenant).collect::<Result<_>>().map(Self)
    }

    /// The tenants that are blocked, while others may not be. Empty for a connection with one: the
    /// engine tells of that.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.0.iter().filter_map(|tenant| tenant.gate.trouble()).collect()
    }

    /// The only one, if it is.
    fn single(&self) -> Option<&Tenant> {
        if let [tenant] = self.0.as_slice() { Some(tenant) } else { None }
    }

    fn all_blocked(&self) -> bool {
        self.0.iter().all(|tenant| tenant.gate.is_blocked())
    }

    fn of(&self, mailbox: &Mailbox) -> Result<&Tenant> {
        self.0.iter().find(|tenant| tenant.has(mailbox)).ok_or_else(|| {
            let code = Code::RequestMailboxNoTenant;
            Error::permanent(code, code.meaning()).with("key", "tenants")
        })
    }

    /// The tenant of a mailbox, if it is open.
    fn enter(&self, mailbox: &Mailbox) -> Result<Entry<'_>> {
        let tenant = self.of(mailbox)?;
        if self.single().is_some() {
            return Ok(Entry { tenant, begun: None });
        }
        let begun = Instant::now();
        if !self.all_blocked()
            && let Some(error) = tenant.gate.shut(begun)
        {
            return Err(self.narrowed(tenant, error));
        }
        Ok(Entry { tenant, begun: Some(begun) })
    }

    /// Notes what became of it, and tells it as it concerns the connection.
    fn leave<T>(&self, entry: &Entry<'_>, result: Result<T>) -> Result<T> {
        let Some(begun) = entry.begun else { return result };
        entry.tenant.gate.tried(begun, &result);
        result.map_err(|error| self.narrowed(entry.tenant, error))
    }

    /// A failure of a tenant, as it concerns the connection.
    fn narrowed(&self, tenant: &Tenant, error: Error) -> Error {
        let verdict = error.verdict();
        let error = error.with("tenant", tenant.gate.name());
        if blocks(verdict) && !self.all_blocked() {
            let after = Some(tenant.gate.left(Instant::now()));
            return error.as_verdict(Verdict::Blocked { scope: Scope::Mailbox, after });
        }
        error
    }
}

impl Tenant {
    fn has(&self, mailbox: &Mailbox) -> bool {
        self.mailboxes.iter().any(|pattern| mailbox.matches(pattern))
    }

    async fn ready(&self) -> Result<()> {
        let ready = self.graph.ready().await;
        self.gate.heard(&ready);
        ready
    }
}

#[async_trait]
impl Mail for Tenants {
    /// Ready as soon as one tenant is. When none is, the first one's failure.
    async fn ready(&self) -> Result<()> {
        if let Some(tenant) = self.single() {
            return tenant.graph.ready().await;
        }
        let asked = self.0.iter().enumerate();
        let mut asked: FuturesUnordered<_> =
            asked.map(|(at, tenant)| async move { (at, tenant.ready().await) }).collect();
        let mut first = None;
        while let Some((at, ready)) = asked.next().await {
            match ready {
                Err(error) if first.as_ref().is_none_or(|(before, _)| at < *before) => {
                    first = Some((at, error));
                }
                Err(_) => {}
                Ok(()) => {
                    // The others are asked too, so that their trouble shows in time, but nobody
                    // waits: an answer that is not at hand is there the next time.
                    while let Some(Some(_)) = asked.next().now_or_never() {}
                    return Ok(());
                }
            }
        }
        first.map_or(Ok(()), |(at, error)| Err(self.narrowed(&self.0[at], error)))
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        let entry = self.enter(attempt.mailbox)?;
        let result = entry.tenant.graph.perform(attempt).await;
        self.leave(&entry, result)
    }

    fn share(&self, mailbox: &Mailbox) -> f64 {
        self.of(mailbox).map_or(1.0, |tenant| tenant.graph.share(mailbox))
    }

    async fn tidy(&self) {
        join_all(self.0.iter().map(|tenant| tenant.graph.tidy())).await;
    }

    /// A connection with a single tenant shows what that one shows.
    fn reports(&self) -> Option<&dyn Reports> {
        if let Some(tenant) = self.single() {
            return tenant.graph.reports();
        }
        self.0.iter().all(|tenant| tenant.graph.reports().is_some()).then_some(self as &dyn Reports)
    }
}

#[cfg(test)]
mod tests;
