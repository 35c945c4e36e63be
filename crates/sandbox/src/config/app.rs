//! Registered applications: who they are, how they prove it, and what they may do.
//!
//! Plain data. Checking a proof is `login`'s part, checking a permission `admission`'s.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Certificate, FederatedCredential, MailboxGrant};

/// How many federated credentials an app may have (learn.microsoft.com/entra/workload-id
/// workload-identity-federation-considerations).
pub const FEDERATED_LIMIT: usize = 20;

/// A registered application, as one tenant knows it.
///
/// The same client id in two tenants is one registration used in both; each tenant has its own
/// consent, and here its own list of credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) secrets: Vec<Secret>,
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    #[serde(default)]
    pub(crate) federated: Vec<FederatedCredential>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) grants: Vec<MailboxGrant>,
    #[serde(default)]
    pub(crate) access_policy: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) disabled: bool,
    #[serde(default)]
    pub(crate) blocked: bool,
    #[serde(default = "yes")]
    pub(crate) installed: bool,
}

fn yes() -> bool {
    true
}

impl App {
    /// An app by its client id, with no credential and no permission yet.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
            roles: Vec::new(),
            grants: Vec::new(),
            access_policy: None,
            disabled: false,
            blocked: false,
            installed: true,
        }
    }

    /// Adds a secret; several may stand side by side.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Registers a certificate; several may stand side by side.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// Trusts the tokens of another issuer. A sandbox with more than [`FEDERATED_LIMIT`] of them
    /// for one app does not start.
    #[must_use]
    pub fn federated(mut self, credential: FederatedCredential) -> Self {
        self.federated.push(credential);
        self
    }

    /// Grants application permissions in Entra, such as `Mail.Send`: for every mailbox, and shown
    /// in the token.
    #[must_use]
    pub fn roles<I>(mut self, roles: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Grants a permission in Exchange, for some mailboxes, and not shown in the token.
    #[must_use]
    pub fn grant(mut self, grant: MailboxGrant) -> Self {
        self.grants.push(grant);
        self
    }

    /// A legacy application access policy: what Entra grants holds for these mailboxes only
    /// (addresses, or patterns with `*`). Elsewhere: 403 "Access to OData is disabled."
    #[must_use]
    pub fn access_policy<I>(mut self, mailboxes: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.access_policy = Some(mailboxes.into_iter().map(Into::into).collect());
        self
    }

    /// An administrator has disabled it (AADSTS7000112).
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// A Conditional Access policy for workload identities refuses it (AADSTS53003).
    #[must_use]
    pub fn blocked(mut self) -> Self {
        self.blocked = true;
        self
    }

    /// It is registered, but nobody has consented to it in this tenant (AADSTS700016).
    #[must_use]
    pub fn not_installed(mut self) -> Self {
        self.installed = false;
        self
    }
}

/// A client secret. Never printed.
#[derive(Clone, Deserialize)]
#[serde(from = "SecretForm")]
pub struct Secret {
    pub(crate) value: String,
    pub(crate) id: Option<String>,
    pub(crate) expires: Option<Timestamp>,
}

/// A secret in a file: its value alone, or with what is known of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum SecretForm {
    Value(String),
    #[serde(rename_all = "snake_case")]
    Whole {
        value: String,
        #[serde(default)]
        id: Option<String>,
        #[serde(default)]
        expires: Option<Timestamp>,
    },
}

impl From<SecretForm> for Secret {
    fn from(form: SecretForm) -> Self {
        match form {
            SecretForm::Value(value) => Self::new(value),
            SecretForm::Whole { value, id, expires } => Self { value, id, expires },
        }
    }
}

impl Secret {
    /// A secret that does not expire.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), id: None, expires: None }
    }

    /// The secret's own GUID, which people paste by mistake in place of its value.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// From this moment on the answer is AADSTS7000222.
    #[must_use]
    pub fn expires(mut self, at: Timestamp) -> Self {
        self.expires = Some(at);
        self
    }

    /// Whether this is the secret that a value or an id names; nothing names all.
    pub(crate) fn is(&self, which: Option<&str>) -> bool {
        which.is_none_or(|which| self.value == which || self.id.as_deref() == Some(which))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
