//! All on paused time: a wait takes none, and "one second later" is exact.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use mailbridge_core::Secret;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{advance, sleep},
};

use super::*;

/// An issuer whose answers are written down beforehand, and handed out one a permit.
struct Script {
    asked: AtomicUsize,
    gate: Semaphore,
    failing: Mutex<Option<Error>>,
    lifetime: Duration,
}

#[async_trait]
impl Issuer for Arc<Script> {
    async fn issue(&self, _claims: Option<&str>) -> Result<Issued> {
        let number = self.asked.fetch_add(1, SeqCst) + 1;
        self.gate.acquire().await.unwrap().forget();
        if let Some(error) = self.failing.lock().unwrap().clone() {
            return Err(error);
        }
        Ok(Issued {
            access_token: Secret::new(format!("token-{number}")),
            expires_in: self.lifetime,
            refresh_in: None,
        })
    }
}

fn cache(answers: usize) -> (Arc<TokenCache>, Arc<Script>) {
    let script = Arc::new(Script {
        asked: AtomicUsize::new(0),
        gate: Semaphore::new(answers),
        failing: Mutex::new(None),
        lifetime: Duration::from_hours(1),
    });
    (Arc::new(TokenCache::new("test".into(), Box::new(Arc::clone(&script)), false)), script)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn text(cache: &TokenCache) -> String {
    cache.get(soon()).await.unwrap().authorization().to_str().unwrap().to_owned()
}

/// Lets the background task run until it waits.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn five_hundred_callers_make_one_request() {
    let (cache, script) = cache(0);
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let cache = Arc::clone(&cache);
        callers.spawn(async move { text(&cache).await });
    }
    settle().await;
    script.gate.add_permits(1);
    let got = callers.join_all().await;
    assert_eq!(got.len(), 500);
    assert!(got.iter().all(|token| token == "Bearer token-1"));
    assert_eq!(script.asked.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_does_not_stop_the_request() {
    let (cache, script) = cache(0);
    let error = cache.get(Instant::now() + Duration::from_millis(5)).await.unwrap_err();
    assert_eq!(error.code(), Code::LoginUnreachable);
    script.gate.add_permits(1);
    assert_eq!(text(&cache).await, "Bearer token-1");
    assert_eq!(script.asked.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_while_the_next_is_got_and_when_it_cannot_be() {
    let (cache, script) = cache(1);
    assert_eq!(text(&cache).await, "Bearer token-1");
    advance(Duration::from_secs(1600)).await;
    assert_eq!(text(&cache).await, "Bearer token-1");
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 1, "it is not due before 0.9 of half its lifetime");

    // due: one request starts, all callers are served at once, whatever becomes of it
    advance(Duration::from_secs(210)).await;
    for _ in 0..50 {
        assert_eq!(text(&cache).await, "Bearer token-1");
    }
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 2);
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::LoginUnavailable, "down"));
    script.gate.add_permits(1);
    settle().await;
    assert_eq!(text(&cache).await, "Bearer token-1");

    // after the back-off it is tried again, and the next token serves
    *script.failing.lock().unwrap() = None;
    script.gate.add_permits(1);
    advance(Duration::from_secs(11)).await;
    assert_eq!(text(&cache).await, "Bearer token-1");
    settle().await;
    assert_eq!(text(&cache).await, "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_served() {
    let (cache, _) = cache(2);
    assert_eq!(text(&cache).await, "Bearer token-1");
    advance(Duration::from_mins(59)).await;
    assert_eq!(text(&cache).await, "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_and_its_back_off_grows() {
    let (cache, script) = cache(1000);
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::CredentialSecretWrong, "no"));
    for (round, wait_seconds) in [1_u64, 2, 4, 8, 10, 10].into_iter().enumerate() {
        for _ in 0..100 {
            let error = cache.get(soon()).await.unwrap_err();
            assert_eq!(error.code(), Code::CredentialSecretWrong);
            let Verdict::Blocked { scope: Scope::Connection, after: Some(after) } = error.verdict()
            else {
                panic!("{error:?}")
            };
            assert!(after <= Duration::from_secs(wait_seconds), "{after:?}");
        }
        assert_eq!(script.asked.load(SeqCst), round + 1);
        advance(Duration::from_millis(wait_seconds * 1000 + 1)).await;
    }
    // the secret has been changed: the next call after the back-off has a token
    *script.failing.lock().unwrap() = None;
    assert_eq!(text(&cache).await, "Bearer token-7");
}

#[tokio::test(start_paused = true)]
async fn the_login_services_own_wait_is_kept() {
    let (cache, script) = cache(10);
    let wait = Some(Duration::from_mins(1));
    let verdict = Verdict::Blocked { scope: Scope::Connection, after: wait };
    *script.failing.lock().unwrap() =
        Some(Error::new(Code::LoginUnavailable, verdict, "slow down"));
    assert!(cache.get(soon()).await.is_err());
    *script.failing.lock().unwrap() = None;
    advance(Duration::from_secs(59)).await;
    assert!(cache.get(soon()).await.is_err());
    assert_eq!(script.asked.load(SeqCst), 1);
    advance(Duration::from_secs(1)).await;
    assert!(cache.get(soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_to_many_is_replaced_once() {
    let (cache, script) = cache(10);
    let refused = cache.get(soon()).await.unwrap();
    for _ in 0..100 {
        assert!(cache.refuse(&refused, None));
        assert_eq!(text(&cache).await, "Bearer token-2");
    }
    assert_eq!(script.asked.load(SeqCst), 2);
    // the fresh one is refused as well: that is no reason to ask for ever more
    let fresh = cache.get(soon()).await.unwrap();
    assert!(!cache.refuse(&fresh, None));
    advance(FORCED_EVERY).await;
    assert!(cache.refuse(&fresh, None));
    assert_eq!(text(&cache).await, "Bearer token-3");
}

#[tokio::test(start_paused = true)]
async fn a_login_service_that_never_answers_is_given_up() {
    let (cache, _) = cache(0);
    let error = cache.get(soon()).await.unwrap_err();
    assert_eq!(error.code(), Code::LoginUnreachable);
    assert_eq!(error.field("seconds"), Some("10"));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_panics_does_not_wedge_the_cache() {
    struct Panics(AtomicUsize);
    #[async_trait]
    impl Issuer for Panics {
        async fn issue(&self, _claims: Option<&str>) -> Result<Issued> {
            assert!(self.0.fetch_add(1, SeqCst) > 0, "the first request");
            Ok(Issued {
                access_token: Secret::new("second"),
                expires_in: Duration::from_mins(1),
                refresh_in: None,
            })
        }
    }
    let cache = TokenCache::new("test".into(), Box::new(Panics(AtomicUsize::new(0))), false);
    assert_eq!(text(&cache).await, "Bearer second");
}
