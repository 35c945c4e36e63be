//! Where spans go, as users write it.

use std::collections::BTreeMap;

use mailbridge_core::SecretSource;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::text::{self, Text};

/// Traces, by OTLP over HTTP. What is not said here, the environment says: `OTEL_EXPORTER_OTLP_…`,
/// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// The collector, such as `http://otel-collector:4318`; spans go to `/v1/traces` below it. Without
    /// it, and without `OTEL_EXPORTER_OTLP_ENDPOINT`, there are none.
    #[serde(default, deserialize_with = "text::optional")]
    pub endpoint: Option<Endpoint>,
    /// Headers for the collector, such as `authorization`. They are read once, at the start.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
    /// The name that spans are found by; `OTEL_SERVICE_NAME` or `mailbridge` when absent.
    #[serde(default)]
    pub service_name: Option<String>,
    /// Which part of the traces that begin here is kept, 0 to 1; `OTEL_TRACES_SAMPLER` or 1 when
    /// absent. Of a trace that began elsewhere, that was decided there.
    #[serde(default)]
    pub sample: Option<f64>,
}

/// A collector's address.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Endpoint(pub String);

impl Endpoint {
    /// Where spans go.
    pub fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.trim_end_matches('/'))
    }
}

impl Text for Endpoint {
    const EXPECTED: &str = "the URL of a collector without user and query, such as \
        http://otel-collector:4318";

    fn read(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let web = ["http", "https"].contains(&url.scheme()) && url.has_host();
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.query().is_none() && url.fragment().is_none();
        (web && plain && bare).then(|| Self(text.to_owned()))
    }
}
