//! Two credentials side by side, as during a rotation: tried in order, the one that works remembered.
//!
//! Only a refusal of the credential itself goes on to the other, within the same token request; a
//! login service that cannot be reached would not know the other either.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use mailbridge_core::{Error, Result};

use crate::token::{Issued, Issuer};

pub(super) struct Pair {
    connection: Arc<str>,
    /// What each is called, and what gives tokens for it.
    all: Vec<(String, Box<dyn Issuer>)>,
    /// The one that worked last.
    working: AtomicUsize,
}

impl Pair {
    pub(super) fn new(connection: Arc<str>, all: Vec<(String, Box<dyn Issuer>)>) -> Self {
        Self { connection, all, working: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Issuer for Pair {
    async fn issue(&self, claims: Option<&str>) -> Result<Issued> {
        let first = self.working.load(Ordering::Relaxed);
        let count = self.all.len();
        let mut refusal: Option<Error> = None;
        for index in (first..count).chain(0..first) {
            let Some((label, issuer)) = self.all.get(index) else { continue };
            match issuer.issue(claims).await {
                Ok(token) => {
                    if self.working.swap(index, Ordering::Relaxed) != index {
                        tracing::warn!(
                            connection = %self.connection, credential = %label,
                            "this credential works, the one before does not"
                        );
                    }
                    return Ok(token);
                }
                Err(error) if !is_refusal(&error) => return Err(error),
                Err(error) => {
                    if count > 1 {
                        tracing::warn!(
                            connection = %self.connection, credential = %label,
                            code = %error.code(), reason = %error, cure = error.code().cure(),
                            "a credential is refused"
                        );
                    }
                    // what is wrong with the first one tried is what there is to tell
                    refusal.get_or_insert(if count > 1 {
                        error.with("credential", label)
                    } else {
                        error
                    });
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            let code = mailbridge_core::Code::CredentialUnreadable;
            Error::blocked(code, "the connection has no credential")
        }))
    }
}

fn is_refusal(error: &Error) -> bool {
    error.code().as_str().starts_with("credential_")
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use mailbridge_core::{Code, Secret};

    use super::*;

    /// Answers as it is told, and counts.
    #[derive(Clone)]
    struct Told(Arc<Mutex<(Option<Code>, u32)>>);

    impl Told {
        fn new(refusal: Option<Code>) -> Self {
            Self(Arc::new(Mutex::new((refusal, 0))))
        }

        fn asked(&self) -> u32 {
            std::mem::take(&mut self.0.lock().unwrap().1)
        }

        fn say(&self, refusal: Option<Code>) {
            self.0.lock().unwrap().0 = refusal;
        }
    }

    #[async_trait]
    impl Issuer for Told {
        async fn issue(&self, _claims: Option<&str>) -> Result<Issued> {
            let mut told = self.0.lock().unwrap();
            told.1 += 1;
            match told.0 {
                Some(code) => Err(Error::blocked(code, "no")),
                None => Ok(Issued {
                    access_token: Secret::new("t"),
                    expires_in: Duration::from_hours(1),
                    refresh_in: None,
                }),
            }
        }
    }

    fn pair(first: &Told, second: &Told) -> Pair {
        let all: Vec<(String, Box<dyn Issuer>)> = vec![
            ("client_secret 1".to_owned(), Box::new(first.clone())),
            ("client_secret 2".to_owned(), Box::new(second.clone())),
        ];
        Pair::new("c".into(), all)
    }

    #[tokio::test]
    async fn the_second_is_tried_at_once_and_remembered() {
        let (first, second) = (Told::new(Some(Code::CredentialSecretWrong)), Told::new(None));
        let pair = pair(&first, &second);
        assert!(pair.issue(None).await.is_ok());
        assert_eq!((first.asked(), second.asked()), (1, 1));
        assert!(pair.issue(None).await.is_ok());
        assert_eq!((first.asked(), second.asked()), (0, 1), "the one that works is remembered");
        first.say(None);
        second.say(Some(Code::CredentialSecretExpired));
        assert!(pair.issue(None).await.is_ok());
        assert_eq!((first.asked(), second.asked()), (1, 1), "and back again");
    }

    #[tokio::test]
    async fn an_outage_is_not_a_refusal_and_two_refusals_tell_the_first() {
        let (first, second) = (Told::new(Some(Code::LoginUnavailable)), Told::new(None));
        let pair = pair(&first, &second);
        assert_eq!(pair.issue(None).await.err().unwrap().code(), Code::LoginUnavailable);
        assert_eq!(second.asked(), 0);
        first.say(Some(Code::CredentialSecretExpired));
        second.say(Some(Code::CredentialSecretWrong));
        let error = pair.issue(None).await.err().unwrap();
        assert_eq!(error.code(), Code::CredentialSecretExpired);
        assert_eq!(error.field("credential"), Some("client_secret 1"));
    }
}
