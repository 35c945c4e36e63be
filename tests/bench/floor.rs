//! The floors: what the same work costs without mailbridge.
//!
//! (a) `bare`: a reqwest client that posts ready bodies, as fast as it can. (b) `worker`: the shortest
//! worker that a person would write by hand: JetStream pull, parse, build, reqwest, publish an
//! outcome, confirmed acknowledgement. It has no retry, no pacing, no dead letter, no look.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The requests that one send takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One `sendMail`.
    AtLeastOnce,
    /// A draft, then send.
    Once,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::Once => "once",
        }
    }

    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "at_least_once" => Ok(Self::AtLeastOnce),
            "once" => Ok(Self::Once),
            other => Err(format!("no such mode: {other}").into()),
        }
    }
}

/// A client of Graph and its token.
#[derive(Clone)]
pub struct Graph {
    http: reqwest::Client,
    base: String,
    token: String,
}

#[derive(Deserialize)]
pub struct Request<'a> {
    id: &'a str,
    mailbox: &'a str,
    to: &'a str,
    subject: &'a str,
    #[serde(borrow)]
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct SendMail<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    subject: &'a str,
    body: Body<'a>,
    to_recipients: [Recipient<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    single_value_extended_properties: Option<[Property<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    content_type: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recipient<'a> {
    email_address: Address<'a>,
}

#[derive(Serialize)]
struct Address<'a> {
    address: &'a str,
}

#[derive(Serialize)]
struct Property<'a> {
    id: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
struct Draft {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadSession {
    upload_url: String,
}

const PROPERTY: &str = "String {00020329-0000-0000-c000-000000000046} Name floor";

impl Graph {
    pub fn new(base: &str, token: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
        Ok(Self { http, base: base.to_owned(), token: token.to_owned() })
    }

    pub async fn send(&self, mode: Mode, request: &Request<'_>) -> Result<(), Failure> {
        let property = [Property { id: PROPERTY, value: request.id }];
        let message = Message {
            subject: request.subject,
            body: Body { content_type: "text", content: &request.text },
            to_recipients: [Recipient { email_address: Address { address: request.to } }],
            single_value_extended_properties: (mode == Mode::Once).then_some(property),
        };
        match mode {
            Mode::AtLeastOnce => {
                let body = serde_json::to_vec(&SendMail { message })?;
                self.post(&format!("/v1.0/users/{}/sendMail", request.mailbox), body).await?;
            }
            Mode::Once => {
                let body = serde_json::to_vec(&message)?;
                let drafts = format!("/v1.0/users/{}/messages", request.mailbox);
                let draft: Draft = serde_json::from_slice(&self.post(&drafts, body).await?)?;
                let id: String = draft.id.bytes().map(encode).collect();
                self.post(&format!("{drafts}/{id}/send"), Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// A draft with one large file, uploaded piece by piece, and sent.
    pub async fn send_large(
        &self,
        mailbox: &str,
        content: &bytes::Bytes,
        piece_bytes: usize,
    ) -> Result<(), Failure> {
        let drafts = format!("/v1.0/users/{mailbox}/messages");
        let mail = serde_json::json!({
            "subject": "large", "body": { "contentType": "text", "content": "see the file" },
            "toRecipients": [{ "emailAddress": { "address": "someone@example.org" } }],
        });
        let draft = self.post(&drafts, mail.to_string().into_bytes()).await?;
        let draft: Draft = serde_json::from_slice(&draft)?;
        let id: String = draft.id.bytes().map(encode).collect();
        let item = serde_json::json!({ "AttachmentItem": {
            "attachmentType": "file", "name": "large.bin", "size": content.len(),
        }});
        let path = format!("{drafts}/{id}/attachments/createUploadSession");
        let session = self.post(&path, item.to_string().into_bytes()).await?;
        let session: UploadSession = serde_json::from_slice(&session)?;
        let mut from = 0;
        while from < content.len() {
            let to = (from + piece_bytes).min(content.len());
            let range = format!("bytes {from}-{}/{}", to - 1, content.len());
            let put = self.http.put(&session.upload_url).header("content-range", range);
            put.body(content.slice(from..to)).send().await?.error_for_status()?;
            from = to;
        }
        self.post(&format!("{drafts}/{id}/send"), Vec::new()).await?;
        Ok(())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<bytes::Bytes, Failure> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json");
        // Graph wants it, and reqwest leaves it out of an empty POST.
        let request = request.header("content-length", body.len()).body(body);
        Ok(request.send().await?.error_for_status()?.bytes().await?)
    }
}

fn encode(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Floor (a): posts the payloads without any bus. Returns how long it took.
pub async fn bare(
    graph: &Graph,
    mode: Mode,
    payloads: &[String],
    concurrency: usize,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    stream::iter(payloads)
        .map(Ok::<_, Failure>)
        .try_for_each_concurrent(concurrency, |payload| async move {
            let request: Request<'_> = serde_json::from_str(payload)?;
            graph.send(mode, &request).await
        })
        .await?;
    Ok(start.elapsed())
}

/// What floor (b) needs to know.
pub struct Work {
    pub nats: String,
    pub stream: String,
    pub outcome: String,
    pub mode: Mode,
    pub concurrency: usize,
}

/// Floor (b): works until it is killed.
pub async fn worker(graph: Graph, work: Work) -> Result<(), Failure> {
    let client = async_nats::connect(&work.nats).await?;
    let jetstream = jetstream::new(client);
    let consumer: PullConsumer =
        jetstream.get_consumer_from_stream("worker", work.stream.as_str()).await?;
    let messages =
        consumer.stream().max_messages_per_batch(work.concurrency * 4).messages().await?;
    let (graph, jetstream, work) = (&graph, &jetstream, &work);
    messages
        .map_err(Failure::from)
        .try_for_each_concurrent(work.concurrency, |message| async move {
            let request: Request<'_> = serde_json::from_slice(&message.payload)?;
            graph.send(work.mode, &request).await?;
            let outcome = format!(r#"{{"id":"{}","status":"accepted"}}"#, request.id);
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Msg-Id", request.id);
            let subject = work.outcome.clone();
            jetstream.publish_with_headers(subject, headers, outcome.into()).await?.await?;
            message.double_ack().await?;
            Ok(())
        })
        .await
}
