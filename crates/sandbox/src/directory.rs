//! Tenants, apps with their secrets, and the tokens they were given.
//!
//! A token is known by being in this book, not by being parsed: the sandbox may revoke or expire
//! it whatever it says about itself. How a token is asked for is `login`'s part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use jiff::Timestamp;

use crate::config::{App, Secret, Tenant};
use crate::lock::{lock, read, write};

/// All tenants and all live tokens.
#[derive(Debug)]
pub struct Directory {
    tenants: Vec<TenantEntry>,
    tokens: RwLock<HashMap<Box<str>, Arc<Grant>>>,
}

#[derive(Debug)]
pub struct TenantEntry {
    pub id: String,
    pub domain: Option<String>,
    pub open_domains: Vec<String>,
    apps: Vec<AppEntry>,
}

#[derive(Debug)]
struct AppEntry {
    client_id: String,
    /// Number of the app over all tenants: the key of its budgets
    number: u32,
    state: Mutex<AppState>,
}

#[derive(Debug)]
struct AppState {
    secrets: Vec<Secret>,
    roles: Arc<[String]>,
    disabled: bool,
}

/// What a token stands for.
#[derive(Debug)]
pub struct Grant {
    pub tenant: usize,
    pub app: u32,
    pub client_id: Arc<str>,
    pub roles: Arc<[String]>,
    pub expires: Timestamp,
}

/// Why a client is not who it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denial {
    UnknownApp,
    Disabled,
    WrongSecret,
    ExpiredSecret,
}

/// A token, looked up.
#[derive(Debug)]
pub enum Lookup {
    Valid(Arc<Grant>),
    Expired,
    Unknown,
}

impl Directory {
    pub fn new(tenants: Vec<Tenant>) -> Self {
        let mut number = 0;
        let mut entry = |app: App| {
            number += 1;
            AppEntry {
                client_id: app.client_id,
                number,
                state: Mutex::new(AppState {
                    secrets: app.secrets,
                    roles: app.roles.into(),
                    disabled: app.disabled,
                }),
            }
        };
        let tenants = tenants
            .into_iter()
            .map(|tenant| TenantEntry {
                id: tenant.id,
                domain: tenant.domain,
                open_domains: tenant.open_domains,
                apps: tenant.apps.into_iter().map(&mut entry).collect(),
            })
            .collect();
        Self { tenants, tokens: RwLock::default() }
    }

    /// A tenant by id or domain, with its number.
    pub fn tenant(&self, name: &str) -> Option<(usize, &TenantEntry)> {
        self.tenants.iter().enumerate().find(|(_, tenant)| {
            tenant.id.eq_ignore_ascii_case(name)
                || tenant.domain.as_ref().is_some_and(|domain| domain.eq_ignore_ascii_case(name))
                || tenant.open_domains.iter().any(|domain| domain.eq_ignore_ascii_case(name))
        })
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

    /// Checks a secret and says what a token for it would hold.
    pub fn authenticate(
        &self,
        tenant: usize,
        client_id: &str,
        secret: &str,
        now: Timestamp,
    ) -> Result<(u32, Arc<[String]>), Denial> {
        let app = self
            .tenants
            .get(tenant)
            .and_then(|tenant| find(&tenant.apps, client_id))
            .ok_or(Denial::UnknownApp)?;
        let state = lock(&app.state);
        if state.disabled {
            return Err(Denial::Disabled);
        }
        let mut matching = state.secrets.iter().filter(|known| known.value == secret).peekable();
        if matching.peek().is_none() {
            return Err(Denial::WrongSecret);
        }
        let good = matching.any(|known| known.expires.is_none_or(|at| now < at));
        if good { Ok((app.number, state.roles.clone())) } else { Err(Denial::ExpiredSecret) }
    }

    /// Whether the app is known there at all.
    pub fn knows(&self, tenant: usize, client_id: &str) -> bool {
        self.tenants.get(tenant).is_some_and(|tenant| find(&tenant.apps, client_id).is_some())
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
        match read(&self.tokens).get(token) {
            Some(grant) if now < grant.expires => Lookup::Valid(grant.clone()),
            Some(_) => Lookup::Expired,
            None => Lookup::Unknown,
        }
    }

    /// Forgets every token: whoever holds one gets 401 from now on.
    pub fn revoke_tokens(&self) -> usize {
        let mut tokens = write(&self.tokens);
        let count = tokens.len();
        tokens.clear();
        count
    }

    /// Changes an app, in whichever tenant it is; `false` when there is none.
    fn change(&self, client_id: &str, change: impl Fn(&mut AppState)) -> bool {
        let mut found = false;
        for app in self.tenants.iter().filter_map(|tenant| find(&tenant.apps, client_id)) {
            change(&mut lock(&app.state));
            found = true;
        }
        found
    }

    pub fn add_secret(&self, client_id: &str, secret: &Secret) -> bool {
        self.change(client_id, |app| app.secrets.push(secret.clone()))
    }

    /// Lets secrets expire at the given time: the one with this value or id, or all.
    pub fn expire_secret(&self, client_id: &str, which: Option<&str>, at: Timestamp) -> bool {
        self.change(client_id, |app| {
            for secret in app.secrets.iter_mut().filter(|secret| is(secret, which)) {
                secret.expires = Some(at);
            }
        })
    }

    /// Removes secrets: the one with this value or id, or all.
    pub fn revoke_secret(&self, client_id: &str, which: Option<&str>) -> bool {
        self.change(client_id, |app| app.secrets.retain(|secret| !is(secret, which)))
    }

    pub fn set_disabled(&self, client_id: &str, disabled: bool) -> bool {
        self.change(client_id, |app| app.disabled = disabled)
    }

    pub fn set_roles(&self, client_id: &str, roles: &[String]) -> bool {
        self.change(client_id, |app| app.roles = roles.into())
    }
}

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

fn find<'a>(apps: &'a [AppEntry], client_id: &str) -> Option<&'a AppEntry> {
    apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id))
}

fn is(secret: &Secret, which: Option<&str>) -> bool {
    which.is_none_or(|which| secret.value == which || secret.id.as_deref() == Some(which))
}
