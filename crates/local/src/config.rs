//! What a user writes about files, and what can be said about it without opening one.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use mailbridge_core::{SecretSource, Span};
use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

/// Bytes of a request over HTTP: room for the largest mail that goes in one piece, and far more than
/// requests have that refer to their attachments.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the answer to a posted message may take.
const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// A bus with no server: files, standard input and output.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds how far each file was read, and state. One process uses it at a
    /// time.
    #[serde(default = "dir")]
    pub dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: dir() }
    }
}

fn dir() -> PathBuf {
    PathBuf::from(".mailbridge")
}

/// What to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "SourceKeys")]
pub enum Source {
    /// A file with one message a line, or standard input.
    Lines(Lines),
    /// Requests that are posted over HTTP.
    Http(Http),
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        SourceKeys::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SourceKeys::json_schema(generator)
    }
}

/// A file with one message a line, or standard input.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The file, or `-` for standard input.
    pub path: Location,
    /// Whether to wait for more lines at the end of the file.
    pub follow: bool,
    /// Whether how far the file was read survives the program.
    pub remember: bool,
}

/// Requests that are posted over HTTP, kept in the bus's `dir` until they are settled.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where to listen.
    pub address: SocketAddr,
    /// What a producer must know; without it the address is a loopback one.
    pub token: Option<SecretSource>,
    /// Bytes of one request, at most.
    pub bytes_max: usize,
}

/// What to read: a file with one message a line, standard input, or requests over HTTP.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source")]
struct SourceKeys {
    /// The file, or `-` for standard input.
    #[serde(default)]
    path: Option<Location>,
    /// Whether to wait for more lines at the end of the file. Standard input always ends when its
    /// writer closes it.
    #[serde(default)]
    follow: Option<bool>,
    /// Whether how far the file was read survives the program. With `false` each run reads the
    /// whole file; so does standard input, which cannot be read again. `true` when absent.
    #[serde(default)]
    remember: Option<bool>,
    /// In place of `path`: the address, such as `127.0.0.1:8081`, at which requests are posted to
    /// `/requests`. What is answered with 202 is on the disk.
    #[serde(default)]
    http: Option<SocketAddr>,
    /// With `http`: the token that producers show as `Authorization: Bearer …`. It may be left out
    /// where the address is a loopback one.
    #[serde(default)]
    token: Option<SecretSource>,
    /// With `http`: the bytes that one request may have; 8388608 when absent.
    #[serde(default)]
    bytes_max: Option<usize>,
}

impl TryFrom<SourceKeys> for Source {
    type Error = &'static str;

    fn try_from(keys: SourceKeys) -> Result<Self, &'static str> {
        let SourceKeys { path, follow, remember, http, token, bytes_max } = keys;
        match (path, http) {
            (Some(path), None) => {
                if token.is_some() || bytes_max.is_some() {
                    return Err("`token` and `bytes_max` go with `http`, not with `path`");
                }
                let (follow, remember) = (follow.unwrap_or(false), remember.unwrap_or(true));
                Ok(Self::Lines(Lines { path, follow, remember }))
            }
            (None, Some(address)) => {
                if follow.is_some() || remember.is_some() {
                    return Err("`follow` and `remember` go with `path`, not with `http`");
                }
                if token.is_none() && !address.ip().is_loopback() {
                    return Err("`http` at an address that others reach needs a `token`: whoever \
                                can post there can send mail");
                }
                let bytes_max = bytes_max.unwrap_or(REQUEST_BYTES_MAX);
                Ok(Self::Http(Http { address, token, bytes_max }))
            }
            (Some(_), Some(_)) => Err("give `path` or `http`, not both"),
            (None, None) => Err("expected `path`, a file or -, or `http`, an address"),
        }
    }
}

/// Where to write.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "TargetKeys")]
pub enum Target {
    /// One message a line.
    Lines(Location),
    /// Outcomes, to where `GET /requests/{id}` at this address finds them.
    Outcomes(SocketAddr),
    /// One POST a message.
    Post(Box<Post>),
}

/// A URL that messages are posted to.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where; https, or http on loopback or where the operator says so.
    pub url: Url,
    /// Headers besides those of the message.
    pub headers: BTreeMap<String, SecretSource>,
    /// What messages are signed with.
    pub signature: Option<SecretSource>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        TargetKeys::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        TargetKeys::json_schema(generator)
    }
}

/// Where to write: a file with one message a line, standard output, or the place where those who
/// posted requests ask for their outcomes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Target")]
struct TargetKeys {
    /// The file, which is made if it is not there, or `-` for standard output.
    #[serde(default)]
    path: Option<Location>,
    /// In place of `path`, for outcomes: the address at which the requests were posted, so that
    /// `GET /requests/{id}` there tells what became of them.
    #[serde(default)]
    http: Option<SocketAddr>,
    /// In place of `path`: a URL, which gets a POST for each message. A 2xx accepts it; 400 and 422
    /// refuse it for good, 413 asks for a smaller one, and after anything else it comes again.
    /// https, or http on loopback or with `insecure`.
    #[serde(default)]
    post: Option<String>,
    /// With `post`: headers besides those of the message, such as `authorization`.
    #[serde(default)]
    headers: BTreeMap<String, SecretSource>,
    /// With `post`: the secret, such as `whsec_…`, with which each message is signed as the Standard
    /// Webhooks specification has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    #[serde(default)]
    signature: Option<SecretSource>,
    /// With `post`: how long an answer may take; 30s when absent.
    #[serde(default)]
    timeout: Option<Span>,
    /// With `post`: whether the URL may be http on another machine, so that whoever is on the way
    /// reads the messages; `false` when absent.
    #[serde(default)]
    insecure: Option<bool>,
}

impl TryFrom<TargetKeys> for Target {
    type Error = &'static str;

    fn try_from(keys: TargetKeys) -> Result<Self, &'static str> {
        let TargetKeys { path, http, post, headers, signature, timeout, insecure } = keys;
        let own =
            !headers.is_empty() || signature.is_some() || timeout.is_some() || insecure.is_some();
        match (path, http, post) {
            (_, _, None) if own => {
                Err("`headers`, `signature`, `timeout` and `insecure` go with `post`")
            }
            (Some(path), None, None) => Ok(Self::Lines(path)),
            (None, Some(address), None) => Ok(Self::Outcomes(address)),
            (None, None, Some(url)) => {
                let url = post_url(&url, insecure.unwrap_or(false))?;
                let timeout = timeout.map_or(POST_TIMEOUT, Span::get);
                Ok(Self::Post(Box::new(Post { url, headers, signature, timeout })))
            }
            (None, None, None) => {
                Err("expected `path`, a file or -, `post`, a URL, or for outcomes `http`")
            }
            _ => Err("give one of `path`, `post` and `http`"),
        }
    }
}

const POST_EXPECTED: &str =
    "`post` must be a URL such as https://example.org/mails; http on loopback, or with `insecure`";

/// The URL, if messages may go there.
fn post_url(text: &str, insecure: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| POST_EXPECTED)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if here || insecure => Ok(url),
        _ => Err(POST_EXPECTED),
    }
}

/// Where to keep state.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// A database file of its own; without it, the one in the bus's `dir`.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// A file, or the process's own standard stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Location {
    /// `-`: standard input or output.
    Standard,
    /// A file. A relative path is relative to the working directory.
    File(PathBuf),
}

impl TryFrom<String> for Location {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "" => Err("expected a path, or - for the standard stream"),
            "-" => Ok(Self::Standard),
            _ => Ok(Self::File(text.into())),
        }
    }
}

/// What a file is known by inside `dir`. As it was written, so that a project can be moved with its
/// `dir`; absolute where `dir` is absolute, and so may serve several projects.
pub(crate) fn name_in(dir: &Path, path: &Path) -> String {
    let tidy: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let named = if dir.is_absolute() { std::path::absolute(&tidy).unwrap_or(tidy) } else { tidy };
    named.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use mailbridge_core::plugin::parse;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dash_is_the_standard_stream() {
        let lines = |section| match parse(section) {
            Ok(Source::Lines(lines)) => lines,
            other => panic!("{other:?}"),
        };
        let source = lines(json!({ "path": "-" }));
        assert_eq!(source.path, Location::Standard);
        assert!(!source.follow && source.remember);
        let source = lines(json!({ "path": "a/-", "follow": true }));
        assert_eq!(source.path, Location::File("a/-".into()));
    }

    #[test]
    fn an_empty_path_and_an_unknown_key_are_refused_by_name() {
        let error = parse::<Target>(json!({ "path": "" })).unwrap_err();
        assert_eq!(error.path, ["path"]);
        assert!(error.detail.contains("expected a path"), "{}", error.detail);
        let error = parse::<Source>(json!({ "path": "a", "folow": true })).unwrap_err();
        assert!(error.detail.contains("did you mean `follow`?"), "{}", error.detail);
    }

    #[test]
    fn whoever_can_post_must_know_a_token_or_be_here() {
        for good in [
            json!({ "http": "127.0.0.1:8081" }),
            json!({ "http": "[::1]:8081", "bytes_max": 5 }),
            json!({ "http": "0.0.0.0:8081", "token": { "env": "T" } }),
        ] {
            assert!(matches!(parse(good), Ok(Source::Http(_))));
        }
        for (bad, told) in [
            (json!({ "http": "0.0.0.0:8081" }), "`token`"),
            (json!({ "http": "127.0.0.1:1", "path": "a" }), "not both"),
            (json!({ "http": "127.0.0.1:1", "follow": true }), "`follow`"),
            (json!({ "path": "a", "bytes_max": 1 }), "`bytes_max`"),
            (json!({}), "`http`"),
        ] {
            let error = parse::<Source>(bad).unwrap_err();
            assert!(error.detail.contains(told), "{}", error.detail);
        }
    }

    #[test]
    fn a_url_is_posted_to_in_the_clear_on_this_machine_only() {
        for good in [
            "https://example.org/x",
            "http://127.0.0.1:1/x",
            "http://[::1]:1/",
            "http://localhost/",
        ] {
            assert!(matches!(parse(json!({ "post": good })), Ok(Target::Post(_))), "{good}");
        }
        let asked = json!({ "post": "http://example.org/", "insecure": true });
        assert!(matches!(parse(asked), Ok(Target::Post(_))));
        for bad in [
            json!({ "post": "http://example.org/" }),
            json!({ "post": "http://example.org/", "insecure": false }),
            json!({ "post": "ftp://example.org/", "insecure": true }),
            json!({ "path": "a", "insecure": true }),
            json!({ "post": "example.org" }),
            json!({ "path": "a", "timeout": "3s" }),
            json!({ "path": "a", "post": "https://example.org/" }),
        ] {
            assert!(parse::<Target>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_keeps_its_name_when_its_project_is_moved() {
        let relative = |path: &str| name_in(Path::new(".mailbridge"), Path::new(path));
        assert_eq!(relative("./in/requests.ndjson"), "in/requests.ndjson");
        assert_eq!(relative("in/./requests.ndjson"), "in/requests.ndjson");
        let absolute = name_in(Path::new("/var/lib/mailbridge"), Path::new("requests.ndjson"));
        assert!(Path::new(&absolute).is_absolute(), "{absolute}");
    }
}
