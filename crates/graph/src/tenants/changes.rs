//! What happens in the mailboxes of several tenants: every question goes to the tenant of its
//! mailbox, through its gate. A rule is put to all of them.

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use mailbridge_core::{
    Changes, Deadline, Error, Mailbox, Result, Subscriptions, Verdict,
    changes::{
        Ask, Callback, Content, Cursor, Folders, Found, Page, Rule, Select, Subscription, What,
    },
    contract::{EventAttachment, MessageId},
};

use super::{Tenant, Tenants};

#[async_trait]
impl Changes for Tenants {
    async fn folders(
        &self,
        mailbox: &Mailbox,
        patterns: &[String],
        cursor: Option<&Cursor>,
        deadline: &Deadline,
    ) -> Result<Folders> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.folders(mailbox, patterns, cursor, deadline).await;
        self.leave(&entry, result)
    }

    async fn page(&self, ask: &Ask<'_>) -> Result<Page> {
        let entry = self.enter(ask.mailbox)?;
        let result = entry.tenant.graph.page(ask).await;
        self.leave(&entry, result)
    }

    async fn message(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        select: &Select,
        deadline: &Deadline,
    ) -> Result<Option<Found>> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.message(mailbox, id, select, deadline).await;
        self.leave(&entry, result)
    }

    async fn attachments(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        deadline: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.attachments(mailbox, id, deadline).await;
        self.leave(&entry, result)
    }

    async fn content<'a>(
        &'a self,
        mailbox: &Mailbox,
        what: What<'_>,
        deadline: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.content(mailbox, what, deadline).await;
        self.leave(&entry, result)
    }

    /// All that the tenants name. Of several tenants each names only mailboxes that the
    /// configuration puts into it, and one that cannot be asked fails the whole: what it would have
    /// named must not look as if it were gone. Its gate is not asked, and not closed: that nobody
    /// granted the directory says nothing about mail.
    async fn discover(&self, rule: &Rule, deadline: &Deadline) -> Result<Vec<Mailbox>> {
        if let Some(tenant) = self.single() {
            return tenant.graph.discover(rule, deadline).await;
        }
        let asked = self.0.iter().map(|tenant| async move {
            let found = tenant.graph.discover(rule, deadline).await;
            let found = found.map_err(|error| self.put_off(tenant, error))?;
            Ok(found.into_iter().filter(|mailbox| tenant.has(mailbox)).collect())
        });
        let found: Result<Vec<Vec<Mailbox>>> = join_all(asked).await.into_iter().collect();
        let mut all: Vec<_> = found?.into_iter().flatten().collect();
        all.sort_by_cached_key(|mailbox| mailbox.as_str().to_lowercase());
        all.dedup();
        Ok(all)
    }

    fn subscriptions(&self) -> Option<&dyn Subscriptions> {
        Some(self)
    }
}

impl Tenants {
    /// A tenant's block, where a mailbox has not been named yet that it could be put on.
    fn put_off(&self, tenant: &Tenant, error: Error) -> Error {
        let error = error.with("tenant", tenant.gate.name());
        match error.verdict() {
            Verdict::Blocked { after, .. } if !self.all_blocked() => {
                error.as_verdict(Verdict::Transient { after })
            }
            _ => error,
        }
    }
}

#[async_trait]
impl Subscriptions for Tenants {
    async fn subscribe(
        &self,
        mailbox: &Mailbox,
        folder: Option<&str>,
        callback: &Callback,
        deadline: &Deadline,
    ) -> Result<Subscription> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.subscribe(mailbox, folder, callback, deadline).await;
        self.leave(&entry, result)
    }

    async fn renew(
        &self,
        mailbox: &Mailbox,
        id: &str,
        until: Timestamp,
        deadline: &Deadline,
    ) -> Result<Subscription> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.renew(mailbox, id, until, deadline).await;
        self.leave(&entry, result)
    }

    async fn unsubscribe(&self, mailbox: &Mailbox, id: &str, deadline: &Deadline) -> Result<()> {
        let entry = self.enter(mailbox)?;
        let result = entry.tenant.graph.unsubscribe(mailbox, id, deadline).await;
        self.leave(&entry, result)
    }
}
