//! `https://`: a file on a web server, read from where a range begins (RFC 9110, 14), or from the
//! start where the server knows no ranges. The answer is kept open for the read that follows.
//!
//! `http://` is for places inside one's own network, which say so with `private: true`.
//!
//! Redirects are followed by hand, since each hop has to be allowed; a body is taken as it is, never
//! decompressed.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Code, Error, File, Files, Result,
    adapter::{Chunks, Ranges},
};
use reqwest::{Client, Response, StatusCode, Url, header, redirect};

use crate::{
    address::{PublicOnly, is_private_literal},
    error::{changed, missing, not_allowed, unavailable},
    place::{Prefix, plain_url},
};

const REDIRECTS_MAX: usize = 5;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Without a byte for so long, a server is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Https {
    client: Client,
    prefix: Prefix,
    private: bool,
    ranges: Ranges<Content>,
}

/// What is left of an answer's body, and where it began.
struct Content {
    response: Response,
    start: u64,
}

impl Chunks for Content {
    fn start(&self) -> u64 {
        self.start
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = self.response.chunk().await;
        next.map_err(|error| unavailable(self.response.url(), told(&error)))
    }
}

impl Https {
    pub(crate) fn new(prefix: Prefix, private: bool) -> Result<Self> {
        if !private && prefix.url().scheme() == "http" {
            let detail = "http is for private hosts: use https, or say `private: true`";
            return Err(not_allowed(detail));
        }
        if !private && is_private_literal(prefix.url()) {
            let detail = "the host has a private address; say `private: true` if that is meant";
            return Err(not_allowed(detail));
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .https_only(!private)
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .no_gzip();
        if !private {
            client = client.dns_resolver(Arc::new(PublicOnly)).no_proxy();
        }
        let client = client.build().map_err(|_| {
            Error::permanent(Code::Internal, "a client for attachments cannot be built")
        })?;
        Ok(Self { client, prefix, private, ranges: Ranges::default() })
    }

    /// Asks for a range, along redirects that stay below the place.
    async fn get(&self, url: &Url, range: &str, etag: Option<&str>) -> Result<Response> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            if !self.prefix.holds(&at) || (!self.private && is_private_literal(&at)) {
                return Err(not_allowed("the server sends the reader outside the allowed places"));
            }
            let mut request = self
                .client
                .get(at.clone())
                .header(header::ACCEPT_ENCODING, "identity")
                .header(header::RANGE, range);
            if let Some(etag) = etag {
                request = request.header(header::IF_MATCH, etag);
            }
            let response = request.send().await.map_err(|error| unavailable(url, told(&error)))?;
            if !response.status().is_redirection() {
                return checked(url, response);
            }
            let target = response.headers().get(header::LOCATION);
            let target = target.and_then(|target| target.to_str().ok());
            let target = target.and_then(|target| at.join(target).ok());
            let target = target.ok_or_else(|| unavailable(url, "it redirects to nowhere"))?;
            at = plain_url(target.as_str())?;
        }
        Err(unavailable(url, "it redirects too often"))
    }

    /// The content from there on, if it is still the same.
    async fn from(&self, url: &Url, file: &File, at: u64) -> Result<Content> {
        // a weak tag must not be asked for (RFC 9110, 13.1.1)
        let strong = file.version.as_deref().filter(|version| version.starts_with('"'));
        let response = self.get(url, &format!("bytes={at}-"), strong).await?;
        if version(&response) != file.version || total(&response) != Some(file.bytes) {
            return Err(changed(url));
        }
        let ranged = response.status() == StatusCode::PARTIAL_CONTENT;
        Ok(Content { response, start: if ranged { at } else { 0 } })
    }
}

#[async_trait]
impl Files for Https {
    async fn open(&self, url: &str) -> Result<File> {
        let url = plain_url(url)?;
        let response = self.get(&url, "bytes=0-0", None).await?;
        let bytes = total(&response).ok_or_else(|| {
            unavailable(&url, "it does not say how long the file is (content-length)")
        })?;
        let text = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).map(str::to_owned);
        Ok(File { bytes, version: version(&response), content_type, url: url.into() })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let url = plain_url(&file.url)?;
        self.ranges
            .read(file, range.clone(), async || self.from(&url, file, range.start).await)
            .await
    }
}

/// The answer, unless it is a refusal.
fn checked(url: &Url, response: Response) -> Result<Response> {
    let status = response.status();
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        // a range of an empty file
        StatusCode::RANGE_NOT_SATISFIABLE if total(&response) == Some(0) => Ok(response),
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED => Err(changed(url)),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(missing(url)),
        _ => Err(unavailable(url, format_args!("it answers with status {}", status.as_u16()))),
    }
}

/// The length of the whole file.
fn total(response: &Response) -> Option<u64> {
    let text = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
    if response.status() == StatusCode::OK {
        return text(header::CONTENT_LENGTH)?.parse().ok();
    }
    let (_, total) = text(header::CONTENT_RANGE)?.rsplit_once('/')?;
    total.parse().ok()
}

fn version(response: &Response) -> Option<String> {
    let text = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
    text(header::ETAG).or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

/// What went wrong, without the URL that reqwest would add.
fn told(error: &reqwest::Error) -> &'static str {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<crate::address::NotPublic>() {
            return "its host leads to no public address";
        }
        source = cause.source();
    }
    if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    }
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Https").field(&self.prefix).finish()
    }
}
