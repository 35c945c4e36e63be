//! Messages to a URL: one POST each, signed if there is a secret, accepted by a 2xx.
//!
//! The signature is that of the Standard Webhooks specification (standardwebhooks.com, 1.0.0):
//! `webhook-id`, `webhook-timestamp` and `webhook-signature` with HMAC-SHA256 over
//! `id.timestamp.payload`, so that receivers verify it with a library. Redirects are not followed, and
//! nothing is repeated here: whoever publishes comes again, with the same id.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use mailbridge_core::{Code, Error, Message, Output, Result, Secret, Verdict};
use reqwest::{
    Client, Response, StatusCode,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap,
        HeaderName, HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
    redirect, retry,
};
use sha2::{Digest as _, Sha256};

use crate::{config::Post, error};

/// How a secret begins in the form in which it is handed around.
const SECRET_PREFIX: &str = "whsec_";
/// A receiver is not waited for longer than it asks, and no longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// What a message does not say of its post: how it goes (RFC 9110, 7.6.1), and who posts it. A dead
/// letter has the headers of somebody else's message.
const OWN: [HeaderName; 11] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// How the headers begin that a receiver verifies.
const PROOF: &str = "webhook-";

/// Posts to one URL.
pub(crate) struct Posts {
    client: Client,
    post: Post,
    headers: HeaderMap,
}

impl Posts {
    /// Opens nothing yet.
    pub(crate) async fn new(post: Post) -> Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("mailbridge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .timeout(post.timeout)
            .build()
            .map_err(|_| {
                Error::blocked(Code::Internal, "no HTTP client can be made on this machine")
            })?;
        let mut headers = HeaderMap::new();
        for (name, source) in &post.headers {
            let value = source.read().await?;
            let name = name.parse::<HeaderName>();
            let value = HeaderValue::from_str(value.expose());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(error::setting("headers", "expected a header's name and value"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { client, post, headers })
    }

    /// The message's headers and those of the operator, who has the last word.
    fn headers_of(&self, message: &Message) -> HeaderMap {
        let mut headers = self.headers.clone();
        for (name, value) in message.headers.iter() {
            let name = name.parse::<HeaderName>();
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value))
                && !OWN.contains(&name)
                && !name.as_str().starts_with(PROOF)
                && !self.headers.contains_key(&name)
            {
                headers.append(name, value);
            }
        }
        headers
    }

    /// The headers that prove who posts.
    async fn sign(&self, id: &str, payload: &[u8], headers: &mut HeaderMap) -> Result<()> {
        let Some(source) = &self.post.signature else { return Ok(()) };
        let secret = source.read().await?;
        let key = key(&secret);
        let timestamp = Timestamp::now().as_second();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|_| Error::blocked(Code::CredentialUnreadable, "this is no key"))?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(payload);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        for (name, value) in [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        Ok(())
    }
}

/// The bytes of a secret: what `whsec_` has in base64, or the text as it is.
fn key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let encoded = text.strip_prefix(SECRET_PREFIX).and_then(|it| STANDARD.decode(it).ok());
    encoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

#[async_trait]
impl Output for Posts {
    async fn publish(&self, message: Message) -> Result<()> {
        let mut headers = self.headers_of(&message);
        if !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
        let id = message.id.clone().unwrap_or_else(|| digest(&message.payload));
        self.sign(&id, &message.payload, &mut headers).await?;
        let posted = self.client.post(self.post.url.clone()).headers(headers);
        match posted.body(message.payload).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(self.refused(&response)),
            Err(failure) => Err(self.failed(&failure)),
        }
    }
}

impl Posts {
    fn error(&self, verdict: Verdict, detail: &'static str) -> Error {
        let host = self.post.url.host_str().unwrap_or_default();
        Error::new(Code::BusPublishFailed, verdict, detail).with("host", host)
    }

    fn refused(&self, response: &Response) -> Error {
        let status = response.status();
        let error = match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "the receiver takes no message of this size";
                return Error::permanent(Code::BusPayloadTooLarge, detail);
            }
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                self.error(Verdict::Permanent, "the receiver does not take this message")
            }
            // it is busy, or its address or our access is wrong, which somebody puts right
            _ => {
                let after = retry_after(response.headers(), SystemTime::now());
                self.error(Verdict::Transient { after }, "the receiver does not accept")
            }
        };
        error.with("status", status.as_u16())
    }

    fn failed(&self, failure: &reqwest::Error) -> Error {
        let cause = match () {
            () if failure.is_timeout() => "no answer in time",
            () if failure.is_connect() => "no connection can be made",
            () => "the connection broke off",
        };
        self.error(Verdict::Transient { after: None }, "the receiver cannot be reached")
            .with("cause", cause)
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse::<f64>() {
        Duration::try_from_secs_f64(seconds).ok()?
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn digest(payload: &[u8]) -> String {
    format!("{:x}", Sha256::digest(payload))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Bytes as Body, extract::State, http::HeaderMap as Headers};
    use mailbridge_core::Scope;
    use serde_json::json;
    use tokio::{net::TcpListener, task::JoinSet};

    use super::*;
    use crate::Target;

    #[derive(Clone, Default)]
    struct Receiver(Arc<Mutex<Held>>);

    /// What is answered, and what came.
    #[derive(Default)]
    struct Held(u16, Vec<(Headers, Body)>);

    struct Served {
        receiver: Receiver,
        url: String,
        _task: JoinSet<std::io::Result<()>>,
    }

    async fn answer(
        State(receiver): State<Receiver>,
        headers: Headers,
        body: Body,
    ) -> (StatusCode, [(&'static str, &'static str); 2]) {
        let mut held = receiver.0.lock().unwrap();
        held.1.push((headers, body));
        let status = StatusCode::from_u16(held.0).unwrap();
        (status, [("retry-after", "2.5"), ("location", "https://elsewhere.example/")])
    }

    async fn serve(status: u16) -> Served {
        let receiver = Receiver::default();
        receiver.0.lock().unwrap().0 = status;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in?token=hush", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(receiver.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await });
        Served { receiver, url, _task: task }
    }

    async fn posts(mut target: serde_json::Value, url: &str) -> Posts {
        target["post"] = url.into();
        let Ok(Target::Post(post)) = serde_json::from_value(target) else { panic!("a post") };
        Posts::new(*post).await.unwrap()
    }

    fn message() -> Message {
        let headers = mailbridge_core::Headers::new()
            .with("content-type", "application/cloudevents+json")
            .with("ce-id", "7");
        let id = Some("orders:7".to_owned());
        Message { id, headers, payload: "{\"a\":1}".into(), ..Message::default() }
    }

    #[tokio::test]
    async fn a_message_is_posted_signed_and_as_it_is() {
        let served = serve(204).await;
        let secret = format!("whsec_{}", STANDARD.encode("a key of 24 bytes exactly"));
        let target = json!({ "signature": secret, "headers": { "authorization": "Bearer x" } });
        posts(target, &served.url).await.publish(message()).await.unwrap();
        let (headers, body) = served.receiver.0.lock().unwrap().1.remove(0);
        assert_eq!(&body[..], b"{\"a\":1}");
        let get = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(get("content-type"), "application/cloudevents+json");
        assert_eq!((get("ce-id"), get("authorization")), ("7".into(), "Bearer x".into()));
        assert_eq!(get("webhook-id"), "orders:7");
        // as a receiver verifies it
        let signed = format!("orders:7.{}.{{\"a\":1}}", get("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a key of 24 bytes exactly").unwrap();
        mac.update(signed.as_bytes());
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(get("webhook-signature"), format!("v1,{expected}"));
    }

    #[tokio::test]
    async fn what_an_answer_means() {
        let passing = |verdict| {
            matches!(verdict, Verdict::Transient { after: Some(after) }
            if after == Duration::from_millis(2500))
        };
        for status in [301, 401, 404, 408, 410, 429, 500, 503] {
            let served = serve(status).await;
            let error = posts(json!({}), &served.url).await.publish(message()).await.unwrap_err();
            assert!(passing(error.verdict()), "{status}: {error:?}");
            assert_eq!(served.receiver.0.lock().unwrap().1.len(), 1, "nothing is repeated here");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        for (status, code) in [
            (400, Code::BusPublishFailed),
            (422, Code::BusPublishFailed),
            (413, Code::BusPayloadTooLarge),
        ] {
            let served = serve(status).await;
            let error = posts(json!({}), &served.url).await.publish(message()).await.unwrap_err();
            assert_eq!((error.verdict(), error.code()), (Verdict::Permanent, code));
        }
    }

    #[tokio::test]
    async fn a_message_says_neither_who_posts_nor_how() {
        let served = serve(204).await;
        let mut message = message();
        for (name, value) in [
            ("Content-Length", "3"),
            ("transfer-encoding", "chunked"),
            ("host", "elsewhere.example"),
            ("connection", "close"),
            ("Authorization", "Bearer theirs"),
            ("x-key", "theirs"),
            ("webhook-signature", "v1,forged"),
        ] {
            message.headers.push(name, value);
        }
        let target = json!({ "headers": { "X-Key": "ours" } });
        posts(target, &served.url).await.publish(message).await.unwrap();
        let (headers, body) = served.receiver.0.lock().unwrap().1.remove(0);
        assert_eq!(&body[..], b"{\"a\":1}");
        assert!(headers["host"].to_str().unwrap().starts_with("127.0.0.1:"), "{headers:?}");
        let keys: Vec<_> = headers.get_all("x-key").iter().collect();
        assert_eq!(keys, ["ours"]);
        for name in ["authorization", "connection", "transfer-encoding", "webhook-signature"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["content-length"], "7");
        assert_eq!(headers["ce-id"], "7", "all else is passed on");
    }

    #[test]
    fn a_receiver_asks_for_seconds_or_a_time() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        for (text, wait) in [
            ("2.5", Some(Duration::from_millis(2500))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(37))),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(Duration::ZERO)),
            ("86400", Some(RETRY_AFTER_MAX)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), wait, "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_passing() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let posts = posts(json!({ "timeout": "2s" }), &format!("http://{free}/")).await;
        let error = posts.publish(message()).await.unwrap_err();
        assert!(matches!(error.verdict(), Verdict::Transient { after: None }), "{error:?}");
        assert_ne!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, after: None });
    }
}
