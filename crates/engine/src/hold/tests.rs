use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use mailbridge_core::{Attempt, Code, Completion, Result};

use super::*;
use crate::health::Health;

#[derive(Default)]
struct Fake {
    blocked: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl Mail for Fake {
    async fn ready(&self) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.blocked.load(Ordering::SeqCst) { Err(expired()) } else { Ok(()) }
    }

    async fn perform(&self, _: Attempt<'_>) -> Result<Completion> {
        unreachable!("the gate performs nothing")
    }
}

fn expired() -> Error {
    Error::blocked(Code::CredentialSecretExpired, "expired")
}

fn gate(blocked: bool) -> (Arc<Fake>, Hold, Health) {
    let mail = Arc::new(Fake { blocked: blocked.into(), ..Fake::default() });
    let health = Health::new();
    let reporter = health.register("p");
    reporter.bus(Ok(()));
    (Arc::clone(&mail), Hold::new("p", mail, reporter), health)
}

fn state(health: &Health) -> &'static str {
    health.snapshot()[0].state.as_str()
}

async fn passes(hold: &Hold) -> bool {
    tokio::time::timeout(Duration::from_mins(1), hold.pass()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_before_mail_has_proven_itself() {
    let (mail, hold, health) = gate(true);
    assert!(!passes(&hold).await);
    assert_eq!(state(&health), "held");
    mail.blocked.store(false, Ordering::SeqCst);
    assert!(passes(&hold).await);
    assert_eq!(state(&health), "ready");
}

#[tokio::test(start_paused = true)]
async fn one_probe_passes_and_its_fate_decides() {
    let (_, hold, health) = gate(false);
    hold.pass().await.close(&expired(), None);
    assert_eq!(state(&health), "held");
    let probe = hold.pass().await;
    assert!(!passes(&hold).await, "only one at a time");
    probe.close(&expired(), None);
    drop(probe);
    let probe = hold.pass().await;
    probe.open();
    assert_eq!(state(&health), "ready");
    assert!(passes(&hold).await);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_proves_nothing_leaves_its_place_to_the_next() {
    let (_, hold, health) = gate(false);
    hold.pass().await.close(&expired(), None);
    drop(hold.pass().await);
    hold.pass().await.open();
    assert_eq!(state(&health), "ready");
}

#[tokio::test(start_paused = true)]
async fn many_that_meet_the_same_block_count_once_and_old_success_does_not_open() {
    let (mail, hold, health) = gate(false);
    let passes: Vec<_> = [hold.pass().await, hold.pass().await, hold.pass().await].into();
    for pass in &passes {
        pass.close(&expired(), None);
    }
    passes[0].open();
    assert_eq!(state(&health), "held");
    let asked = mail.asked.load(Ordering::SeqCst);
    let start = Instant::now();
    hold.pass().await.open();
    assert!(start.elapsed() <= PAUSE_MIN, "{:?}", start.elapsed());
    assert_eq!(mail.asked.load(Ordering::SeqCst), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked() {
    let (mail, hold, health) = gate(false);
    drop(hold.pass().await);
    mail.blocked.store(true, Ordering::SeqCst);
    hold.check().await;
    assert_eq!(state(&health), "held");
    mail.blocked.store(false, Ordering::SeqCst);
    let pass = hold.pass().await;
    assert_eq!(state(&health), "ready", "its own word is enough");
    drop(pass);
}
