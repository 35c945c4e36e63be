//! The floors of a backfill: what the same pages cost without mailbridge.
//!
//! Both follow the same links with the same page size, as many mailboxes at once, and make nothing of
//! a mail. (a) publishes nothing. (b) publishes Graph's JSON of each as it is, in order, each one
//! confirmed by the stream before the next, with an id that the stream drops repeats by.
//! Neither keeps where it was, so that both would begin anew after a crash.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Failure;

/// What mailbridge asks of each mail.
const SELECT: &str = "id,receivedDateTime,sentDateTime,lastModifiedDateTime,changeKey,parentFolderId,\
    internetMessageId,conversationId,subject,bodyPreview,from,sender,toRecipients,ccRecipients,\
    bccRecipients,replyTo,importance,categories,isRead,isDraft,flag,hasAttachments,webLink,body";

pub struct Floor<'a> {
    pub http: &'a reqwest::Client,
    pub base: &'a str,
    pub token: &'a str,
    pub at_once: usize,
    pub page_size: usize,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Mail<'a> {
    id: &'a str,
}

impl Floor<'_> {
    /// Reads all, and says how many mails there were and how long it took.
    pub async fn run(
        &self,
        mailboxes: &[String],
        to: Option<(&jetstream::Context, &str)>,
    ) -> Result<(usize, Duration), Failure> {
        let start = Instant::now();
        let counts = stream::iter(mailboxes).map(|mailbox| self.mailbox(mailbox, to));
        let counts: Vec<usize> = counts.buffer_unordered(self.at_once).try_collect().await?;
        Ok((counts.iter().sum(), start.elapsed()))
    }

    async fn mailbox(
        &self,
        mailbox: &str,
        to: Option<(&jetstream::Context, &str)>,
    ) -> Result<usize, Failure> {
        let prefer = format!(
            "IdType=\"ImmutableId\", odata.maxpagesize={}, outlook.body-content-type=\"text\"",
            self.page_size
        );
        let first = format!(
            "{}/v1.0/users/{mailbox}/mailFolders/inbox/messages/delta\
             ?$select={SELECT}&changeType=created",
            self.base
        );
        let (mut count, mut next) = (0, Some(first));
        while let Some(url) = next {
            let request = self.http.get(url).bearer_auth(self.token).header("prefer", &prefer);
            let body = request.send().await?.error_for_status()?.bytes().await?;
            let page: Page<'_> = serde_json::from_slice(&body)?;
            count += page.value.len();
            if let Some((jetstream, subject)) = to {
                for mail in &page.value {
                    let Mail { id } = serde_json::from_str(mail.get())?;
                    let mut headers = async_nats::HeaderMap::new();
                    headers.insert("Nats-Msg-Id", id);
                    let payload = mail.get().to_owned().into();
                    let subject = subject.to_owned();
                    jetstream.publish_with_headers(subject, headers, payload).await?.await?;
                }
            }
            next = page.next;
        }
        Ok(count)
    }
}
