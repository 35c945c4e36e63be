//! `s3://`, `az://` and `gs://`: objects in the clouds' stores and in all that speak their protocols,
//! by the `object_store` crate.
//!
//! Where a store is, and with which credentials it is asked, is the operator's to say; a request only
//! names the bucket and the key, below the allowed prefix.

use std::{collections::HashMap, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Error, File, Files, Result, SecretSource};
use object_store::{
    Attribute, GetOptions, GetRange, ObjectStore, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, buffered::BufWriter, gcp::GoogleCloudStorageBuilder, path::Path,
};
use reqwest::Url;
use tokio::sync::OnceCell;

use crate::{
    config::Options,
    error::{changed, missing, not_allowed, unavailable},
    place::{Prefix, plain_url},
    storage,
};

/// Bytes of one part of an object that is written in parts; S3 takes none below 5 MiB but the last.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts of one object that are on their way at most.
const PARTS_MAX: usize = 2;

/// The environment's variables: `AWS_…`, `AZURE_…`, `GOOGLE_…` say how to reach a store.
pub type Variables = HashMap<String, String>;

/// One bucket or container.
#[derive(Debug)]
pub(crate) struct ObjectStores {
    kind: Kind,
    bucket: String,
    options: Options,
    variables: Vec<(String, String)>,
    /// Made at its first use: its secrets are read then.
    store: OnceCell<Arc<dyn ObjectStore>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    S3,
    Azure,
    Google,
}

impl ObjectStores {
    pub(crate) fn new(prefix: &Prefix, options: &Options, variables: &Variables) -> Result<Self> {
        let url = prefix.url();
        let kind = match url.scheme() {
            "s3" => Kind::S3,
            "az" => Kind::Azure,
            _ => Kind::Google,
        };
        for name in options.keys() {
            if !kind.knows(name) {
                let detail = "the object store has no setting of this name";
                return Err(not_allowed(detail).with("key", format!("options.{name}")));
            }
        }
        let variables = variables.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            kind.takes(&name).then(|| (name, value.clone()))
        });
        Ok(Self {
            kind,
            bucket: url.host_str().unwrap_or_default().to_owned(),
            options: options.clone(),
            variables: variables.collect(),
            store: OnceCell::new(),
        })
    }

    async fn store(&self, url: &Url) -> Result<&Arc<dyn ObjectStore>> {
        self.store.get_or_try_init(|| self.build(url)).await
    }

    /// Writes an object anew.
    pub(crate) async fn writer(&self, url: &Url, kind: Option<&str>) -> Result<BufWriter> {
        let store =
            self.store(url).await.map_err(|_| storage::unavailable("it has no settings"))?;
        let writer = BufWriter::with_capacity(Arc::clone(store), key(url)?, PART_BYTES);
        let kind = kind.map(|kind| (Attribute::ContentType, kind.to_owned()));
        Ok(writer.with_max_concurrency(PARTS_MAX).with_attributes(kind.into_iter().collect()))
    }

    async fn build(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let mut settings = self.variables.clone();
        for (name, source) in &self.options {
            let value = match source {
                SecretSource::Literal(value) => value.clone(),
                source => source.read().await?,
            };
            settings.push((name.clone(), value.expose().to_owned()));
        }
        let built = match self.kind {
            Kind::S3 => s3(&self.bucket, &settings),
            Kind::Azure => azure(&self.bucket, &settings),
            Kind::Google => google(&self.bucket, &settings),
        };
        // the crate's own words may repeat a setting
        built.map_err(|_| unavailable(url, "the store's settings do not make a store"))
    }
}

impl Kind {
    fn knows(self, name: &str) -> bool {
        match self {
            Self::S3 => name.parse::<object_store::aws::AmazonS3ConfigKey>().is_ok(),
            Self::Azure => name.parse::<object_store::azure::AzureConfigKey>().is_ok(),
            Self::Google => name.parse::<object_store::gcp::GoogleConfigKey>().is_ok(),
        }
    }

    /// Whether this is a variable of the environment that says how to reach such a store.
    fn takes(self, name: &str) -> bool {
        let start = match self {
            Self::S3 => "aws_",
            Self::Azure => "azure_",
            Self::Google => "google_",
        };
        name.starts_with(start) && self.knows(name)
    }
}

type Settings = [(String, String)];
type Built = object_store::Result<Arc<dyn ObjectStore>>;

fn s3(bucket: &str, settings: &Settings) -> Built {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, value);
    }
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

fn azure(container: &str, settings: &Settings) -> Built {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, value);
    }
    Ok(Arc::new(builder.with_container_name(container).build()?))
}

fn google(bucket: &str, settings: &Settings) -> Built {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in settings {
        builder = builder.with_config(name.parse()?, value);
    }
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

#[async_trait]
impl Files for ObjectStores {
    async fn open(&self, url: &str) -> Result<File> {
        let url = plain_url(url)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = self.store(&url).await?.get_opts(&key(&url)?, options).await;
        let found = found.map_err(|error| failed(&url, &error))?;
        let content_type = found.attributes.get(&Attribute::ContentType).map(|it| it.to_string());
        let version = found.meta.e_tag.or(found.meta.version);
        Ok(File { bytes: found.meta.size, version, content_type, url: url.into() })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let url = plain_url(&file.url)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: file.version.clone(),
            ..GetOptions::default()
        };
        let found = self.store(&url).await?.get_opts(&key(&url)?, options).await;
        let found = found.map_err(|error| failed(&url, &error))?;
        let now = found.meta.e_tag.as_ref().or(found.meta.version.as_ref());
        if now != file.version.as_ref() || found.meta.size != file.bytes {
            return Err(changed(&url));
        }
        found.bytes().await.map_err(|error| failed(&url, &error))
    }
}

fn key(url: &Url) -> Result<Path> {
    Path::from_url_path(url.path()).map_err(|_| not_allowed("the reference is no object's key"))
}

fn failed(url: &Url, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => missing(url),
        object_store::Error::Precondition { .. } => changed(url),
        object_store::Error::PermissionDenied { .. } => unavailable(url, "it denies the access"),
        object_store::Error::Unauthenticated { .. } => {
            unavailable(url, "it does not know the credentials")
        }
        _ => unavailable(url, "it cannot be reached, or fails"),
    }
}
