//! `https://`: a file on a web server, read by ranges (RFC 9110, 14). A server that knows no ranges is
//! read from the start, and the answer is kept open between two reads that follow each other.
//!
//! `http://` is for places inside one's own network, which say so with `private: true`.
//!
//! Redirects are followed by hand, since each hop has to be allowed; a body is taken as it is, never
//! decompressed.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use mailbridge_core::{Code, Error, File, Files, Result};
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
/// Answers kept open for servers that know no ranges.
const OPEN_MAX: usize = 32;

pub(crate) struct Https {
    client: Client,
    prefix: Prefix,
    private: bool,
    /// Answers that are read from the start, the latest last.
    open: Mutex<VecDeque<Reading>>,
}

/// An answer in the middle of being read.
struct Reading {
    url: Url,
    version: Option<String>,
    at: u64,
    /// It ends with the range that was asked for.
    ranged: bool,
    left: Bytes,
    response: Response,
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
        Ok(Self { client, prefix, private, open: Mutex::default() })
    }

    /// Asks for a range, along redirects that stay below the place.
    async fn get(&self, url: &Url, range: &Range<u64>, etag: Option<&str>) -> Result<Response> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            if !self.prefix.holds(&at) || (!self.private && is_private_literal(&at)) {
                return Err(not_allowed("the server sends the reader outside the allowed places"));
            }
            let mut request = self
                .client
                .get(at.clone())
                .header(header::ACCEPT_ENCODING, "identity")
                .header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
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

    /// Reads a range from an answer that stands at or before it, which is kept if it goes on.
    async fn read_on(&self, mut reading: Reading, range: &Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut piece = BytesMut::with_capacity(length);
        while piece.len() < length {
            if reading.left.is_empty() {
                let next = reading.response.chunk().await;
                let next = next.map_err(|error| unavailable(&reading.url, told(&error)))?;
                reading.left = next.ok_or_else(|| changed(&reading.url))?;
            }
            let skip = usize::try_from(range.start - reading.at.min(range.start));
            let skip = skip.unwrap_or(usize::MAX).min(reading.left.len());
            reading.at += skip as u64;
            drop(reading.left.split_to(skip));
            let take = (length - piece.len()).min(reading.left.len());
            if reading.at == range.start + piece.len() as u64 {
                piece.extend_from_slice(&reading.left.split_to(take));
                reading.at += take as u64;
            }
        }
        if !reading.ranged {
            self.keep_open(reading);
        }
        Ok(piece.freeze())
    }

    fn keep_open(&self, reading: Reading) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.pop_front();
        }
        open.push_back(reading);
    }

    /// The answer that stands where this read begins, if there is one.
    fn kept_open(&self, url: &Url, version: Option<&str>, at: u64) -> Option<Reading> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |it: &Reading| it.url == *url && it.at == at && it.version.as_deref() == version;
        let found = open.iter().position(same)?;
        open.remove(found)
    }
}

#[async_trait]
impl Files for Https {
    async fn open(&self, url: &str) -> Result<File> {
        let url = plain_url(url)?;
        let response = self.get(&url, &(0..1), None).await?;
        let bytes = total(&response).ok_or_else(|| {
            unavailable(&url, "it does not say how long the file is (content-length)")
        })?;
        let text = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).map(str::to_owned);
        Ok(File { bytes, version: version(&response), content_type, url: url.into() })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let url = plain_url(&file.url)?;
        let known = file.version.as_deref();
        if let Some(reading) = self.kept_open(&url, known, range.start) {
            return self.read_on(reading, &range).await;
        }
        // a weak tag must not be asked for (RFC 9110, 13.1.1)
        let strong = known.filter(|version| version.starts_with('"'));
        let response = self.get(&url, &range, strong).await?;
        if version(&response).as_deref() != known || total(&response) != Some(file.bytes) {
            return Err(changed(&url));
        }
        let ranged = response.status() == StatusCode::PARTIAL_CONTENT;
        let at = if ranged { range.start } else { 0 };
        let version = file.version.clone();
        let reading = Reading { url, version, at, ranged, left: Bytes::new(), response };
        self.read_on(reading, &range).await
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
