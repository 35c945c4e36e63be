//! What a sandbox is made of before it starts: tenants, apps, secrets, mailboxes, behaviour.
//!
//! Plain data with chaining setters. Nothing here runs; `builder` puts it together.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use crate::budget::Budgets;

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
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) id: String,
    pub(crate) domain: Option<String>,
    pub(crate) apps: Vec<App>,
    pub(crate) mailboxes: Vec<MailboxSpec>,
    pub(crate) open_domains: Vec<String>,
}

impl Tenant {
    /// A tenant by its GUID.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            domain: None,
            apps: Vec::new(),
            mailboxes: Vec::new(),
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

    /// A mailbox that exists from the start. Takes an address or a [`MailboxSpec`].
    #[must_use]
    pub fn mailbox(mut self, mailbox: impl Into<MailboxSpec>) -> Self {
        self.mailboxes.push(mailbox.into());
        self
    }

    /// Every mailbox of the domain exists, from its first use on.
    #[must_use]
    pub fn any_mailbox_of(mut self, domain: impl Into<String>) -> Self {
        self.open_domains.push(domain.into().to_ascii_lowercase());
        self
    }
}

/// A registered application.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) client_id: String,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) roles: Vec<String>,
    pub(crate) disabled: bool,
}

impl App {
    /// An app by its client id, with no secret and no permission yet.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            secrets: Vec::new(),
            roles: Vec::new(),
            disabled: false,
        }
    }

    /// Adds a secret; several may stand side by side.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Grants application permissions, such as `Mail.Send`.
    #[must_use]
    pub fn roles<I>(mut self, roles: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// An administrator has disabled it (AADSTS7000112).
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }
}

/// A client secret. Never printed.
#[derive(Clone)]
pub struct Secret {
    pub(crate) value: String,
    pub(crate) id: Option<String>,
    pub(crate) expires: Option<Timestamp>,
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

/// A mailbox and its user.
#[derive(Clone, Debug)]
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
