//! The door: is this URL below an allowed place, and who fetches it from there.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, File, Files, Result};
use reqwest::Url;

use crate::{
    config::Place,
    error::{not_allowed, unavailable},
    file::Folder,
    https::Https,
    store::{ObjectStores, Variables},
};

/// The files that the requests of one pipeline may refer to.
#[derive(Debug)]
pub struct Attachments {
    places: Vec<Allowed>,
}

/// An allowed place.
struct Allowed {
    prefix: Prefix,
    files: Arc<dyn Files>,
}

/// What the URL of a file must begin with.
#[derive(Clone)]
pub(crate) struct Prefix(Url);

impl Attachments {
    /// The files below these places. `variables` are the environment's, for object stores;
    /// `of_bus` gives the object store of a bus by its name.
    ///
    /// # Errors
    /// `config_invalid` with the field `key`: which entry, and which key of it.
    pub fn new(
        places: &[Place],
        variables: &Variables,
        of_bus: &dyn Fn(&str) -> Result<Arc<dyn Files>>,
    ) -> Result<Self> {
        let allowed = |(index, place): (usize, &Place)| {
            let at = |key: &str, error: Error| {
                Error::permanent(Code::ConfigInvalid, error.detail().to_owned())
                    .with("key", format!("{index}.{key}"))
            };
            let prefix = Prefix::parse(&place.prefix).map_err(|error| at("prefix", error))?;
            let files = fetcher(place, &prefix, variables, of_bus).map_err(|error| {
                let key = error.field("key").unwrap_or("prefix").to_owned();
                at(&key, error)
            })?;
            Ok(Allowed { prefix, files })
        };
        let places = places.iter().enumerate().map(allowed).collect::<Result<_>>()?;
        Ok(Self { places })
    }

    fn find(&self, text: &str) -> Result<(&Allowed, Url)> {
        let url = plain_url(text)?;
        let place = self.places.iter().filter(|place| place.prefix.holds(&url));
        // of two places that both hold it, the one that says more about it
        let place = place.max_by_key(|place| place.prefix.0.as_str().len());
        let place = place.ok_or_else(|| {
            not_allowed("the reference leads outside the places that the pipeline allows")
        })?;
        Ok((place, url))
    }
}

#[async_trait]
impl Files for Attachments {
    async fn open(&self, url: &str) -> Result<File> {
        let (place, resolved) = self.find(url)?;
        let opened = place.files.open(resolved.as_str());
        let opened = tokio::time::timeout(crate::error::CALL_MAX, opened).await;
        let file = opened.map_err(|_| unavailable(&resolved, "no answer in time"))??;
        Ok(File { url: url.to_owned(), ..file })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (place, url) = self.find(&file.url)?;
        let bytes = range.end - range.start;
        let known = File { url: url.as_str().to_owned(), ..file.clone() };
        let read = place.files.read(&known, range);
        let read = tokio::time::timeout(crate::error::CALL_MAX, read).await;
        let read = read.map_err(|_| unavailable(&url, "no answer in time"))??;
        if read.len() as u64 == bytes {
            return Ok(read);
        }
        Err(unavailable(&url, "it gave another number of bytes than was asked for"))
    }
}

fn fetcher(
    place: &Place,
    prefix: &Prefix,
    variables: &Variables,
    of_bus: &dyn Fn(&str) -> Result<Arc<dyn Files>>,
) -> Result<Arc<dyn Files>> {
    keys_fit(place, prefix)?;
    if place.create {
        return Err(not_allowed("nothing is made where files are only read").with("key", "create"));
    }
    Ok(match prefix.0.scheme() {
        "https" | "http" => Arc::new(Https::new(prefix.clone(), place.private)?),
        "file" => Arc::new(Folder::new(prefix)?),
        "nats-object" => {
            let Some(bus) = &place.bus else {
                let detail = "expected the bus whose object store it is";
                return Err(not_allowed(detail).with("key", "bus"));
            };
            of_bus(bus).map_err(|error| error.with("key", "bus"))?
        }
        _ => Arc::new(ObjectStores::new(prefix, &place.options, variables)?),
    })
}

/// Whether the keys of a place go with its kind.
pub(crate) fn keys_fit(place: &Place, prefix: &Prefix) -> Result<()> {
    let scheme = prefix.0.scheme();
    let foreign = [
        ("private", place.private && !is_web(&prefix.0)),
        ("options", !place.options.is_empty() && !["s3", "az", "gs"].contains(&scheme)),
        ("bus", place.bus.is_some() && scheme != "nats-object"),
        ("create", place.create && scheme != "nats-object"),
    ];
    match foreign.iter().find(|(_, foreign)| *foreign) {
        None => Ok(()),
        Some((key, _)) => {
            Err(not_allowed("this key does not go with this kind of place").with("key", *key))
        }
    }
}

impl Prefix {
    /// Takes a prefix; one that does not end in `/` is a folder's all the same.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut url = plain_url(text)?;
        if url.query().is_some() {
            return Err(not_allowed("a place has no query"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    pub(crate) fn holds(&self, url: &Url) -> bool {
        url.as_str().starts_with(self.0.as_str()) && url.as_str().len() > self.0.as_str().len()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
}

/// A URL with nothing hidden in it: dots resolved, host in one spelling, no user, no fragment.
pub(crate) fn plain_url(text: &str) -> Result<Url> {
    let mut url = Url::parse(text)
        .map_err(|_| not_allowed("the reference is not a URL such as s3://bucket/key"))?;
    let known = ["https", "http", "file", "s3", "az", "gs", "nats-object"];
    if !known.contains(&url.scheme()) {
        let detail = "a reference starts with https, file, s3, az, gs or nats-object";
        return Err(not_allowed(detail));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(not_allowed("a reference has no user name and no password in it"));
    }
    if url.scheme() == "file" && url.host_str().is_some() {
        return Err(not_allowed("a file's URL starts with three slashes: file:///folder/name"));
    }
    if url.scheme() != "file" && url.host_str().is_none_or(str::is_empty) {
        return Err(not_allowed("the reference names no host, bucket or container"));
    }
    if !is_web(&url) && url.query().is_some() {
        return Err(not_allowed("a reference of this kind has no query"));
    }
    url.set_fragment(None);
    Ok(url)
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Allowed").field(&self.prefix.0.as_str()).finish()
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(prefix: &str, url: &str) -> bool {
        plain_url(url).is_ok_and(|url| Prefix::parse(prefix).unwrap().holds(&url))
    }

    #[test]
    fn what_lies_below_a_place_is_held_and_nothing_else() {
        for (prefix, url) in [
            ("https://files.example/pub", "https://files.example/pub/a.pdf?sig=1"),
            ("https://files.example/pub/", "https://FILES.example:443/pub/x/../a.pdf"),
            ("file:///srv/mail", "file:///srv/mail/a.pdf"),
            ("s3://bucket", "s3://bucket/a/b.pdf"),
            ("nats-object://files/", "nats-object://files/a"),
        ] {
            assert!(holds(prefix, url), "{prefix} {url}");
        }
        for (prefix, url) in [
            ("https://files.example/pub", "https://files.example/public/a.pdf"),
            ("https://files.example/pub", "https://files.example/pub/../etc/a"),
            ("https://files.example/pub", "https://files.example/pub/%2e%2e/etc/a"),
            ("https://files.example/pub", "https://files.example/pub/"),
            ("https://files.example/", "https://files.example.evil.org/a"),
            ("https://files.example/", "https://files.example@evil.org/a"),
            ("https://files.example/", "https://files.example:8443/a"),
            ("https://files.example/", "http://files.example/a"),
            ("file:///srv/mail", "file:///srv/mail/../../etc/passwd"),
            ("file:///srv/mail", "file://evil/srv/mail/a"),
            ("s3://bucket/a", "s3://bucket/b/x"),
            ("s3://bucket/a", "s3://bucket2/a/x"),
            ("s3://bucket/a", "s3://bucket/a/x?versionId=1"),
        ] {
            assert!(!holds(prefix, url), "{prefix} {url}");
        }
    }
}
