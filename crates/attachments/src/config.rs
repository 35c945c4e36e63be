//! What a pipeline says about the places that its requests may refer to.

use std::collections::BTreeMap;

use mailbridge_core::SecretSource;
use schemars::JsonSchema;
use serde::Deserialize;

/// The places below which requests may refer to files. Without any, no reference is read.
pub type Config = Vec<Place>;

/// A place below which requests may refer to files: a URL, or a URL with how to get there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(from = "Shape")]
#[schemars(with = "Shape")]
pub struct Place {
    /// `https://host/path/`, `file:///folder/`, `s3://bucket/path/`, `az://container/path/`,
    /// `gs://bucket/path/` or `nats-object://bucket/`; `http://` with `private`.
    pub prefix: String,
    /// `https` only: whether the host may have a private address.
    pub private: bool,
    /// `s3`, `az` and `gs` only: how to reach the store.
    pub options: Options,
    /// `nats-object` only: the bus whose object store it is.
    pub bus: Option<String>,
    /// `nats-object` that files are put into only: whether to make the bucket where it is missing.
    pub create: bool,
}

/// Settings of an object store by the names of the `object_store` crate, such as `region`,
/// `endpoint`, `account_name`; each a text or a secret's source. What is not given is taken from the
/// usual environment variables (`AWS_…`, `AZURE_…`, `GOOGLE_…`).
pub type Options = BTreeMap<String, SecretSource>;

#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a URL, or `prefix` with `private`, `options`, `bus` or `create`"
)]
#[schemars(rename = "AttachmentPlace")]
enum Shape {
    /// The URL alone.
    Url(String),
    /// The URL, and how to get there.
    Section(Section),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AttachmentPlaceSection")]
struct Section {
    /// `https://host/path/`, `file:///folder/`, `s3://bucket/path/`, `az://container/path/`,
    /// `gs://bucket/path/` or `nats-object://bucket/`. What lies below it may be referred to.
    prefix: String,
    /// `https` only: whether the host may have a private address; `false` when absent, so that no
    /// request reaches into your network by a name that leads there. With `true`, the place may be
    /// `http` too.
    #[serde(default)]
    private: bool,
    /// `s3`, `az` and `gs` only: how to reach the store, by the setting names of the `object_store`
    /// crate, such as `region`, `endpoint` or `account_name`. What is not given is taken from the
    /// environment (`AWS_…`, `AZURE_…`, `GOOGLE_…`), or from the machine's identity.
    #[serde(default)]
    options: Options,
    /// `nats-object` only: the bus whose object store it is.
    #[serde(default)]
    bus: Option<String>,
    /// `nats-object` of a `store` only: whether to make the bucket where it is missing, on disk and
    /// without a limit; `false` when absent.
    #[serde(default)]
    create: bool,
}

impl From<Shape> for Place {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Url(prefix) => {
                Self { prefix, private: false, options: Options::new(), bus: None, create: false }
            }
            Shape::Section(Section { prefix, private, options, bus, create }) => {
                Self { prefix, private, options, bus, create }
            }
        }
    }
}
