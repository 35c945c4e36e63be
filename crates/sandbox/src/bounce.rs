//! Mails that come back: recipients that bounce by rule, and the report that says so.
//!
//! Exchange Online accepts a mail with 202 and reports what fails later, by a message in the
//! sender's inbox (learn.microsoft.com/graph/outlook-things-to-know-about-send-mail). The form is
//! that of its non-delivery reports: RFC 3464, with the headers by which Exchange marks them.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::seconds;
use crate::lock::lock;
use crate::message::{Content, Recipient, mime};
use crate::text::{escape_html, glob};

/// Recipients that cannot be reached, and how that is reported.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bounce {
    /// Address, or a pattern with `*`
    pub recipient: String,
    /// How long after the send the report arrives, on the sandbox's clock
    #[serde(default)]
    pub delay_seconds: f64,
    /// Enhanced status code (RFC 3463)
    #[serde(default = "not_found")]
    pub status: String,
    /// What the refusing server said
    #[serde(default = "not_found_text")]
    pub diagnostic: String,
}

fn not_found() -> String {
    "5.1.10".to_owned()
}

fn not_found_text() -> String {
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
        .to_owned()
}

impl Bounce {
    /// An address, or a pattern with `*`, that is not found; reported at once.
    pub fn of(recipient: impl Into<String>) -> Self {
        Self {
            recipient: recipient.into(),
            delay_seconds: 0.0,
            status: not_found(),
            diagnostic: not_found_text(),
        }
    }

    /// Reported so much later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay_seconds = delay.as_secs_f64();
        self
    }

    /// With another reason, such as `5.7.233` and what it means.
    #[must_use]
    pub fn because(mut self, status: &str, diagnostic: &str) -> Self {
        status.clone_into(&mut self.status);
        diagnostic.clone_into(&mut self.diagnostic);
        self
    }

    pub(crate) fn delay(&self) -> Duration {
        seconds(self.delay_seconds)
    }
}

/// The rules in force. The first that means a recipient decides.
#[derive(Debug, Default)]
pub struct Bounces(Mutex<Vec<Bounce>>);

impl Bounces {
    pub fn add(&self, bounce: Bounce) {
        lock(&self.0).push(bounce);
    }

    pub fn list(&self) -> Vec<Bounce> {
        lock(&self.0).clone()
    }

    /// Removes all rules; says how many there were.
    pub fn clear(&self) -> usize {
        lock(&self.0).drain(..).count()
    }

    /// The recipients of a mail that do not get it, by the rule that says so.
    pub fn of(&self, content: &Content) -> Vec<(Bounce, Vec<Recipient>)> {
        let rules = lock(&self.0);
        let mut found: Vec<(Bounce, Vec<Recipient>)> = Vec::new();
        for one in content.recipients() {
            let rule = rules.iter().find(|rule| glob(&rule.recipient, &one.address));
            let Some(rule) = rule else { continue };
            match found.iter_mut().find(|(known, _)| known == rule) {
                Some((_, recipients)) => recipients.push(one.clone()),
                None => found.push((rule.clone(), vec![one.clone()])),
            }
        }
        found
    }
}

/// One report, as everything in it is known when it is written.
pub struct Report<'a> {
    pub original: &'a Content,
    pub sender: &'a Recipient,
    pub bounce: &'a Bounce,
    pub recipients: &'a [Recipient],
    /// The GUID that makes its message id
    pub number: &'a str,
    pub at: Timestamp,
}

const BOUNDARY: &str = "_000_sandbox_report_boundary_";
const SERVER: &str = "SANDBOX01.SANDBOX.PROD.OUTLOOK.COM";

impl Report<'_> {
    /// The whole report as RFC 5322 text.
    pub fn mime(&self) -> String {
        let mut out = self.headers();
        let boundary = format!("--{BOUNDARY}");
        // writing to a string cannot fail
        write!(
            out,
            "\r\n{boundary}\r\nContent-Type: text/html; charset=\"utf-8\"\r\n\r\n{}\r\n\
             {boundary}\r\nContent-Type: message/delivery-status\r\n\r\n{}\r\n\
             {boundary}\r\nContent-Type: message/rfc822\r\n\r\n",
            self.text(),
            self.status(),
        )
        .unwrap_or_default();
        let original = mime::render(self.original, self.sender, &Vec::new(), self.at);
        out.push_str(&String::from_utf8_lossy(&original));
        write!(out, "\r\n{boundary}--\r\n").unwrap_or_default();
        out
    }

    fn headers(&self) -> String {
        let domain = self.sender.address.split('@').next_back().unwrap_or_default();
        let id = &self.original.internet_message_id;
        let subject = mime::word(&format!("Undeliverable: {}", self.original.subject));
        let thread = self.original.thread_headers();
        let references = thread.last().map(|(_, ids)| ids.as_str()).unwrap_or_default();
        format!(
            "From: \"Microsoft Outlook\" <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@\
             {domain}>\r\n\
             To: <{to}>\r\nDate: {date}\r\nSubject: {subject}\r\n\
             Message-ID: <{number}@{SERVER}>\r\n\
             In-Reply-To: {id}\r\nReferences: {references}\r\n\
             Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\n\
             X-MS-Exchange-Message-Is-Ndr: \r\nX-MS-Exchange-Parent-Message-Id: {id}\r\n\
             X-MS-Exchange-Transport-CrossTenantHeadersStamped: SANDBOX01\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\
             \tboundary=\"{BOUNDARY}\"\r\n",
            to = self.sender.address,
            date = mime::date(self.at),
            number = self.number,
        )
    }

    fn text(&self) -> String {
        let (mut failed, mut details) = (String::new(), String::new());
        for one in self.recipients {
            let address = escape_html(&one.address);
            write!(failed, "<a href=\"mailto:{address}\">{address}</a><br>\r\n")
                .unwrap_or_default();
            let said = escape_html(&self.bounce.diagnostic);
            write!(details, "{address}<br>\r\nRemote server returned '{said}'<br>\r\n")
                .unwrap_or_default();
        }
        format!(
            "<html><body><p><b>Delivery has failed to these recipients or groups:</b></p>\r\n\
             <p>{failed}Your message couldn't be delivered.</p>\r\n\
             <p><b>Diagnostic information for administrators:</b></p>\r\n\
             <p>Generating server: {SERVER}</p>\r\n<p>{details}</p></body></html>\r\n"
        )
    }

    fn status(&self) -> String {
        let mut out = format!(
            "Reporting-MTA: dns;{SERVER}\r\nReceived-From-MTA: dns;{SERVER}\r\n\
             Arrival-Date: {}\r\n",
            mime::date(self.at)
        );
        for one in self.recipients {
            write!(
                out,
                "\r\nOriginal-Recipient: rfc822;{address}\r\nFinal-Recipient: rfc822;{address}\r\n\
                 Action: failed\r\nStatus: {}\r\nDiagnostic-Code: smtp;{}\r\n",
                self.bounce.status,
                self.bounce.diagnostic,
                address = one.address,
            )
            .unwrap_or_default();
        }
        out
    }
}
