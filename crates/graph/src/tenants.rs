//! One app in several tenants, behind the port [`Mail`]: each mailbox goes to the Graph of its own
//! tenant.
//!
//! A tenant that gives no token closes its own mailboxes and no others; only when none of them
//! gives one is the connection as a whole closed. Nothing is asked here: which tenant a mailbox is
//! in is written in the configuration.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use mailbridge_core::{Attempt, Code, Completion, Error, Mail, Mailbox, Result, Scope, Verdict};

use crate::{Graph, Options, config::Tenancy};

/// Opens a connection in all its tenants; `name` is what logs and metrics call it.
///
/// # Errors
/// As [`Graph::new`].
pub fn open(name: &str, tenancies: Vec<Tenancy>, options: Options) -> Result<Arc<dyn Mail>> {
    let tenant = |Tenancy { tenant, mailboxes, resolved }| {
        let mail: Box<dyn Mail> = Box::new(Graph::new(name, resolved, options)?);
        let name = tenant.unwrap_or_default();
        Ok(Tenant { name, mailboxes, mail, blocked: AtomicBool::new(false) })
    };
    let all = tenancies.into_iter().map(tenant).collect::<Result<_>>()?;
    Ok(Arc::new(Tenants(all)))
}

/// The tenants of a connection.
struct Tenants(Vec<Tenant>);

struct Tenant {
    name: String,
    /// Patterns of the mailboxes in it.
    mailboxes: Vec<String>,
    mail: Box<dyn Mail>,
    /// The last that was heard of it: no token, or nothing granted.
    blocked: AtomicBool,
}

impl Tenant {
    fn has(&self, mailbox: &Mailbox) -> bool {
        self.mailboxes.iter().any(|pattern| mailbox.matches(pattern))
    }

    /// Notes whether the tenant as a whole is blocked.
    fn note<T>(&self, result: &Result<T>) {
        let whole = |error: &Error| {
            matches!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, .. })
        };
        self.blocked.store(result.as_ref().is_err_and(whole), Relaxed);
    }

    async fn ready(&self) -> Result<()> {
        let ready = self.mail.ready().await;
        self.note(&ready);
        ready
    }
}

impl Tenants {
    /// A failure of a tenant, as it concerns the connection.
    fn narrowed(&self, tenant: &Tenant, error: Error) -> Error {
        if self.0.len() == 1 {
            return error;
        }
        let error = error.with("tenant", &tenant.name);
        match error.verdict() {
            Verdict::Blocked { scope: Scope::Connection, after }
                if !self.0.iter().all(|it| it.blocked.load(Relaxed)) =>
            {
                error.as_verdict(Verdict::Blocked { scope: Scope::Mailbox, after })
            }
            _ => error,
        }
    }
}

#[async_trait]
impl Mail for Tenants {
    /// Ready as soon as one tenant is.
    async fn ready(&self) -> Result<()> {
        let each = self.0.iter().map(|tenant| async move { (tenant, tenant.ready().await) });
        let mut each: FuturesUnordered<_> = each.collect();
        let mut last = Ok(());
        while let Some((tenant, ready)) = each.next().await {
            last = ready.map_err(|error| self.narrowed(tenant, error));
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        let Some(tenant) = self.0.iter().find(|tenant| tenant.has(attempt.mailbox)) else {
            let code = Code::RequestMailboxNoTenant;
            return Err(Error::permanent(code, code.meaning()).with("key", "tenants"));
        };
        let result = tenant.mail.perform(attempt).await;
        tenant.note(&result);
        result.map_err(|error| self.narrowed(tenant, error))
    }
}

#[cfg(test)]
mod tests;
