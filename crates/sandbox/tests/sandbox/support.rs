//! A small client, and short ways to say what a test is about.

use std::time::Duration;

use mailbridge_sandbox::{
    Builder, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Handle, Running, Sandbox,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

pub const MAILBOX: &str = "anna@contoso.example";
/// The property by which tests find their mails again.
pub const KEY: &str = "String {6d61696c-6272-4964-8765-000000000001} Name Key";

/// A running sandbox and a token for it.
pub struct World {
    pub sandbox: Running,
    pub http: reqwest::Client,
    pub token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// Graph's error code.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status.as_u16(), "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.json());
        self
    }
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap()
}

pub async fn start() -> World {
    start_with(Sandbox::builder()).await
}

/// Starts a sandbox of the demo tenant and gets a token.
pub async fn start_with(builder: Builder) -> World {
    let sandbox = builder.start_local().await.unwrap();
    let mut world = World { sandbox, http: http(), token: String::new() };
    world.token = world.fresh_token().await;
    world
}

pub async fn finish(request: RequestBuilder) -> Reply {
    read(request.send().await.unwrap()).await
}

pub async fn read(response: reqwest::Response) -> Reply {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
}

pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| out + &format!("%{byte:02X}"))
}

/// A message that could be sent, with a subject and the key property.
pub fn message(subject: &str, key: &str) -> Value {
    json!({
        "subject": subject,
        "body": {"contentType": "Text", "content": "hello"},
        "toRecipients": [{"emailAddress": {"address": "bob@fabrikam.example", "name": "Bob"}}],
        "singleValueExtendedProperties": [{"id": KEY, "value": key}],
    })
}

impl World {
    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    pub fn sent_total(&self) -> u64 {
        self.handle().truth().sent_total()
    }

    pub async fn ask_token(&self, form: &[(&str, &str)]) -> Reply {
        self.ask_token_of(DEMO_TENANT_ID, form).await
    }

    pub async fn ask_token_of(&self, tenant: &str, form: &[(&str, &str)]) -> Reply {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.sandbox.login_url());
        finish(self.http.post(url).form(form)).await
    }

    pub async fn fresh_token(&self) -> String {
        let reply = self.ask_token(&form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)).await;
        let body = reply.expect(StatusCode::OK).json();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Buys a token with a form, and uses it from now on.
    pub async fn log_in(&mut self, form: &[(&str, &str)]) {
        let body = self.ask_token(form).await.expect(StatusCode::OK).json();
        body["access_token"].as_str().unwrap().clone_into(&mut self.token);
    }

    /// The token endpoint, which is what an assertion is made for.
    pub fn token_url(&self) -> String {
        format!("{}/{DEMO_TENANT_ID}/oauth2/v2.0/token", self.sandbox.login_url())
    }

    pub async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let url = format!("{}/_sandbox/{path}", self.sandbox.base_url());
        let request = self.http.request(method, url);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        finish(request).await
    }

    pub async fn admin_get(&self, path: &str) -> Value {
        self.admin(Method::GET, path, None).await.expect(StatusCode::OK).json()
    }

    pub async fn admin_post(&self, path: &str, body: Value) -> Value {
        self.admin(Method::POST, path, Some(body)).await.expect(StatusCode::OK).json()
    }

    /// A request below `/v1.0/`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/v1.0/{path}", self.sandbox.graph_url());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Reply {
        finish(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        finish(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        finish(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn send_mail(&self, subject: &str) -> Reply {
        let body = json!({"message": message(subject, subject)});
        self.post(&format!("users/{MAILBOX}/sendMail"), &body).await
    }

    /// Creates a draft and gives its id.
    pub async fn draft(&self, subject: &str) -> String {
        let path = format!("users/{MAILBOX}/messages");
        let reply = self.post(&path, &message(subject, subject)).await.expect(StatusCode::CREATED);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn send(&self, id: &str) -> Reply {
        let path = format!("users/{MAILBOX}/messages/{}/send", encode(id));
        finish(self.request(Method::POST, &path).header("content-length", "0")).await
    }

    /// The messages that a query finds below the mailbox.
    pub async fn list(&self, below: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let path = format!("users/{MAILBOX}/{below}");
        let reply = finish(self.request(Method::GET, &path).query(query)).await;
        let body = reply.expect(StatusCode::OK).json();
        body["value"].as_array().unwrap().clone()
    }

    /// The messages with the key property of this value.
    pub async fn look(&self, below: &str, key: &str) -> Vec<Value> {
        self.list(below, &[("$filter", &by_key(key))]).await
    }
}

pub fn by_key(key: &str) -> String {
    format!("singleValueExtendedProperties/Any(ep: ep/id eq '{KEY}' and ep/value eq '{key}')")
}

pub fn form<'a>(client_id: &'a str, secret: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("client_id", client_id),
        ("client_secret", secret),
        ("scope", "https://graph.microsoft.com/.default"),
        ("grant_type", "client_credentials"),
    ]
}

/// An error of the login host, with everything that its errors have.
#[track_caller]
pub fn aadsts(body: &Value, error: &str, number: u32) {
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["error_codes"], json!([number]), "{body}");
    let description = body["error_description"].as_str().unwrap();
    assert!(description.starts_with(&format!("AADSTS{number}: ")), "{description}");
    for part in ["Trace ID: ", "Correlation ID: ", "Timestamp: "] {
        assert!(description.contains(part), "{description}");
    }
    for field in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
        assert!(body[field].is_string(), "{field} in {body}");
    }
}
