//! The clouds of Microsoft 365: where each one's login and Graph hosts are.
//!
//! Hosts: learn.microsoft.com, entra authentication-national-cloud and graph deployments. Tokens of
//! one cloud are not valid in another.

use mailbridge_core::{Code, Error, Result};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which cloud: one by name, or hosts of one's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected one of global, us_gov_l4, us_gov_l5, china, sandbox, or { login: URL, graph: URL }"
)]
pub enum Cloud {
    /// One that mailbridge knows by name.
    Named(Named),
    /// Login and Graph hosts by URL.
    Explicit(Endpoints),
}

impl Default for Cloud {
    fn default() -> Self {
        Self::Named(Named::Global)
    }
}

/// The clouds with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The worldwide cloud, GCC included.
    Global,
    /// US Government L4 (GCC High).
    UsGovL4,
    /// US Government L5 (DoD).
    UsGovL5,
    /// China, operated by 21Vianet.
    China,
    /// The sandbox that runs in this process: no tenant is needed.
    Sandbox,
}

impl Named {
    /// The login and Graph hosts; none for the sandbox, which says where it is itself.
    pub(crate) fn hosts(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Global => {
                Some(("https://login.microsoftonline.com", "https://graph.microsoft.com"))
            }
            Self::UsGovL4 => {
                Some(("https://login.microsoftonline.us", "https://graph.microsoft.us"))
            }
            Self::UsGovL5 => {
                Some(("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"))
            }
            Self::China => Some((
                "https://login.partner.microsoftonline.cn",
                "https://microsoftgraph.chinacloudapi.cn",
            )),
            Self::Sandbox => None,
        }
    }
}

/// The Graph host of the cloud that has this login host.
pub(crate) fn graph_of(login: &Url) -> Option<&'static str> {
    let named = [Named::Global, Named::UsGovL4, Named::China].into_iter().filter_map(Named::hosts);
    let mut named = named.filter(|(host, _)| login.as_str().trim_end_matches('/') == *host);
    named.next().map(|(_, graph)| graph)
}

/// The names of Microsoft's own Graph hosts.
pub(crate) fn graph_hosts() -> impl Iterator<Item = &'static str> {
    [Named::Global, Named::UsGovL4, Named::UsGovL5, Named::China]
        .into_iter()
        .filter_map(|name| name.hosts()?.1.strip_prefix("https://"))
}

/// Hosts by URL.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// The login host, such as `https://login.example`. Plain http only on loopback.
    pub login: String,
    /// The Graph host, such as `https://graph.example`, without the version. Plain http only on
    /// loopback.
    pub graph: String,
}

/// Reads a host's URL: https, or http on loopback, and nothing behind the host but a path.
pub(crate) fn host(key: &'static str, text: &str) -> Result<Url> {
    let url = endpoint(key, text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse(key, "the URL of a host has no query and no fragment"));
    }
    let last = url.path_segments().into_iter().flatten().rfind(|part| !part.is_empty());
    if last.is_some_and(|part| part.eq_ignore_ascii_case("v1.0") || part == "beta") {
        return Err(refuse(key, "give the host without the version; mailbridge uses v1.0"));
    }
    Ok(url)
}

/// Reads a URL that secrets may be sent to: https, or http on loopback, without user and password.
///
/// # Errors
/// `config_invalid` with the field `key`, as it was given.
pub fn endpoint(key: &'static str, text: &str) -> Result<Url> {
    let url = Url::parse(text)
        .map_err(|_| refuse(key, "this is not a URL such as https://login.example"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(key, "a URL here holds no user and no password"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse(
            key,
            "plain http would send secrets and tokens readable; use https (http on loopback only)",
        )),
        _ => Err(refuse(key, "the URL must start with https://")),
    }
}

/// Whether a URL is https, or plain http that does not leave this machine: loopback, or link-local
/// as the metadata service is.
pub(crate) fn is_local_endpoint(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let link_local = bare.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_link_local());
    url.scheme() == "https" || (url.scheme() == "http" && (link_local || is_loopback(&url)))
}

fn is_loopback(url: &Url) -> bool {
    let Some(name) = url.host_str() else { return false };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(crate) fn refuse(key: &'static str, detail: &'static str) -> Error {
    Error::permanent(Code::ConfigInvalid, detail).with("key", key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        let good = [
            "https://login.example",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1",
        ];
        for text in good {
            assert!(endpoint("cloud.login", text).is_ok(), "{text}");
        }
        for text in
            ["http://login.example", "http://127.0.0.1.evil.example", "ftp://x", "login", ""]
        {
            let error = endpoint("cloud.login", text).unwrap_err();
            assert_eq!(error.field("key"), Some("cloud.login"), "{text}");
        }
        assert!(endpoint("cloud.login", "https://user:pw@login.example").is_err());
    }

    #[test]
    fn a_host_has_no_version_and_no_query() {
        assert!(host("cloud.graph", "https://proxy.example/graph/").is_ok());
        for text in ["https://g.example/v1.0", "https://g.example/beta/", "https://g.example/?a=b"]
        {
            assert!(host("cloud.graph", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cloud_is_a_name_or_two_urls() {
        let cloud: Cloud = serde_json::from_str(r#""us_gov_l5""#).unwrap();
        assert!(matches!(cloud, Cloud::Named(Named::UsGovL5)));
        let hosts = r#"{"login":"https://a","graph":"https://b"}"#;
        assert!(matches!(serde_json::from_str(hosts).unwrap(), Cloud::Explicit(_)));
        for wrong in [r#""mars""#, r#"{"login":"https://a"}"#] {
            let error = serde_json::from_str::<Cloud>(wrong).unwrap_err().to_string();
            assert!(error.contains("us_gov_l4"), "{error}");
        }
    }
}
