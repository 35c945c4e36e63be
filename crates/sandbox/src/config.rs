//! What a sandbox is made of before it starts: tenants, apps, credentials, mailboxes, behaviour.
//!
//! Plain data with chaining setters, and readable from a file. Nothing here runs; `builder` puts it
//! together.

mod app;
mod certificate;
mod description;
mod federated;
mod grant;
mod group;
mod identity;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use crate::budget::Budgets;

pub use app::{App, FEDERATED_LIMIT, Secret};
pub use certificate::Certificate;
pub use description::Description;
pub use federated::{FederatedCredential, IssuerKeys, TOKEN_EXCHANGE_AUDIENCE};
pub use grant::MailboxGrant;
pub use group::Group;
pub use identity::{DEMO_IDENTITY_HEADER, IDENTITY_PATH, ManagedIdentity};

/// A certificate or a key that cannot be used, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadCredential(String);

impl BadCredential {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for BadCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox: a credential cannot be used: {}", self.0)
    }
}

impl std::error::Error for BadCredential {}

/// Tenant id of [`Tenant::demo`].
pub const DEMO_TENANT_ID: &str = "5a0d0001-5a0d-4000-8000-00000000da7a";
/// Verified domain of [`Tenant::demo`]; any mailbox in it exists on first use.
pub const DEMO_DOMAIN: &str = "contoso.example";
/// Client id of the demo app.
pub const DEMO_CLIENT_ID: &str = "5a0d0002-5a0d-4000-8000-0000000000a9";
/// Client secret of the demo app. It opens nothing but a sandbox.
pub const DEMO_CLIENT_SECRET: &str = "sandbox-secret-that-opens-nothing";

/// The application permissions that mail needs, all granted.
pub const ALL_ROLES: [&str; 3] = ["Mail.ReadWrite", "Mail.Send", "User.Read.All"];

/// An organisation: its id, its domain, its apps and its mailboxes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) domain: Option<String>,
    #[serde(default)]
    pub(crate) apps: Vec<App>,
    #[serde(default)]
    pub(crate) identities: Vec<ManagedIdentity>,
    #[serde(default)]
    pub(crate) mailboxes: Vec<MailboxSpec>,
    #[serde(default)]
    pub(crate) groups: Vec<Group>,
    #[serde(default)]
    pub(crate) open_domains: Vec<String>,
}

impl Tenant {
    /// A tenant by its GUID.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            domain: None,
            apps: Vec::new(),
            identities: Vec::new(),
            mailboxes: Vec::new(),
            groups: Vec::new(),
            open_domains: Vec::new(),
        }
    }

    /// A tenant with one fully permitted app and a domain in which every mailbox exists.
    pub fn demo() -> Self {
        Self::new(DEMO_TENANT_ID)
            .domain(DEMO_DOMAIN)
            .app(App::new(DEMO_CLIENT_ID).secret(DEMO_CLIENT_SECRET).roles(ALL_ROLES))
            .any_mailbox_of(DEMO_DOMAIN)
    }

    /// A name that may stand for the id in the token URL.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.apps.push(app);
        self
    }

    /// A managed identity of this tenant, assigned to the machine that the sandbox stands for.
    #[must_use]
    pub fn identity(mut self, identity: ManagedIdentity) -> Self {
        self.identities.push(identity);
        self
    }

    /// A mailbox that exists from the start. Takes an address or a [`MailboxSpec`].
    #[must_use]
    pub fn mailbox(mut self, mailbox: impl Into<MailboxSpec>) -> Self {
        self.mailboxes.push(mailbox.into());
        self
    }

    /// A group of mailboxes and other groups.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Every mailbox of the domain exists, from its first use on.
    #[must_use]
    pub fn any_mailbox_of(mut self, domain: impl Into<String>) -> Self {
        self.open_domains.push(domain.into().to_ascii_lowercase());
        self
    }
}

/// A mailbox and its user. In a file: its address alone, or an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "MailboxForm")]
pub struct MailboxSpec {
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) send_as: Vec<String>,
}

impl MailboxSpec {
    /// A mailbox by its address, which is its user principal name too.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), name: None, send_as: Vec::new() }
    }

    /// The user's display name; derived from the address when not given.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// An address (or pattern with `*`) that this mailbox may put into `from`.
    #[must_use]
    pub fn send_as(mut self, pattern: impl Into<String>) -> Self {
        self.send_as.push(pattern.into());
        self
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MailboxForm {
    Address(String),
    Whole {
        address: String,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        send_as: Vec<String>,
    },
}

impl From<MailboxForm> for MailboxSpec {
    fn from(form: MailboxForm) -> Self {
        match form {
            MailboxForm::Address(address) => Self::new(address),
            MailboxForm::Whole { address, name, send_as } => Self { address, name, send_as },
        }
    }
}

impl<T: Into<String>> From<T> for MailboxSpec {
    fn from(address: T) -> Self {
        Self::new(address)
    }
}

/// What becomes of a draft's ids when it is sent. Microsoft's pages contradict each other
/// (outlook-immutable-id: the immutable id stays; mail-api-overview: it does not).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IdsOnSend {
    /// Both the default and the immutable id change.
    #[default]
    New,
    /// Only the default id changes.
    ImmutableStays,
    /// Neither changes.
    Same,
}

/// Everything that is fixed once the sandbox runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) seed: u64,
    pub(crate) token_lifetime: RangeInclusive<Duration>,
    pub(crate) cae_lifetime: RangeInclusive<Duration>,
    pub(crate) identity_header: String,
    pub(crate) identity_path: String,
    pub(crate) loop_limit: Option<u32>,
    pub(crate) refuse_replays: bool,
    pub(crate) budgets: Budgets,
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) visibility_delay: RangeInclusive<Duration>,
    pub(crate) ids_on_send: IdsOnSend,
    pub(crate) keep_bodies: bool,
    pub(crate) retain: Option<usize>,
    pub(crate) allow_remote: bool,
    /// Bytes of the largest message that may be sent
    pub(crate) message_limit: usize,
    /// Port of the upload host; 0 for any until the sandbox runs
    pub(crate) upload_port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            // 60 to 90 minutes at random: learn.microsoft.com/entra access-tokens
            token_lifetime: Duration::from_hours(1)..=Duration::from_mins(90),
            // 20 to 28 hours for clients that take claims challenges: the same page
            cae_lifetime: Duration::from_hours(20)..=Duration::from_hours(28),
            identity_header: DEMO_IDENTITY_HEADER.to_owned(),
            identity_path: IDENTITY_PATH.to_owned(),
            loop_limit: None,
            refuse_replays: false,
            budgets: Budgets::graph(),
            latency: Duration::ZERO..=Duration::ZERO,
            visibility_delay: Duration::ZERO..=Duration::ZERO,
            ids_on_send: IdsOnSend::default(),
            keep_bodies: true,
            retain: None,
            allow_remote: false,
            // learn.microsoft.com/graph/api/attachment-createuploadsession
            message_limit: 35 * 1024 * 1024,
            upload_port: 0,
        }
    }
}
