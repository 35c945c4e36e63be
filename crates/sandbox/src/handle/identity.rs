//! What a test may do to apps, their credentials and their tokens while the sandbox runs.

use jiff::Timestamp;

use super::{Handle, NotThere};
use crate::config::{App, Certificate, FEDERATED_LIMIT, FederatedCredential, MailboxGrant, Secret};
use crate::login::TokenCounts;

impl Handle {
    /// The same powers, but what it changes of an app changes in one tenant only, named by its id
    /// or a domain: one tenant's consent, say.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn in_tenant(&self, tenant: &str) -> Result<Self, NotThere> {
        let missing = || NotThere(format!("there is no tenant {tenant}"));
        self.0.directory.tenant(tenant).ok_or_else(missing)?;
        Ok(Self(self.0.clone(), Some(tenant.into())))
    }

    /// Registers an app in a tenant, named by its id or a domain.
    ///
    /// # Errors
    /// When there is no such tenant, or the app is there already.
    pub fn add_app(&self, tenant: &str, app: App) -> Result<(), NotThere> {
        let client_id = app.client_id.clone();
        let added = self.0.directory.add_app(tenant, app);
        let refused = || NotThere(format!("there is no tenant {tenant}, or {client_id} is in it"));
        added.then_some(()).ok_or_else(refused)
    }

    /// Gives an app another secret.
    pub fn add_secret(&self, client_id: &str, secret: impl Into<Secret>) -> Result<(), NotThere> {
        let secret = secret.into();
        self.change(client_id, |app| app.secrets.push(secret.clone()))
    }

    /// Lets an app's secret expire now: the one with this value or id, or all.
    pub fn expire_secret(&self, client_id: &str, which: Option<&str>) -> Result<(), NotThere> {
        self.expire_secret_at(client_id, which, self.now())
    }

    /// Lets an app's secret expire at a time: the one with this value or id, or all.
    pub fn expire_secret_at(
        &self,
        client_id: &str,
        which: Option<&str>,
        at: Timestamp,
    ) -> Result<(), NotThere> {
        self.change(client_id, |app| {
            for secret in app.secrets.iter_mut().filter(|secret| secret.is(which)) {
                secret.expires = Some(at);
            }
        })
    }

    /// Takes an app's secret away: the one with this value or id, or all.
    pub fn revoke_secret(&self, client_id: &str, which: Option<&str>) -> Result<(), NotThere> {
        self.change(client_id, |app| app.secrets.retain(|secret| !secret.is(which)))
    }

    /// Registers another certificate.
    pub fn add_certificate(
        &self,
        client_id: &str,
        certificate: &Certificate,
    ) -> Result<(), NotThere> {
        self.change(client_id, |app| app.certificates.push(certificate.clone()))
    }

    /// Lets a registered certificate expire at a time, whatever stands in it: the one with this
    /// SHA-1 thumbprint, or all.
    pub fn expire_certificate(
        &self,
        client_id: &str,
        thumbprint: Option<&str>,
        at: Timestamp,
    ) -> Result<(), NotThere> {
        self.change(client_id, |app| {
            for one in app.certificates.iter_mut().filter(|one| one.is(thumbprint)) {
                one.valid_until = at;
            }
        })
    }

    /// Takes a registered certificate away: the one with this SHA-1 thumbprint, or all.
    pub fn revoke_certificate(
        &self,
        client_id: &str,
        thumbprint: Option<&str>,
    ) -> Result<(), NotThere> {
        self.change(client_id, |app| app.certificates.retain(|one| !one.is(thumbprint)))
    }

    /// Adds a federated credential.
    ///
    /// # Errors
    /// When there is no such app, or it has [`FEDERATED_LIMIT`] of them already.
    pub fn add_federated(
        &self,
        client_id: &str,
        credential: &FederatedCredential,
    ) -> Result<(), NotThere> {
        let room = self.0.directory.change(self.1.as_deref(), client_id, |app| {
            let room = app.federated.len() < FEDERATED_LIMIT;
            if room {
                app.federated.push(credential.clone());
            }
            room
        });
        match room {
            Some(true) => Ok(()),
            Some(false) => Err(NotThere(format!(
                "there is no room: {client_id} has {FEDERATED_LIMIT} federated credentials"
            ))),
            None => Err(no_app(client_id)),
        }
    }

    /// Takes federated credentials away: those of this subject, or all.
    pub fn revoke_federated(&self, client_id: &str, subject: Option<&str>) -> Result<(), NotThere> {
        let keep = |one: &FederatedCredential| subject.is_some_and(|name| name != one.subject);
        self.change(client_id, |app| app.federated.retain(keep))
    }

    /// Disables or enables an app.
    pub fn set_app_disabled(&self, client_id: &str, disabled: bool) -> Result<(), NotThere> {
        self.change(client_id, |app| app.disabled = disabled)
    }

    /// Blocks an app by Conditional Access, or no longer.
    pub fn set_app_blocked(&self, client_id: &str, blocked: bool) -> Result<(), NotThere> {
        self.change(client_id, |app| app.blocked = blocked)
    }

    /// Installs an app in its tenants, or takes it out of them (AADSTS700016).
    pub fn set_app_installed(&self, client_id: &str, installed: bool) -> Result<(), NotThere> {
        self.change(client_id, |app| app.installed = installed)
    }

    /// Replaces an app's permissions in Entra. Tokens given before keep theirs until
    /// [`Handle::refresh_tokens`].
    pub fn set_app_roles(&self, client_id: &str, roles: &[&str]) -> Result<(), NotThere> {
        self.change(client_id, |app| app.roles = roles.iter().map(|&one| one.to_owned()).collect())
    }

    /// Replaces an app's permissions in Exchange. They count from the next request on.
    pub fn set_app_grants(&self, client_id: &str, grants: &[MailboxGrant]) -> Result<(), NotThere> {
        self.change(client_id, |app| app.grants = grants.to_vec())
    }

    /// Limits what Entra grants to some mailboxes, or no longer.
    pub fn set_access_policy(
        &self,
        client_id: &str,
        mailboxes: Option<&[&str]>,
    ) -> Result<(), NotThere> {
        self.change(client_id, |app| {
            app.access_policy =
                mailboxes.map(|all| all.iter().map(|&one| one.to_owned()).collect());
        })
    }

    /// Makes every token given so far worthless; says how many there were. Clients that take
    /// claims challenges get one.
    pub fn revoke_tokens(&self) -> usize {
        self.0.directory.revoke_tokens(None, self.now())
    }

    /// As [`Handle::revoke_tokens`], for one app.
    pub fn revoke_tokens_of(&self, client_id: &str) -> usize {
        self.0.directory.revoke_tokens(Some(client_id), self.now())
    }

    /// Gives the live tokens of an app the roles that it has now; says how many there were.
    pub fn refresh_tokens(&self, client_id: &str) -> usize {
        self.0.directory.refresh_tokens(client_id)
    }

    /// Token requests by client id, in lower case.
    pub fn token_requests(&self) -> TokenCounts {
        self.0.ledger.counts()
    }

    fn change(&self, client_id: &str, change: impl FnMut(&mut App)) -> Result<(), NotThere> {
        let changed = self.0.directory.change(self.1.as_deref(), client_id, change);
        changed.ok_or_else(|| no_app(client_id))
    }
}

fn no_app(client_id: &str) -> NotThere {
    NotThere(format!("there is no app with client id {client_id}"))
}
