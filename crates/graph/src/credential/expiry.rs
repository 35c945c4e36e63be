//! Tells when a connection's credentials end, long before they do: as a metric, in the log, and to
//! whoever asks to be notified.
//!
//! It looks at the credentials themselves, again each minute, so that one that was renewed is known
//! to be good. It asks Microsoft nothing: what is not written in the configuration or in a
//! certificate, it does not know.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use mailbridge_core::{Code, Error, Result};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{inspect, labelled};
use crate::{
    config::{Credential, Kind, Resolved},
    doctor::Finding,
    metric,
};

const EVERY: Duration = Duration::from_mins(1);
/// How long before its end a credential is told of.
pub(crate) const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY_SECONDS: i64 = 24 * 3600;
/// A notification that takes longer is given up, and made again at the next look.
const NOTIFY_MAX: Duration = Duration::from_secs(20);

/// A credential that ends soon, or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// The connection's name.
    pub connection: String,
    /// Which of its credentials, such as `certificate 1`.
    pub credential: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Whole days left; negative when it has ended.
    pub days_left: i64,
    /// The day on which this is told, in UTC. It is told once a day.
    pub day: Date,
}

/// Somebody who wants to know of credentials that end.
#[async_trait]
pub trait Notify: Send + Sync {
    /// A credential ends within 30 days, or has ended. Called once a day for each such credential,
    /// and again a minute later when it fails; a restart tells the same day again.
    async fn expiring(&self, told: &Expiring) -> Result<()>;
}

/// A look at the ends of a connection's credentials that goes on until it is dropped.
pub struct Expiry {
    /// At most one task. Dropped with its owner, which aborts it.
    _task: JoinSet<()>,
}

impl Expiry {
    /// Looks now and every minute. `connection` is its name in logs and metrics. Needs a runtime.
    pub fn start(connection: &str, resolved: &Resolved, notify: Option<Arc<dyn Notify>>) -> Self {
        let watched = |it: super::Labelled<'_>| Watched {
            connection: connection.to_owned(),
            label: it.label,
            source: it.credential.clone(),
            expires: None,
            logged: None,
            notified: None,
        };
        let mut all: Vec<_> = labelled(resolved).map(watched).collect();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                for watched in &mut all {
                    watched.look(Timestamp::now(), notify.as_deref()).await;
                }
            }
        });
        Self { _task: task }
    }
}

/// What is told once: this end, on this day.
type Told = (Timestamp, Date);

struct Watched {
    connection: String,
    label: String,
    source: Credential,
    /// Its end, as far as known.
    expires: Option<Timestamp>,
    logged: Option<Told>,
    notified: Option<Told>,
}

impl Watched {
    async fn look(&mut self, now: Timestamp, notify: Option<&dyn Notify>) {
        // one that cannot be read for the moment ends when it did at the last look
        self.expires = end(&self.source).await.or(self.expires);
        let Some(expires) = self.expires else { return };
        self.measure(expires, now);
        if expires.duration_since(now) > SOON {
            return;
        }
        let seconds_left = expires.duration_since(now).as_secs();
        let told = Expiring {
            connection: self.connection.clone(),
            credential: self.label.clone(),
            expires,
            days_left: seconds_left.div_euclid(DAY_SECONDS),
            day: TimeZone::UTC.to_datetime(now).date(),
        };
        let today = Some((expires, told.day));
        if self.logged != today {
            self.logged = today;
            self.log(&told, seconds_left <= 0);
        }
        if let Some(notify) = notify
            && self.notified != today
        {
            match self.notify(notify, &told).await {
                Ok(()) => self.notified = today,
                Err(error) => tracing::warn!(
                    connection = told.connection, credential = told.credential,
                    code = %error.code(), reason = %error, cure = error.code().cure(),
                    "nobody could be notified of a credential that ends"
                ),
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and years are exact in it")]
    fn measure(&self, expires: Timestamp, now: Timestamp) {
        let gauge = metrics::gauge!(
            metric::CREDENTIAL_EXPIRES,
            "connection" => self.connection.clone(),
            "credential" => self.label.clone(),
        );
        gauge.set(expires.duration_since(now).as_secs() as f64);
    }

    fn log(&self, told: &Expiring, past: bool) {
        let Expiring { connection, credential, expires, days_left, .. } = told;
        if past {
            let code = match self.source.kind {
                Kind::Certificate(_) => Code::CredentialCertificateExpired,
                _ => Code::CredentialSecretExpired,
            };
            tracing::error!(
                connection, credential, %expires, days_left, %code, cure = code.cure(),
                "a credential has ended"
            );
        } else {
            let cure = Finding::CredentialExpiring.cure();
            tracing::warn!(
                connection, credential, %expires, days_left, cure,
                "a credential ends soon"
            );
        }
    }

    async fn notify(&self, notify: &dyn Notify, told: &Expiring) -> Result<()> {
        timeout(NOTIFY_MAX, notify.expiring(told)).await.unwrap_or_else(|_| {
            let detail = "a notification took too long";
            Err(Error::transient(Code::BusPublishFailed, detail)
                .with("seconds", NOTIFY_MAX.as_secs()))
        })
    }
}

/// When a credential ends, if that is known. One that has ended already cannot be used, and says
/// when that was.
async fn end(source: &Credential) -> Option<Timestamp> {
    match inspect(source).await {
        Ok(expires) => expires,
        Err(error) => {
            let ended = error.field("ended").and_then(|text| text.parse().ok());
            ended.into_iter().chain(source.expires).min()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mailbridge_core::{Secret, SecretSource};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// Writes down what it is told, and fails as often as it is to.
    #[derive(Default)]
    struct Notebook {
        told: Mutex<Vec<Expiring>>,
        failures: Mutex<u32>,
    }

    #[async_trait]
    impl Notify for Notebook {
        async fn expiring(&self, told: &Expiring) -> Result<()> {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(Error::transient(Code::BusPublishFailed, "no"));
            }
            self.told.lock().unwrap().push(told.clone());
            Ok(())
        }
    }

    fn watched(expires: &str) -> Watched {
        let kind = Kind::ClientSecret(SecretSource::Literal(Secret::new("s~")));
        Watched {
            connection: "contoso".to_owned(),
            label: "client_secret 1".to_owned(),
            source: Credential { kind, expires: Some(at(expires)) },
            expires: None,
            logged: None,
            notified: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn it_is_told_once_a_day_from_thirty_days_on() {
        let mut watched = watched("2030-03-01T12:00:00Z");
        let notebook = Notebook::default();
        for now in [
            "2030-01-30T11:59:59Z", // 30 days and a second
            "2030-01-30T12:00:00Z",
            "2030-01-30T23:59:00Z",
            "2030-01-31T00:00:00Z",
            "2030-03-01T11:00:00Z",
            "2030-03-02T12:00:00Z",
        ] {
            watched.look(at(now), Some(&notebook)).await;
        }
        let told = notebook.told.lock().unwrap().clone();
        let days: Vec<_> = told.iter().map(|it| (it.day.to_string(), it.days_left)).collect();
        let expected =
            [("2030-01-30", 30), ("2030-01-31", 29), ("2030-03-01", 0), ("2030-03-02", -1)];
        assert_eq!(days, expected.map(|(day, left)| (day.to_owned(), left)));
        assert_eq!(told[0].credential, "client_secret 1");
        assert_eq!(told[0].expires, at("2030-03-01T12:00:00Z"));
    }

    #[tokio::test]
    async fn a_notification_that_fails_is_made_again() {
        let mut watched = watched("2030-03-01T12:00:00Z");
        let notebook = Notebook { failures: Mutex::new(2), ..Notebook::default() };
        for minute in 0..5 {
            watched.look(at(&format!("2030-02-20T00:0{minute}:00Z")), Some(&notebook)).await;
        }
        assert_eq!(notebook.told.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_new_end_is_another_one() {
        let mut watched = watched("2030-03-01T12:00:00Z");
        let notebook = Notebook::default();
        let now = at("2030-02-20T00:00:00Z");
        watched.look(now, Some(&notebook)).await;
        watched.source.expires = Some(at("2030-03-05T12:00:00Z"));
        watched.look(now, Some(&notebook)).await;
        assert_eq!(notebook.told.lock().unwrap().len(), 2);
        watched.source.expires = Some(at("2031-03-05T12:00:00Z"));
        watched.look(now, Some(&notebook)).await;
        assert_eq!(notebook.told.lock().unwrap().len(), 2);
    }

    #[test]
    fn the_seconds_left_are_measured_and_go_below_zero() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let measured = |now: &str| {
            let mut watched = watched("2030-03-01T12:00:00Z");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            metrics::with_local_recorder(&recorder, || {
                runtime.block_on(watched.look(at(now), None));
            });
            let told = recorder.handle().render();
            let labels = r#"{connection="contoso",credential="client_secret 1"}"#;
            let start = format!("mailbridge_credential_expires_seconds{labels} ");
            let line = told.lines().find_map(|line| line.strip_prefix(start.as_str()));
            line.unwrap_or_else(|| panic!("{told}")).to_owned()
        };
        assert_eq!(measured("2030-03-01T11:00:00Z"), "3600");
        assert_eq!(measured("2030-03-01T12:00:01Z"), "-1");
    }
}
