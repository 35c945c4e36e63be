//! Everything one sandbox holds. There is no state outside of it, so several run side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::bounce::Bounces;
use crate::clock::Clock;
use crate::config::{Settings, Tenant};
use crate::counters::Counters;
use crate::dice::Dice;
use crate::directory::Directory;
use crate::fault::{DeltaFaults, Faults};
use crate::lock::lock;
use crate::login::{Ledger, Outage};
use crate::mailbox::registry::Registry;
use crate::mailbox::{Inner, Mailbox};
use crate::subscription::Subscriptions;
use crate::truth::Tally;
use crate::upload::Uploads;

/// One sandbox.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub clock: Clock,
    pub dice: Dice,
    pub directory: Directory,
    pub mailboxes: Registry,
    pub faults: Faults,
    pub counters: Counters,
    pub ledger: Ledger,
    pub sent: Tally,
    pub uploads: Uploads,
    pub bounces: Bounces,
    pub subscriptions: Subscriptions,
    message_limit: AtomicUsize,
    outage: Mutex<Outage>,
    delta_faults: Mutex<DeltaFaults>,
    /// Turns true when the sandbox stops, so that hanging requests end
    pub stopping: watch::Receiver<bool>,
}

impl World {
    pub fn new(settings: Settings, tenants: Vec<Tenant>, stopping: watch::Receiver<bool>) -> Self {
        let mailboxes = Registry::default();
        for (number, tenant) in tenants.iter().enumerate() {
            for spec in &tenant.mailboxes {
                let (name, send_as) = (spec.name.clone(), spec.send_as.clone());
                mailboxes.add(Mailbox::new(settings.seed, number, &spec.address, name, send_as));
            }
        }
        Self {
            clock: Clock::default(),
            dice: Dice::new(settings.seed),
            directory: Directory::new(tenants),
            mailboxes,
            faults: Faults::new(settings.seed),
            counters: Counters::default(),
            ledger: Ledger::default(),
            sent: Tally::default(),
            uploads: Uploads::default(),
            bounces: Bounces::default(),
            subscriptions: Subscriptions::new(settings.seed),
            message_limit: AtomicUsize::new(settings.message_limit),
            outage: Mutex::default(),
            delta_faults: Mutex::default(),
            stopping,
            settings,
        }
    }

    /// A mailbox by address or user id; one in an open domain comes into being.
    pub fn mailbox(&self, user: &str) -> Option<Arc<Mailbox>> {
        if let Some(found) = self.mailboxes.find(user) {
            return Some(found);
        }
        let tenant = self.directory.open_tenant(user)?;
        let mailbox = Mailbox::new(self.settings.seed, tenant, user, None, Vec::new());
        Some(self.mailboxes.add(mailbox))
    }

    /// A mailbox, locked, in which everything that is due is told of.
    pub fn settled<'a>(&self, mailbox: &'a Mailbox) -> MutexGuard<'a, Inner> {
        let late = lock(&self.delta_faults).of(&mailbox.address).lateness(self.settings.seed);
        let mut inner = lock(&mailbox.inner);
        inner.store.journal.settle(self.clock.now(), late);
        inner
    }

    /// Bytes of the largest message that may be sent, without transfer encoding.
    pub fn message_limit(&self) -> usize {
        self.message_limit.load(Ordering::Relaxed)
    }

    pub fn set_message_limit(&self, bytes: usize) {
        self.message_limit.store(bytes, Ordering::Relaxed);
    }

    pub fn outage(&self) -> Outage {
        *lock(&self.outage)
    }

    pub fn set_outage(&self, outage: Outage) {
        *lock(&self.outage) = outage;
    }

    pub fn delta_faults(&self) -> DeltaFaults {
        lock(&self.delta_faults).clone()
    }

    pub fn set_delta_faults(&self, faults: DeltaFaults) {
        *lock(&self.delta_faults) = faults;
    }

    /// Forgets messages, truth, budgets, faults, bounces, uploads, counters, the outage and the
    /// login host's skew. Apps, credentials, tokens, known mailboxes and the clock stay.
    pub fn reset(&self) {
        for mailbox in self.mailboxes.all() {
            let mut inner = lock(&mailbox.inner);
            // requests in flight still leave through the usage they entered by
            let usage = std::mem::take(&mut inner.usage);
            *inner = Inner { usage, ..Inner::default() };
            for (_, usage) in &mut inner.usage {
                usage.forget(&self.settings.budgets);
            }
        }
        self.faults.reset();
        self.counters.reset();
        self.ledger.reset();
        self.clock.set_login_skew(0);
        self.sent.reset();
        self.uploads.reset();
        self.bounces.clear();
        self.subscriptions.reset();
        self.set_message_limit(self.settings.message_limit);
        self.set_outage(Outage::None);
        self.set_delta_faults(DeltaFaults::default());
    }
}
