//! Where a token may go: to the connection's own Graph, and nowhere else.
//!
//! [`Origin::request`] is the only place that puts a token on a request, and [`Authorized`], the
//! only kind of request that is sent to Graph, can only be had from it. So a link in an answer
//! leads nowhere that the configuration does not name, however it is written.

use mailbridge_core::{Code, Error, Result};
use reqwest::{
    Body, Method, Request, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};

/// Scheme, host and port of a connection's Graph.
#[derive(Clone, Debug)]
pub(crate) struct Origin(Url);

/// A request that carries a token, to where the token may go.
pub(crate) struct Authorized(Request);

impl Origin {
    /// The origin of the connection's Graph, given with its version: `https://…/v1.0`.
    ///
    /// # Errors
    /// `internal`: a connection's check lets no other text pass.
    pub(crate) fn of(graph: &str) -> Result<Self> {
        let detail = "the connection's graph host is not a URL";
        Url::parse(graph).map(Self).map_err(|_| Error::blocked(Code::Internal, detail))
    }

    /// A request with a token, if the whole URL `text` leads to this very Graph.
    ///
    /// # Errors
    /// `graph_link_elsewhere` when scheme, host or port is another, or the URL holds a user.
    pub(crate) fn request(
        &self,
        method: Method,
        text: &str,
        authorization: HeaderValue,
    ) -> Result<Authorized> {
        let url = self.url(text).ok_or_else(|| {
            Error::transient(Code::GraphLinkElsewhere, Code::GraphLinkElsewhere.meaning())
        })?;
        let mut request = Request::new(method, url);
        request.headers_mut().insert(AUTHORIZATION, authorization);
        Ok(Authorized(request))
    }

    /// Whether a URL leads to this very Graph.
    pub(super) fn is_of(&self, text: &str) -> bool {
        self.url(text).is_some()
    }

    /// What the HTTP client will connect to is compared, not how it is written.
    fn url(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let same = url.scheme() == self.0.scheme()
            && url.host().is_some()
            && url.host() == self.0.host()
            && url.port_or_known_default() == self.0.port_or_known_default()
            && url.username().is_empty()
            && url.password().is_none();
        same.then_some(url)
    }
}

impl Authorized {
    /// Everything about it can be changed but where it goes.
    pub(crate) fn headers(&mut self) -> &mut HeaderMap {
        self.0.headers_mut()
    }

    pub(crate) fn body(&mut self, body: impl Into<Body>) {
        *self.0.body_mut() = Some(body.into());
    }

    /// The request, for the one function that sends it.
    pub(super) fn into_inner(self) -> Request {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(base: &str, text: &str) -> bool {
        let token = HeaderValue::from_static("Bearer x");
        match Origin::of(base).unwrap().request(Method::GET, text, token) {
            Ok(authorized) => {
                let request = authorized.into_inner();
                assert_eq!(request.headers()[AUTHORIZATION], "Bearer x");
                true
            }
            Err(error) => {
                assert_eq!(error.code(), Code::GraphLinkElsewhere);
                assert!(!error.to_string().contains("evil"), "{error}");
                false
            }
        }
    }

    #[test]
    fn a_token_goes_to_its_own_graph_however_the_link_is_written() {
        for link in [
            "https://graph.example/v1.0/users?$skiptoken=x",
            "https://GRAPH.example:443/v1.0/users",
            "HTTPS:graph.example/v1.0/users",
            r"https:\\graph.example\v1.0",
            "https://graph.example/@evil.example/",
            r"https://graph.example\@evil.example/",
            "https://graph.example/v1.0/../../users",
        ] {
            assert!(goes("https://graph.example/v1.0", link), "{link}");
        }
        assert!(goes("http://127.0.0.1:8080/v1.0", "http://127.0.0.1:8080/v1.0/users"));
    }

    #[test]
    fn a_token_goes_nowhere_else() {
        for link in [
            "https://evil.example/v1.0/users",
            "https://graph.example.evil.example/v1.0",
            "https://graph.example:8443/v1.0",
            "http://graph.example/v1.0",
            "http://graph.example:443/v1.0",
            "https://graph.example@evil.example/v1.0",
            "https://graph.example:443@evil.example/v1.0",
            r"https://evil.example\@graph.example/v1.0",
            "https://user@graph.example/v1.0",
            "https://user:word@graph.example/v1.0",
            "https://:word@graph.example/v1.0",
            "//evil.example/v1.0",
            r"\\evil.example\v1.0",
            r"https:\\evil.example\v1.0",
            "/v1.0/users",
            "https://graph\u{ff0e}example.evil.example/",
            "https://graph.example\u{2044}@evil.example/",
            "https://grаph.example/v1.0",
            "ftp://graph.example/v1.0",
            "file:///etc/passwd",
            "data:text/plain,https://graph.example/v1.0",
            "javascript:alert(1)",
            "https://",
            "",
        ] {
            assert!(!goes("https://graph.example/v1.0", link), "{link}");
        }
        assert!(!goes("http://127.0.0.1:8080/v1.0", "http://127.0.0.1:8081/v1.0"));
        assert!(!goes("http://127.0.0.1:8080/v1.0", "http://localhost:8080/v1.0"));
    }
}
