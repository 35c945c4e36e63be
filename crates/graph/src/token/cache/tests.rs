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
    /// The claims of the requests, in order.
    claims: Mutex<Vec<Option<String>>>,
    lifetime: Duration,
}

#[async_trait]
impl Issuer for Arc<Script> {
    async fn issue(&self, claims: Option<&str>) -> Result<Issued> {
        self.claims.lock().unwrap().push(claims.map(str::to_owned));
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
    cache_that(false, answers)
}

fn cache_that(cae: bool, answers: usize) -> (Arc<TokenCache>, Arc<Script>) {
    let script = Arc::new(Script {
        asked: AtomicUsize::new(0),
        gate: Semaphore::new(answers),
        failing: Mutex::new(None),
        claims: Mutex::default(),
        lifetime: Duration::from_hours(1),
    });
    (Arc::new(TokenCache::new("test".into(), Box::new(Arc::clone(&script)), cae)), script)
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
async fn whoever_keeps_a_token_gets_the_next_when_it_is_due_and_the_old_one_where_there_is_none() {
    let (cache, script) = cache(2);
    let newest = async || {
        let token = cache.newest(Instant::now() + Duration::from_secs(5), soon()).await.unwrap();
        token.authorization().to_str().unwrap().to_owned()
    };
    assert_eq!(newest().await, "Bearer token-1");
    advance(Duration::from_mins(40)).await;
    assert_eq!(newest().await, "Bearer token-2", "the first one serves, and is due");
    assert_eq!(newest().await, "Bearer token-2");
    advance(Duration::from_mins(40)).await;
    // nobody answers
    let began = Instant::now();
    assert_eq!(newest().await, "Bearer token-2");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(script.asked.load(SeqCst), 3);
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

/// A claims challenge for a token that is not older than this.
fn challenge(not_before: u32) -> Challenge {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let claims = format!(r#"{{"access_token":{{"nbf":{{"value":"{not_before}"}}}}}}"#);
    Challenge::decode(&STANDARD.encode(claims)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_challenge_to_many_is_answered_once_with_its_claims() {
    for (cae, capability) in [(false, ""), (true, r#","xms_cc":{"values":["cp1"]}"#)] {
        let (cache, script) = cache_that(cae, 10);
        let refused = cache.get(soon()).await.unwrap();
        for _ in 0..500 {
            assert!(cache.refuse(&refused, Some(&challenge(7))));
            assert_eq!(text(&cache).await, "Bearer token-2");
        }
        // what the challenge wanted, the next token on its way need not have
        advance(Duration::from_mins(59)).await;
        assert_eq!(text(&cache).await, "Bearer token-3");
        let plain = cae.then(|| r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#.to_owned());
        let merged = format!(r#"{{"access_token":{{"nbf":{{"value":"7"}}{capability}}}}}"#);
        assert_eq!(*script.claims.lock().unwrap(), [plain.clone(), Some(merged), plain]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_got_for_a_challenge_is_not_replaced_at_once_again() {
    let (cache, script) = cache(10);
    let first = cache.get(soon()).await.unwrap();
    // that it was refused just before, without a challenge, is another matter
    assert!(cache.refuse(&first, None));
    let second = cache.get(soon()).await.unwrap();
    assert!(cache.refuse(&second, Some(&challenge(7))));
    let third = cache.get(soon()).await.unwrap();
    for again in [7, 8] {
        assert!(!cache.refuse(&third, Some(&challenge(again))));
    }
    assert_eq!(script.asked.load(SeqCst), 3);
    advance(FORCED_EVERY).await;
    assert!(cache.refuse(&third, Some(&challenge(8))));
    assert_eq!(text(&cache).await, "Bearer token-4");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_outlives_a_failure_and_a_request_that_came_before_it() {
    let (cache, script) = cache(1);
    let refused = cache.get(soon()).await.unwrap();
    advance(Duration::from_mins(30)).await;
    // a request for its successor is on its way when it is challenged
    assert_eq!(text(&cache).await, "Bearer token-1");
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 2);
    assert!(cache.refuse(&refused, Some(&challenge(7))));
    script.gate.add_permits(1);
    let mut waiting = JoinSet::new();
    let asking = Arc::clone(&cache);
    waiting.spawn(async move { asking.get(soon()).await });
    settle().await;
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::LoginUnavailable, "down"));
    script.gate.add_permits(1);
    assert!(waiting.join_next().await.unwrap().unwrap().is_err());
    *script.failing.lock().unwrap() = None;
    script.gate.add_permits(1);
    advance(Duration::from_secs(2)).await;
    assert_eq!(text(&cache).await, "Bearer token-4");
    let claims = script.claims.lock().unwrap();
    let asked: Vec<_> = claims.iter().map(Option::is_some).collect();
    assert_eq!(asked, [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_credential_is_used_at_once_while_the_old_token_serves() {
    let (cache, script) = cache(1);
    cache.renew();
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 0, "nobody wants a token yet");
    assert_eq!(text(&cache).await, "Bearer token-1");
    for _ in 0..3 {
        cache.renew();
        settle().await;
        assert_eq!(text(&cache).await, "Bearer token-1");
    }
    assert_eq!(script.asked.load(SeqCst), 2, "one request, also when it has changed thrice");
    script.gate.add_permits(1);
    settle().await;
    assert_eq!(text(&cache).await, "Bearer token-2");
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_changed_credential_that_is_refused_harms_nobody_while_the_old_token_serves() {
    let (cache, script) = cache(10);
    assert_eq!(text(&cache).await, "Bearer token-1");
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::CredentialSecretWrong, "no"));
    cache.renew();
    settle().await;
    assert_eq!(script.asked.load(SeqCst), 2);
    for _ in 0..50 {
        assert_eq!(text(&cache).await, "Bearer token-1");
    }
    assert_eq!(script.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_wrong_with_the_old_credential_is_forgotten() {
    let (cache, script) = cache(10);
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::CredentialSecretExpired, "no"));
    assert!(cache.get(soon()).await.is_err());
    *script.failing.lock().unwrap() = None;
    assert!(cache.get(soon()).await.is_err(), "the failure is remembered");
    cache.renew();
    assert_eq!(text(&cache).await, "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_old_credential_that_comes_late_does_not_count() {
    let (cache, script) = cache(0);
    let mut waiting = JoinSet::new();
    let asking = Arc::clone(&cache);
    waiting.spawn(async move { text(&asking).await });
    settle().await;
    cache.renew();
    *script.failing.lock().unwrap() = Some(Error::blocked(Code::CredentialSecretWrong, "no"));
    script.gate.add_permits(1);
    settle().await;
    *script.failing.lock().unwrap() = None;
    script.gate.add_permits(1);
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn a_changed_credential_does_not_shorten_the_wait_that_login_asked_for() {
    let (cache, script) = cache(10);
    assert_eq!(text(&cache).await, "Bearer token-1");
    advance(Duration::from_mins(30)).await;
    let wait = Some(Duration::from_mins(1));
    let verdict = Verdict::Blocked { scope: Scope::Connection, after: wait };
    *script.failing.lock().unwrap() =
        Some(Error::new(Code::LoginUnavailable, verdict, "slow down"));
    assert_eq!(text(&cache).await, "Bearer token-1");
    settle().await;
    *script.failing.lock().unwrap() = None;
    for _ in 0..59 {
        cache.renew();
        advance(Duration::from_secs(1)).await;
        assert_eq!(text(&cache).await, "Bearer token-1");
    }
    assert_eq!(script.asked.load(SeqCst), 2);
    advance(Duration::from_secs(1)).await;
    assert_eq!(text(&cache).await, "Bearer token-1");
    settle().await;
    assert_eq!(text(&cache).await, "Bearer token-3");
}
