//! Reports of mails that came back, over several tenants: each mailbox is looked at in its own
//! tenant. A tenant that is blocked is left alone, and what fails here never blocks one: the watch
//! for such reports is a guest, and mail alone decides whether a tenant lets us in.

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Mailbox, Original, Report, Reports, Result, contract::Undelivered,
};

use super::{Tenant, Tenants, Trouble};

impl Tenants {
    /// The mailbox's tenant, and what it shows.
    fn shown(&self, mailbox: &Mailbox) -> Result<(&Tenant, &dyn Reports)> {
        let tenant = self.of(mailbox)?;
        if let Some(Trouble { error, .. }) = tenant.gate.trouble() {
            return Err(self.narrowed(tenant, error));
        }
        let none = || Error::permanent(Code::Internal, "this tenant shows no reports");
        Ok((tenant, tenant.graph.reports().ok_or_else(none)?))
    }
}

#[async_trait]
impl Reports for Tenants {
    async fn arrived(&self, mailbox: &Mailbox, since: Timestamp) -> Result<Vec<Report>> {
        let (tenant, reports) = self.shown(mailbox)?;
        reports.arrived(mailbox, since).await.map_err(|error| self.narrowed(tenant, error))
    }

    async fn original(&self, mailbox: &Mailbox, report: &Report) -> Result<Option<Original>> {
        let (tenant, reports) = self.shown(mailbox)?;
        reports.original(mailbox, report).await.map_err(|error| self.narrowed(tenant, error))
    }

    async fn undelivered(
        &self,
        mailbox: &Mailbox,
        report: &Report,
    ) -> Result<Option<Vec<Undelivered>>> {
        let (tenant, reports) = self.shown(mailbox)?;
        reports.undelivered(mailbox, report).await.map_err(|error| self.narrowed(tenant, error))
    }

    async fn note(&self, mailbox: &Mailbox, report: &Report) -> Result<()> {
        let (tenant, reports) = self.shown(mailbox)?;
        reports.note(mailbox, report).await.map_err(|error| self.narrowed(tenant, error))
    }
}
