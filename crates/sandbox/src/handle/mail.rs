//! What a test may do to the mail in a mailbox, and read of it: what is really there, by folder.
//!
//! Nothing of it goes through Graph, so no token, budget or fault stands in its way.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Handle, NotThere};
use crate::config::Group;
use crate::error::GraphError;
use crate::fault::DeltaFaults;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::{Format, Seal, Thing};
use crate::mailbox::store::Message;
use crate::mailbox::{Inner, Mailbox};
use crate::message::parse::{self, Scope};
use crate::operation::folder::take_away;
use crate::operation::locate;
use crate::person::Pointer;
use crate::truth::SentAttachment;

/// A message that is in a folder.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Held {
    /// In the default format
    pub id: String,
    pub immutable_id: String,
    pub internet_message_id: String,
    pub subject: String,
    pub received: Timestamp,
    pub is_read: bool,
    /// Files, items and links
    pub attachments: usize,
}

impl Handle {
    pub(crate) fn owned(&self, user: &str) -> Result<Arc<Mailbox>, GraphError> {
        self.world().mailbox(user).ok_or_else(|| GraphError::invalid_user(user))
    }

    /// What is in a folder, in the order of arrival there, whoever was told of it: the truth that
    /// events are held against.
    ///
    /// # Errors
    /// When there is no such mailbox or folder.
    pub fn contents(&self, mailbox: &str, folder: &str) -> Result<Vec<Held>, GraphError> {
        let mailbox = self.owned(mailbox)?;
        let folder = folder_of(&mailbox, Some(folder))?;
        let inner = lock(&mailbox.inner);
        let here = |message: &&Message| Some(message.place.folder) == folder;
        let mut found: Vec<&Message> = inner.store.newest_first().filter(here).collect();
        found.sort_by_key(|message| message.arrival);
        Ok(found.into_iter().map(|message| held(&mailbox.seal, message)).collect())
    }

    /// Changes a message as its owner would: a PATCH body. Of one that is no draft, marks only.
    ///
    /// # Errors
    /// When nothing is pointed at, or the change is refused.
    pub fn change_message(
        &self,
        pointer: &Pointer,
        change: Map<String, Value>,
    ) -> Result<(), GraphError> {
        self.apply_change(pointer, change, |_| true)
    }

    /// Changes a draft as its owner would: a PATCH body, and a new `changeKey`.
    ///
    /// # Errors
    /// When no draft is pointed at, or the change is refused.
    pub fn edit_draft(
        &self,
        pointer: &Pointer,
        change: Map<String, Value>,
    ) -> Result<(), GraphError> {
        self.apply_change(pointer, change, |message| message.place.is_draft)
    }

    fn apply_change(
        &self,
        pointer: &Pointer,
        change: Map<String, Value>,
        meant: impl FnOnce(&Message) -> bool,
    ) -> Result<(), GraphError> {
        let mailbox = self.owned(&pointer.mailbox)?;
        let mut inner = lock(&mailbox.inner);
        let key = pointer.find(&mailbox, &inner.store)?;
        let message = inner.store.get_mut(key).filter(|message| meant(message));
        let mut message = message.ok_or_else(GraphError::item_not_found)?;
        let mut content = (*message.content).clone();
        let scope = if message.place.is_draft { Scope::Draft } else { Scope::Sent };
        parse::update(&mut content, change, scope)?;
        if scope == Scope::Draft {
            content.mime = None;
        }
        *message.content_mut(self.now()) = content;
        Ok(())
    }

    /// Moves a message as its owner would, to a folder by well-known name, id or display name.
    ///
    /// # Errors
    /// When nothing is pointed at, or there is no such folder.
    pub fn move_message(&self, pointer: &Pointer, folder: &str) -> Result<(), GraphError> {
        let mailbox = self.owned(&pointer.mailbox)?;
        let mut inner = lock(&mailbox.inner);
        let folder = by_any_name(&mailbox, &inner, folder)?;
        let key = pointer.find(&mailbox, &inner.store)?;
        inner.store.relocate(key, folder, self.now());
        Ok(())
    }

    /// The attachments of a message as they are, with their checksums.
    ///
    /// # Errors
    /// When nothing is pointed at.
    pub fn attachments(&self, pointer: &Pointer) -> Result<Vec<SentAttachment>, GraphError> {
        let mailbox = self.owned(&pointer.mailbox)?;
        let attachments = {
            let inner = lock(&mailbox.inner);
            let key = pointer.find(&mailbox, &inner.store)?;
            inner.store.get(key).map(|message| message.attachments.clone()).unwrap_or_default()
        };
        // checksums of large files take their time, without the lock
        Ok(attachments.iter().map(|one| (&**one).into()).collect())
    }

    /// Spoils an attachment, by its place from 0 on: Graph refuses to open it from now on.
    ///
    /// # Errors
    /// When nothing is pointed at, or it has no such attachment.
    pub fn break_attachment(&self, pointer: &Pointer, place: usize) -> Result<(), GraphError> {
        let mailbox = self.owned(&pointer.mailbox)?;
        let mut inner = lock(&mailbox.inner);
        let key = pointer.find(&mailbox, &inner.store)?;
        let mut message = inner.store.get_mut(key).ok_or_else(GraphError::item_not_found)?;
        let attachment = message.attachments.get_mut(place);
        Arc::make_mut(attachment.ok_or_else(GraphError::item_not_found)?).broken = true;
        Ok(())
    }

    /// Makes a folder as the mailbox's owner would; gives its id. `parent` is a well-known name, an
    /// id or a path of display names, and the root when left out.
    ///
    /// # Errors
    /// When there is no such mailbox or parent, or the name is taken.
    pub fn create_folder(
        &self,
        mailbox: &str,
        parent: Option<&str>,
        name: &str,
    ) -> Result<String, GraphError> {
        let mailbox = self.owned(mailbox)?;
        let parent = folder_of(&mailbox, parent)?.unwrap_or(Folder::ROOT);
        let folder = lock(&mailbox.inner).folders.create(parent, name, false)?;
        Ok(mailbox.seal.seal(Thing::Folder { key: folder.key() }))
    }

    /// Deletes a folder with all below it, as its owner would.
    ///
    /// # Errors
    /// When there is no such mailbox or folder, or every mailbox has it.
    pub fn delete_folder(&self, mailbox: &str, folder: &str) -> Result<(), GraphError> {
        let mailbox = self.owned(mailbox)?;
        let folder = folder_of(&mailbox, Some(folder))?.ok_or_else(GraphError::item_not_found)?;
        take_away(&mut lock(&mailbox.inner), folder, self.now())
    }

    /// Adds a group to a tenant (by id or domain), or puts it in the place of the one with its id.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn set_group(&self, tenant: &str, group: Group) -> Result<(), NotThere> {
        let known = self.world().directory.tenant(tenant);
        let (_, tenant) = known.ok_or_else(|| NotThere(format!("there is no tenant {tenant}")))?;
        tenant.set_group(group);
        Ok(())
    }

    /// Sets what goes wrong with delta queries.
    pub fn set_delta_faults(&self, faults: DeltaFaults) {
        self.world().set_delta_faults(faults);
    }

    pub fn delta_faults(&self) -> DeltaFaults {
        self.world().delta_faults()
    }

    /// Makes the delta tokens of a folder worthless, or all of a mailbox, those for its folders
    /// too, or of all mailboxes; says how many things were followed.
    ///
    /// # Errors
    /// When there is no such mailbox or folder.
    pub fn evict_delta(
        &self,
        mailbox: Option<&str>,
        folder: Option<&str>,
    ) -> Result<usize, GraphError> {
        let mailboxes = match mailbox {
            Some(mailbox) => vec![self.owned(mailbox)?],
            None => self.world().mailboxes.all(),
        };
        let mut evicted = 0;
        for mailbox in mailboxes {
            let folder = folder_of(&mailbox, folder)?;
            let mut inner = lock(&mailbox.inner);
            let mut epoch = || self.world().dice.next();
            evicted += inner.store.journal.evict(folder, &mut epoch);
            if folder.is_none() {
                evicted += usize::from(inner.folders.evict(epoch));
            }
        }
        Ok(evicted)
    }
}

fn held(seal: &Seal, message: &Message) -> Held {
    let id =
        |format, generation| seal.seal(Thing::Message { format, key: message.key, generation });
    let content = &message.content;
    Held {
        id: id(Format::Default, message.place.default_id),
        immutable_id: id(Format::Immutable, message.place.immutable_id),
        internet_message_id: content.internet_message_id.clone(),
        subject: content.subject.clone(),
        received: message.sent,
        is_read: content.is_read,
        attachments: message.attachments.len(),
    }
}

/// The folder of a name, if one is given.
pub fn folder_of(mailbox: &Mailbox, name: Option<&str>) -> Result<Option<Folder>, GraphError> {
    let inner = lock(&mailbox.inner);
    name.map(|name| by_any_name(mailbox, &inner, name)).transpose()
}

/// A folder by well-known name, id, or display names from the root down: `Projects`,
/// `inbox/Projects/2026`.
pub fn by_any_name(mailbox: &Mailbox, inner: &Inner, name: &str) -> Result<Folder, GraphError> {
    let there = |folder: &Folder| inner.folders.name(*folder).is_some();
    if let Some(folder) = locate::folder(mailbox, name).ok().filter(there) {
        return Ok(folder);
    }
    let mut folder = Folder::ROOT;
    for (depth, part) in name.split('/').enumerate() {
        let known = Folder::by_name(part).filter(|_| depth == 0);
        let found = known.or_else(|| inner.folders.named(folder, part));
        folder = found.ok_or_else(GraphError::item_not_found)?;
    }
    Ok(folder)
}
