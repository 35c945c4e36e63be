//! `/metrics`: what the engine and Graph have counted, in the text form of Prometheus.

use std::time::Duration;

use axum::extract::State;
use mailbridge_core::{Code, Error, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The upper ends of the buckets of durations, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// How often what was recorded is folded into buckets when nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// The program's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts counting. Once in a process, before anything that counts is built.
    pub fn start() -> Result<Self> {
        let failed = |cause: metrics_exporter_prometheus::BuildError| {
            Error::permanent(Code::Internal, "metrics cannot be counted").with("cause", cause)
        };
        let suffix = Matcher::Suffix("_seconds".to_owned());
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(suffix, &SECONDS).map_err(failed)?;
        let handle = builder.install_recorder().map_err(failed)?;
        #[cfg(feature = "kafka")]
        let buses = mailbridge_kafka::metric::ALL;
        #[cfg(not(feature = "kafka"))]
        let buses: &[_] = &[];
        let all = [mailbridge_engine::metric::ALL, mailbridge_graph::metric::ALL, buses];
        for (name, meaning) in all.concat() {
            describe(name, meaning);
        }
        Ok(Self(handle))
    }

    /// Keeps memory flat where nobody asks for metrics. Runs until it is dropped.
    pub async fn keep_up(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// The kind follows from the name, by Prometheus's own rule; an age and a time that is left are no
/// durations: they go up and down.
fn describe(name: &'static str, meaning: &'static str) {
    let level = ["_age_seconds", "_expires_seconds"].iter().any(|end| name.ends_with(end));
    if name.ends_with("_total") {
        metrics::describe_counter!(name, meaning);
    } else if name.ends_with("_seconds") && !level {
        metrics::describe_histogram!(name, metrics::Unit::Seconds, meaning);
    } else {
        metrics::describe_gauge!(name, meaning);
    }
}

/// Answers.
pub async fn metrics(State(Metrics(handle)): State<Metrics>) -> String {
    handle.render()
}
