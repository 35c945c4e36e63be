//! A mailbox and a file store that keep what they are told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Changes, Code, Deadline, Error, FileStore, FileWriter, Mailbox, Result,
    changes::{Ask, Content, Cursor, Folders, Found, Page, Rule, Select, What},
    contract::{AttachmentKind, EventAttachment, MailContent, MessageId},
};

/// What a reading of content comes to.
#[derive(Clone)]
pub enum Read {
    Pieces(Vec<Bytes>),
    /// Some pieces, and then a failure.
    Fails(Vec<Bytes>, Error),
}

/// A mailbox with one message.
#[derive(Default)]
pub struct Box1 {
    pub whole: Option<MailContent>,
    pub attachments: Vec<EventAttachment>,
    pub unlisted: Option<Error>,
    pub content: BTreeMap<String, Read>,
    /// The calls that were made.
    pub calls: Mutex<Vec<String>>,
}

impl Box1 {
    fn called(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Adds an attachment that reads as these bytes.
    #[must_use]
    pub fn with(mut self, id: &str, kind: AttachmentKind, read: Read) -> Self {
        let size = match &read {
            Read::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            Read::Fails(..) => 100,
        };
        self.attachments.push(EventAttachment {
            id: id.to_owned(),
            kind,
            name: Some(format!("{id} ü.pdf")),
            content_type: Some("application/pdf".to_owned()),
            size,
            is_inline: false,
            content: None,
        });
        self.content.insert(id.to_owned(), read);
        self
    }
}

pub fn found(id: &str, content: MailContent) -> Found {
    Found {
        id: MessageId(id.to_owned()),
        complete: true,
        version: Some("v1".to_owned()),
        received: Some("2026-05-01T10:00:00Z".parse().unwrap()),
        folder: Some("target".to_owned()),
        modified: Some("2026-05-02T10:00:00Z".parse().unwrap()),
        properties: vec!["isRead".to_owned()],
        content: Box::new(content),
        raw: None,
    }
}

#[async_trait]
impl Changes for Box1 {
    async fn folders(
        &self,
        _: &Mailbox,
        _: &[String],
        _: Option<&Cursor>,
        _: &Deadline,
    ) -> Result<Folders> {
        unreachable!()
    }

    async fn page(&self, _: &Ask<'_>) -> Result<Page> {
        unreachable!()
    }

    async fn message(
        &self,
        _: &Mailbox,
        id: &MessageId,
        _: &Select,
        _: &Deadline,
    ) -> Result<Option<Found>> {
        self.called("message");
        let (version, properties) = (Some("v2".to_owned()), vec!["everything".to_owned()]);
        let whole = self.whole.clone();
        Ok(whole.map(|content| Found { version, properties, ..found(&id.0, content) }))
    }

    async fn attachments(
        &self,
        _: &Mailbox,
        _: &MessageId,
        _: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        self.called("attachments");
        self.unlisted.clone().map_or_else(|| Ok(self.attachments.clone()), Err)
    }

    async fn content<'a>(
        &'a self,
        _: &Mailbox,
        what: What<'_>,
        _: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        let id = match what {
            What::Attachment(_, id) => id,
            What::Mime(_) => "mime",
        };
        self.called(format!("content {id}"));
        match self.content.get(id) {
            Some(Read::Fails(pieces, error)) if pieces.is_empty() => Err(error.clone()),
            Some(read) => Ok(Box::new(Reading { read: read.clone(), at: 0 })),
            None => Err(Error::permanent(Code::GraphAttachmentUnreadable, "no such content")),
        }
    }

    async fn discover(&self, _: &Rule, _: &Deadline) -> Result<Vec<Mailbox>> {
        unreachable!()
    }
}

struct Reading {
    read: Read,
    at: usize,
}

#[async_trait]
impl Content for Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let at = self.at;
        self.at += 1;
        match &self.read {
            Read::Pieces(pieces) => Ok(pieces.get(at).cloned()),
            Read::Fails(pieces, error) => {
                pieces.get(at).cloned().map(Some).ok_or_else(|| error.clone())
            }
        }
    }
}

/// A store. Files appear when they are finished.
#[derive(Debug, Default)]
pub struct Shelf {
    pub files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// What every call comes to, if it fails.
    pub fails: Option<Error>,
    /// Whether pieces are taken.
    pub hangs: bool,
}

impl Shelf {
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().unwrap().clone()
    }
}

#[async_trait]
impl FileStore for Shelf {
    async fn create(&self, name: &str, _: Option<&str>) -> Result<Box<dyn FileWriter>> {
        let segment = |segment: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._=-".contains(c);
            !["", ".", ".."].contains(&segment) && segment.chars().all(fits)
        };
        assert!(name.split('/').all(segment), "{name}");
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        match self.fails.clone() {
            Some(error) => Err(error),
            None => Ok(Box::new(Writing { files, name, bytes: Vec::new(), hangs: self.hangs })),
        }
    }
}

struct Writing {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    name: String,
    bytes: Vec<u8>,
    hangs: bool,
}

#[async_trait]
impl FileWriter for Writing {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<String> {
        let url = format!("shelf://{}", self.name);
        self.files.lock().unwrap().insert(self.name, self.bytes);
        Ok(url)
    }
}
