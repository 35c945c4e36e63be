//! The sandbox as the judge: what was really sent, and what goes wrong on purpose.

use std::collections::BTreeMap;

use mailbridge_sandbox::DEMO_CLIENT_ID;
use serde_json::{Value, json};

use crate::Failure;

pub struct Graph {
    http: reqwest::Client,
    base: String,
}

impl Graph {
    pub fn new(sandbox: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().build()?;
        Ok(Self { http, base: format!("{sandbox}/_sandbox") })
    }

    /// As at the start: nothing sent, nothing wrong.
    pub async fn reset(&self) -> Result<(), Failure> {
        self.post("reset", &json!({})).await
    }

    /// Mails sent, duplicates among them.
    pub async fn sent(&self) -> Result<u64, Failure> {
        let truth = self.get("truth").await?;
        truth["sent_total"].as_u64().ok_or_else(|| "the truth has no total".into())
    }

    /// Mails sent from a mailbox, and from all others.
    pub async fn sent_from(&self, mailbox: &str) -> Result<(u64, u64), Failure> {
        let truth = self.get("truth").await?;
        let of = truth["sent_by_mailbox"][mailbox].as_u64().unwrap_or_default();
        Ok((of, truth["sent_total"].as_u64().unwrap_or_default() - of))
    }

    /// How often each request's mail was sent, by the number in its subject.
    pub async fn numbers(&self) -> Result<BTreeMap<usize, u64>, Failure> {
        let truth = self.get("truth/sent").await?;
        let mut numbers = BTreeMap::new();
        for mail in truth["sent"].as_array().ok_or("the truth has no mails")? {
            let subject = mail["subject"].as_str().unwrap_or_default();
            let number = subject.strip_prefix("order ").ok_or("a mail of somebody else")?;
            *numbers.entry(number.parse()?).or_default() += 1;
        }
        Ok(numbers)
    }

    pub async fn faults(&self, faults: &Value) -> Result<(), Failure> {
        self.post("faults", faults).await
    }

    pub async fn no_faults(&self) -> Result<(), Failure> {
        let url = format!("{}/faults", self.base);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// The app's secret is good until then: a past time expires it, a later one prolongs it.
    pub async fn secret_until(&self, until: jiff::Timestamp) -> Result<(), Failure> {
        let change = json!({ "client_id": DEMO_CLIENT_ID, "action": "expire", "expires": until });
        self.post("apps/secrets", &change).await
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.http.get(format!("{}/{path}", self.base)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let request = self.http.post(format!("{}/{path}", self.base)).body(body.to_string());
        request.send().await?.error_for_status()?;
        Ok(())
    }
}
