//! Traces by OTLP over HTTP, if a collector is named; otherwise nothing here runs.
//!
//! Spans are made in [`mailbridge_core::trace`]; here is the tracer behind it, and the queue
//! between it and the collector. Sending mail never waits for either: what a slow or absent
//! collector does not take is dropped and counted. Metrics do not go this
//! way: a collector scrapes `/metrics`.

mod queue;

use std::{collections::HashMap, time::Duration};

use mailbridge_core::{Code, Error, Result, trace};
use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider, SpanExporter as _},
};
use reqwest::redirect;

use self::queue::Queue;
use crate::config::model::telemetry::Telemetry as Config;

/// How long one export may take, with what the exporter repeats of it.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// How long a stop waits for the last spans: with the default of `drain`, less than the half minute
/// after which Kubernetes and systemd lose their patience.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Spans on their way to a collector.
pub struct Telemetry(Queue);

impl Telemetry {
    /// Begins to trace, if the configuration or the environment says where to. What keeps it from
    /// that is told, and is no reason not to send mail.
    pub async fn start(config: &Config) -> Option<Self> {
        let target = Target::of(config, variable)?;
        match start(config, &target).await {
            Ok(telemetry) => {
                tracing::info!(by = target.told(), "spans go to a collector");
                Some(telemetry)
            }
            Err(error) => {
                let (code, cure) = (error.code(), error.code().cure());
                tracing::warn!(%code, %error, cure, "there are no traces");
                None
            }
        }
    }

    /// Sends what is left, if the collector takes it in time.
    pub async fn finish(self) {
        self.0.finish(FLUSH_MAX).await;
    }
}

async fn start(config: &Config, target: &Target) -> Result<Telemetry> {
    let unusable = |cause: String| {
        Error::permanent(Code::TelemetryUnusable, "spans cannot be exported").with("cause", cause)
    };
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(EXPORT_MAX)
        .build()
        .map_err(|cause| unusable(cause.to_string()))?;
    let mut headers = HashMap::new();
    for (name, source) in &config.headers {
        headers.insert(name.clone(), source.read().await?.expose().to_owned());
    }
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_headers(headers);
    if let Target::File(url) = target {
        exporter = exporter.with_endpoint(url);
    }
    let mut exporter = exporter.build().map_err(|cause| unusable(cause.to_string()))?;
    let resource = resource(config, variable);
    exporter.set_resource(&resource);
    let (queue, processor) = Queue::start(exporter, EXPORT_MAX);
    let provider =
        SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource);
    let provider = match config.sample {
        None => provider,
        Some(part) => {
            let ours = Sampler::TraceIdRatioBased(part);
            provider.with_sampler(Sampler::ParentBased(Box::new(ours)))
        }
    };
    let scope = InstrumentationScope::builder("mailbridge").with_version(VERSION).build();
    let tracer = provider.build().tracer_with_scope(scope);
    trace::install(trace::BoxedTracer::new(Box::new(tracer)));
    Ok(Telemetry(queue))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who spans are of. The file wins over the environment.
fn resource(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Resource {
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", VERSION));
    let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let mut attributes = attributes.split(',').filter_map(|it| it.split_once('='));
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || attributes.any(|(name, _)| name.trim() == "service.name");
    match &config.service_name {
        Some(name) => resource.with_service_name(name.clone()),
        None if named => resource,
        None => resource.with_service_name("mailbridge"),
    }
    .build()
}

/// Who says where spans go.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// The file: to this URL.
    File(String),
    /// The environment, which the exporter reads by itself.
    Environment,
}

impl Target {
    /// Nothing, if nobody does, or somebody has switched it off.
    fn of(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let is =
            |name, value: &str| variable(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        if let Some(endpoint) = &config.endpoint {
            return Some(Self::File(endpoint.traces()));
        }
        let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        names.into_iter().any(|name| variable(name).is_some()).then_some(Self::Environment)
    }

    fn told(&self) -> &'static str {
        match self {
            Self::File(_) => "telemetry.endpoint",
            Self::Environment => "OTEL_EXPORTER_OTLP_ENDPOINT",
        }
    }
}

/// A variable of the environment; an empty one is as if it were not set (opentelemetry.io,
/// configuration/sdk-environment-variables).
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{model::telemetry::Endpoint, text::Text as _};

    fn of(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
    }

    fn file() -> Config {
        Config { endpoint: Endpoint::read("http://c:4318/"), ..Config::default() }
    }

    #[test]
    fn without_an_endpoint_there_is_nothing() {
        assert_eq!(Target::of(&Config::default(), of(&[])), None);
        let other = of(&[("OTEL_SERVICE_NAME", "x")]);
        assert_eq!(Target::of(&Config::default(), other), None);
    }

    #[test]
    fn the_file_wins_and_the_environment_switches_off() {
        let there = of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4318")]);
        assert_eq!(Target::of(&Config::default(), &there), Some(Target::Environment));
        let url = "http://c:4318/v1/traces".to_owned();
        assert_eq!(Target::of(&file(), there), Some(Target::File(url)));
        assert_eq!(Target::of(&file(), of(&[("OTEL_SDK_DISABLED", "true")])), None);
        assert_eq!(Target::of(&file(), of(&[("OTEL_TRACES_EXPORTER", "none")])), None);
    }

    #[test]
    fn a_service_has_a_name() {
        let name = |config: &Config, pairs| {
            let key = opentelemetry::Key::new("service.name");
            resource(config, of(pairs)).get(&key).map(|name| name.to_string())
        };
        let said = Config { service_name: Some("mails".to_owned()), ..Config::default() };
        assert_eq!(name(&said, &[]).as_deref(), Some("mails"));
        assert_eq!(name(&Config::default(), &[]).as_deref(), Some("mailbridge"));
    }

    #[test]
    fn an_endpoint_is_the_url_of_a_collector() {
        for bad in ["", "c:4318", "grpc://c:4317", "http://u:p@c:4318", "http://c:4318?key=1"] {
            assert_eq!(Endpoint::read(bad), None, "{bad}");
        }
    }
}
