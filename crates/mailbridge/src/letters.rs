//! Mail that arrives in the sandbox inside this process, so that pipelines of events have something
//! to read: some at the start, and then one after the other.

use std::time::Duration;

use mailbridge_sandbox::{Arrival, Handle};

/// How many are in each mailbox before anything reads it.
const FIRST: usize = 3;
/// How long it takes until the next one arrives, in one of the mailboxes.
const PAUSE: Duration = Duration::from_secs(2);

/// Who writes, and about what.
const LETTERS: [(&str, &str, &str); 4] = [
    ("Ada Example <ada@example.org>", "Where is my order?", "I have been waiting since Monday."),
    ("Bob Example <bob@example.org>", "Invoice 4711", "Please find the invoice attached."),
    ("Carol Example <carol@example.org>", "Thank you", "Everything works again."),
    ("alerts@example.org", "Disk almost full", "97 % of /var is in use."),
];

/// Puts the first ones there.
pub fn first(sandbox: &Handle, mailboxes: &[String]) {
    for number in 0..FIRST {
        for mailbox in mailboxes {
            post(sandbox, mailbox, number);
        }
    }
}

/// Puts the others there, one after the other. Never ends.
pub async fn arrive(sandbox: Handle, mailboxes: Vec<String>) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + PAUSE, PAUSE);
    for (number, mailbox) in mailboxes.iter().cycle().enumerate() {
        ticks.tick().await;
        post(&sandbox, mailbox, FIRST + number);
    }
}

fn post(sandbox: &Handle, mailbox: &str, number: usize) {
    // one that the sandbox does not take is one less
    if let Err(cause) = sandbox.receive(&Arrival::mime(mailbox, letter(mailbox, number))) {
        tracing::debug!(mailbox, ?cause, "no mail could be put into the sandbox");
    }
}

fn letter(mailbox: &str, number: usize) -> String {
    let (from, subject, text) = LETTERS[number % LETTERS.len()];
    let head = format!(
        "From: {from}\r\nTo: {mailbox}\r\nSubject: {subject} ({number})\r\n\
         Message-ID: <{number}.{mailbox}>\r\nMIME-Version: 1.0\r\n"
    );
    if !subject.starts_with("Invoice") {
        return format!("{head}Content-Type: text/plain\r\n\r\n{text}\r\n");
    }
    format!(
        "{head}Content-Type: multipart/mixed; boundary=part\r\n\r\n\
         --part\r\nContent-Type: text/plain\r\n\r\n{text}\r\n\
         --part\r\nContent-Type: text/csv; name=invoice.csv\r\n\
         Content-Disposition: attachment; filename=invoice.csv\r\n\r\n\
         item,price\r\nbridge,{number}.00\r\n--part--\r\n"
    )
}
