//! Tenants, apps with their credentials, and the tokens they were given.
//!
//! A token is known by being in this book, not by being parsed: the sandbox may revoke or expire
//! it whatever it says about itself. How a token is asked for is `login`'s part.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use jiff::Timestamp;

use crate::config::{App, Group, ManagedIdentity, Tenant};
use crate::lock::{lock, read, write};

/// All tenants and all live tokens.
#[derive(Debug)]
pub struct Directory {
    tenants: Vec<TenantEntry>,
    tokens: RwLock<HashMap<Box<str>, Arc<Grant>>>,
    last_number: AtomicU32,
}

#[derive(Debug)]
pub struct TenantEntry {
    pub id: String,
    pub domain: Option<String>,
    pub open_domains: Vec<String>,
    apps: RwLock<Vec<Arc<AppEntry>>>,
    groups: RwLock<Vec<Group>>,
}

/// An app or a managed identity of one tenant.
#[derive(Debug)]
pub struct AppEntry {
    pub client_id: Arc<str>,
    /// Number of the app over all tenants: the key of its budgets
    pub number: u32,
    /// How machines name it, when it is a managed identity
    pub identity: Option<ManagedIdentity>,
    state: Mutex<AppState>,
}

#[derive(Debug)]
pub struct AppState {
    pub app: App,
    /// Tokens of clients that take claims challenges must answer one of at least this time
    challenge: i64,
}

impl AppEntry {
    /// Its credentials and permissions as they are now.
    pub fn state(&self) -> MutexGuard<'_, AppState> {
        lock(&self.state)
    }
}

/// What a token stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    pub tenant: usize,
    pub app: u32,
    pub client_id: Arc<str>,
    pub owner: Arc<AppEntry>,
    pub roles: Arc<[String]>,
    pub expires: Timestamp,
    /// The client takes claims challenges; the challenge (seconds, 0 for none) that it answered
    pub answered: Option<i64>,
}

/// A token, looked up.
#[derive(Debug)]
pub enum Lookup {
    Valid(Arc<Grant>),
    Expired,
    /// It was revoked, and its client can be told so: a token is needed that was asked for with
    /// `nbf` of this many seconds
    Challenged(i64),
    Unknown,
}

impl Directory {
    pub fn new(tenants: Vec<Tenant>) -> Self {
        let last_number = AtomicU32::new(0);
        let tenants = tenants.into_iter().map(|tenant| TenantEntry::new(tenant, &last_number));
        Self { tenants: tenants.collect(), tokens: RwLock::default(), last_number }
    }

    pub fn tenants(&self) -> impl Iterator<Item = (usize, &TenantEntry)> {
        self.tenants.iter().enumerate()
    }

    /// A tenant by id or domain, with its number.
    pub fn tenant(&self, name: &str) -> Option<(usize, &TenantEntry)> {
        self.tenants().find(|(_, tenant)| tenant.is_named(name))
    }

    /// A tenant by its number.
    pub fn numbered(&self, number: usize) -> Option<&TenantEntry> {
        self.tenants.get(number)
    }

    /// The tenant in which every mailbox of the address's domain exists.
    pub fn open_tenant(&self, address: &str) -> Option<usize> {
        let (_, domain) = address.rsplit_once('@')?;
        self.tenants
            .iter()
            .position(|tenant| tenant.open_domains.iter().any(|d| d.eq_ignore_ascii_case(domain)))
    }

    pub fn remember(&self, token: &str, grant: Grant, now: Timestamp) {
        let mut tokens = write(&self.tokens);
        // a token a day past its end is as good as never given, and the book stays small
        if tokens.len() >= 1024 {
            tokens.retain(|_, grant| now < crate::clock::after(grant.expires, DAY));
        }
        tokens.insert(token.into(), Arc::new(grant));
    }

    pub fn token(&self, token: &str, now: Timestamp) -> Lookup {
        let Some(grant) = read(&self.tokens).get(token).cloned() else { return Lookup::Unknown };
        if now >= grant.expires {
            return Lookup::Expired;
        }
        let challenge = grant.owner.state().challenge;
        match grant.answered {
            Some(answered) if answered < challenge => Lookup::Challenged(challenge),
            _ => Lookup::Valid(grant),
        }
    }

    /// Ends the tokens of one app, or all: whoever holds one gets 401 from now on, with a claims
    /// challenge when it said that it takes them. Says how many tokens there were.
    pub fn revoke_tokens(&self, client_id: Option<&str>, now: Timestamp) -> usize {
        let mut count = 0;
        let mut challenged: Vec<Arc<AppEntry>> = Vec::new();
        write(&self.tokens).retain(|_, grant| {
            if client_id.is_some_and(|id| !grant.client_id.eq_ignore_ascii_case(id)) {
                return true;
            }
            count += 1;
            if grant.answered.is_some()
                && !challenged.iter().any(|app| app.number == grant.owner.number)
            {
                challenged.push(grant.owner.clone());
            }
            grant.answered.is_some()
        });
        for app in challenged {
            let mut state = app.state();
            // later than every challenge that a token may have answered already
            state.challenge = now.as_second().max(state.challenge + 1);
        }
        count
    }

    /// Gives the live tokens of an app the roles that it has now; says how many there were.
    pub fn refresh_tokens(&self, client_id: &str) -> usize {
        let mut count = 0;
        for grant in write(&self.tokens).values_mut() {
            if grant.client_id.eq_ignore_ascii_case(client_id) {
                let roles = grant.owner.state().app.roles.clone();
                *grant = Arc::new(Grant { roles: roles.into(), ..Grant::clone(grant) });
                count += 1;
            }
        }
        count
    }

    /// Registers an app; `false` when there is no such tenant, or the app is there already.
    pub fn add_app(&self, tenant: &str, app: App) -> bool {
        let Some((_, tenant)) = self.tenant(tenant) else { return false };
        let known = tenant.app(&app.client_id).is_some();
        if !known {
            write(&tenant.apps).push(AppEntry::new(app, None, &self.last_number));
        }
        !known
    }

    /// Changes an app, in this tenant or in whichever it is; `None` when there is none, else what
    /// the last change said.
    pub fn change<T>(
        &self,
        tenant: Option<&str>,
        client_id: &str,
        mut change: impl FnMut(&mut App) -> T,
    ) -> Option<T> {
        let meant = |entry: &&TenantEntry| tenant.is_none_or(|name| entry.is_named(name));
        let mut found = None;
        for app in self.tenants.iter().filter(meant).filter_map(|entry| entry.app(client_id)) {
            found = Some(change(&mut app.state().app));
        }
        found
    }
}

impl TenantEntry {
    fn new(tenant: Tenant, last_number: &AtomicU32) -> Self {
        let apps = tenant.apps.into_iter().map(|app| (app, None));
        let identities = tenant.identities.into_iter().map(|one| (one.app(), Some(one)));
        let entry = |(app, identity)| AppEntry::new(app, identity, last_number);
        Self {
            id: tenant.id,
            domain: tenant.domain,
            open_domains: tenant.open_domains,
            groups: RwLock::new(tenant.groups),
            apps: RwLock::new(apps.chain(identities).map(entry).collect()),
        }
    }

    /// Whether this is one of its names: its id, its domain, an open domain.
    pub fn is_named(&self, name: &str) -> bool {
        let mut names = self.domain.iter().chain(&self.open_domains);
        self.id.eq_ignore_ascii_case(name) || names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// An app or a managed identity by its client id.
    pub fn app(&self, client_id: &str) -> Option<Arc<AppEntry>> {
        let apps = read(&self.apps);
        apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id)).cloned()
    }

    pub fn groups(&self) -> Vec<Group> {
        read(&self.groups).clone()
    }

    /// Adds a group, or puts it in the place of the one with its id.
    pub fn set_group(&self, group: Group) {
        let mut groups = write(&self.groups);
        groups.retain(|known| !known.id().eq_ignore_ascii_case(&group.id()));
        groups.push(group);
    }

    /// Its managed identities.
    pub fn identities(&self) -> Vec<Arc<AppEntry>> {
        read(&self.apps).iter().filter(|app| app.identity.is_some()).cloned().collect()
    }
}

impl AppEntry {
    fn new(app: App, identity: Option<ManagedIdentity>, last_number: &AtomicU32) -> Arc<Self> {
        Arc::new(Self {
            client_id: app.client_id.as_str().into(),
            number: last_number.fetch_add(1, Ordering::Relaxed) + 1,
            identity,
            state: Mutex::new(AppState { app, challenge: 0 }),
        })
    }
}

const DAY: std::time::Duration = std::time::Duration::from_hours(24);
