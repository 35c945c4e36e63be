//! The ports. A bus plugin provides [`Input`], [`Output`] and [`StateStore`]; Graph provides
//! [`Mail`], which reads what requests refer to through [`Files`]. A [`Decoder`] stands between them
//! where messages are events that requests are made of. The points in each trait's documentation are
//! promises: the conformance suite checks every one of them for every plugin.

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code, Deadline, Delivery, Error, Mailbox, Message, Position, Reports, Result,
    contract::{Decoded, MailCloudEvent, Mark, Request, Undecodable, decode},
};

/// Messages from a bus.
///
/// - `next` is cancel safe: a call that is dropped loses no message.
/// - `None` means that the source has ended for good (end of a file, of standard input).
/// - An error ends this instance; the host drops it and builds another after a back-off.
/// - A delivery that is dropped unsettled comes back, here or after a restart.
/// - Deliveries may be settled in any order, from any task, while `next` is being called.
/// - At most as many deliveries as the host asked for are out at once.
/// - After `stop`, what was not handed out is free for others at once, and where these could hear of
///   it, it is not taken for begun. Deliveries that are out are settled as ever.
#[async_trait]
pub trait Input: Send {
    /// The next delivery, when there is one.
    async fn next(&mut self) -> Result<Option<Delivery>>;

    /// Takes no more, and gives back what was read ahead. Ends soon, whatever the bus does; what it
    /// could not give back comes back by itself. `next` is not called any more.
    ///
    /// An input that alone has its source, and keeps the place of what it has not handed out, has
    /// nothing to do.
    async fn stop(&mut self) {}
}

/// Messages to a bus.
///
/// - `publish` returns once the bus has durably accepted the message.
/// - A message with an id that was published before is accepted, and not stored twice within the
///   bus's own window, where the bus has one.
/// - An error means that it may or may not have been stored: publishing again is right.
#[async_trait]
pub trait Output: Send + Sync {
    /// Publishes one message.
    async fn publish(&self, message: Message) -> Result<()>;

    /// Publishes messages and stores a value, all of it or nothing, where the output was built with
    /// the store that the value is for ([`crate::plugin::Plugin::output_with_store`]).
    ///
    /// - Nothing of what did not happen is seen by consumers that read what is committed.
    /// - Whoever commits for a share of the work takes it over. What another had begun for it has
    ///   no effect, however late it goes on.
    /// - [`Put::Conflict`] means that the value was not at the expected revision, or that another has
    ///   taken the share over: the stored value tells who was first.
    /// - An error means that it may or may not have happened: the stored value tells. One with the
    ///   field `message` means that nothing has, and whose fault it is, counted from 0.
    async fn commit(&self, _commit: Commit<'_>) -> Result<Put> {
        let detail = "this output stores no values along with messages";
        Err(Error::permanent(Code::Internal, detail))
    }
}

/// Messages and a value that stand or fall together. See [`Output::commit`].
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// The share of the work that this is about, of which there are some dozens. One commit follows
    /// another within it.
    pub share: &'a str,
    /// In the order in which they are published. There may be none.
    pub messages: &'a [Message],
    /// The value's key in the state store.
    pub key: &'a str,
    /// What is stored there.
    pub value: Bytes,
    /// What stands there; nothing, with `None`.
    pub expected: Option<Revision>,
}

/// Reads messages as requests, for one pipeline.
///
/// - Pure: the same message gives the same request, with the same key, however often it is read.
/// - `None` means that the message asks for nothing here. It is settled, and nobody is told.
/// - What cannot be read has a key all the same.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Reads one message.
    fn decode(
        &self,
        message: &Message,
        position: &Position,
    ) -> Result<Option<Decoded>, Box<Undecodable>>;
}

/// For a pipeline whose messages are requests as they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsRequests;

impl Decoder for AsRequests {
    fn decode(
        &self,
        message: &Message,
        position: &Position,
    ) -> Result<Option<Decoded>, Box<Undecodable>> {
        decode::decode(message, position).map(Some)
    }
}

/// Which events a pipeline wants.
///
/// - Pure: the same event has the same answer.
/// - An error is *permanent*: the event is at fault, or what it is asked about.
pub trait Filter: fmt::Debug + Send + Sync {
    /// Whether an event is wanted. Bodies are whole here; of attachments there is what is known
    /// without reading them.
    fn wants(&self, event: &MailCloudEvent) -> Result<bool>;
}

/// A value's revision. Opaque but for equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision(pub u64);

/// What a compare-and-swap came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Stored; this is the new revision.
    Stored(Revision),
    /// Somebody else was there first: the value is not at the expected revision.
    Conflict,
}

/// How long a state store keeps a value that nobody touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until it is deleted.
    Forever,
    /// At least this long after it was last put; some time after that it is gone, so that a store
    /// of what was done once does not grow without end.
    AtLeast(Duration),
    /// Until it is deleted, and where nothing has to wait for what [`Output::commit`] has under way:
    /// leases are renewed in time.
    Leases,
}

/// The most keys that [`StateStore::list`] lists: they are in memory all at once.
pub const LIST_MAX: usize = 100_000;

/// The keys that a store has found for [`StateStore::list`], unless they are too many. A store need
/// not look for more than one above [`LIST_MAX`].
pub fn listed(prefix: &str, mut keys: Vec<String>) -> Result<Vec<String>> {
    if keys.len() > LIST_MAX {
        return Err(too_many_keys(prefix));
    }
    keys.sort_unstable();
    Ok(keys)
}

/// The error of [`StateStore::list`] where there is more than it can list.
pub fn too_many_keys(prefix: &str) -> Error {
    let detail = "more keys begin like this than can be listed; ask for a longer prefix";
    let error = Error::permanent(Code::StateFailed, detail);
    error.with("prefix", prefix).with("max", LIST_MAX)
}

/// A small durable store: compare-and-swap, and a list of keys for people who look after it.
///
/// - Keys are 1 to 256 characters of `[A-Za-z0-9._/=-]`, not starting or ending with `.`.
/// - `put` with `None` succeeds only if the key is absent; with a revision only if the value is
///   still at it. Of two writers that expect the same, one wins.
/// - A revision is never used again for another value of the same key.
/// - What `put` has confirmed is read by every later `get`, also after a crash.
/// - `list` gives the keys that begin with the prefix, each once, in the order of their bytes: every
///   one that `get` would find from before the call until its end, and none that it would find at no
///   time of it, as a deleted or aged-out one. A key that comes or goes meanwhile may be listed.
/// - More than [`LIST_MAX`] keys are an error, not a part of them; a store may count deleted ones,
///   and those that have only the prefix up to its last `.` in common. `list` may read the whole
///   store, and is not for the way of a message.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The value and its revision, if there is one.
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>>;
    /// Stores a value if the key is as expected (`None`: absent).
    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put>;
    /// Deletes a value if it is at the expected revision. The returned revision means nothing.
    async fn delete(&self, key: &str, expected: Revision) -> Result<Put>;
    /// The keys that begin with `prefix`, which may be empty. With one that no key can begin with,
    /// there are none.
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Tells something to all who listen to a topic of this store now, where the store can. It may
    /// be lost, and come twice, and come to who told it: it is for what would be found out anyhow,
    /// only later.
    async fn signal(&self, _topic: &str, _payload: Bytes) -> Result<()> {
        Ok(())
    }

    /// Listens from now on; none, where the store cannot.
    async fn signals(&self, _topic: &str) -> Result<Option<Box<dyn Signals>>> {
        Ok(None)
    }
}

/// What is told under a topic of a state store. See [`StateStore::signal`].
#[async_trait]
pub trait Signals: Send {
    /// The next; `None` when nothing can be heard any more. Cancel safe.
    async fn next(&mut self) -> Option<Bytes>;
}

/// The mail service.
///
/// - `perform` ends by `Attempt::deadline`, which moves while it makes progress.
/// - It returns an error with the verdict *in doubt* exactly when the mail may have been sent and
///   nobody knows: the bytes left and no definite answer came.
/// - With a doubt it looks in the mailbox before it does anything that could be seen twice.
/// - One mailbox that is slow or throttled does not slow another.
/// - Where other workers have all that a mailbox takes at once, the error's field `slots` is `taken`.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Proves that the service lets us in, without any effect. Cheap when it is known to.
    async fn ready(&self) -> Result<()>;

    /// Tries to carry out one request.
    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion>;

    /// What part of what a mailbox takes at once is this worker's, above 0 and up to 1: others may have
    /// the rest.
    fn share(&self, _mailbox: &Mailbox) -> f64 {
        1.0
    }

    /// Removes what concluded requests have left behind, as far as it is known and due. Called now
    /// and then; takes a bounded time; there may be nothing to do.
    async fn tidy(&self) {}

    /// Where reports of mails that came back are found, if this service shows them.
    fn reports(&self) -> Option<&dyn Reports> {
        None
    }
}

/// Files that requests refer to by URL, for one pipeline.
///
/// 1. Nothing is touched outside the places that the pipeline allows: neither by the URL itself, nor
///    by a redirect, nor by a name that leads to a private address or out of an allowed folder. A
///    refused reference is *permanent*, `attachment_not_allowed`.
/// 2. `open` finds out what stands behind the URL, and reads nothing of its content.
/// 3. `read` gives exactly the bytes of the range, which lies within the file. At most the range is
///    in memory: callers ask for a piece at a time, in any order, and for the same one again.
/// 4. All reads of one [`File`] are of the same content: when the object has changed since `open`,
///    as its version or its length shows, `read` fails as *permanent*, `attachment_changed`.
/// 5. What is not there, or not any more, is *permanent*, `attachment_missing`.
/// 6. A place that does not answer, or fails for the moment, is *transient*,
///    `attachment_unavailable`; so is one that refuses the credentials it was given, since
///    that is somebody's to cure and not the request's fault.
/// 7. An error about a file has the field `attachment` with the URL's last part, and never the whole
///    URL, which may hold a signature.
/// 8. Every call ends by itself in bounded time; dropping it leaves nothing behind.
#[async_trait]
pub trait Files: fmt::Debug + Send + Sync {
    /// Finds a file.
    async fn open(&self, url: &str) -> Result<File>;

    /// Reads a piece of a file.
    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes>;
}

/// A file behind a URL, as it was when it was opened.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, as the request has it.
    pub url: String,
    /// Its length.
    pub bytes: u64,
    /// What changes with its content: an entity tag, a version, a digest, a time with a length.
    pub version: Option<String>,
    /// The media type that its place gives it.
    pub content_type: Option<String>,
}

/// Shows no URL: it may hold a signature.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// For a pipeline that allows no references: refuses all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

#[async_trait]
impl Files for NoFiles {
    async fn open(&self, _url: &str) -> Result<File> {
        let detail = "the pipeline allows no attachments by reference";
        Err(Error::permanent(Code::AttachmentNotAllowed, detail))
    }

    async fn read(&self, file: &File, _range: Range<u64>) -> Result<Bytes> {
        self.open(&file.url).await.map(|_| Bytes::new())
    }
}

/// One try at one request.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// The mailbox it is done in.
    pub mailbox: &'a Mailbox,
    /// What the request is known by inside the mailbox.
    pub mark: &'a Mark,
    /// What the mail is to carry with it, unseen, for whoever finds it in the mailbox later and asks
    /// whose it was; see [`Reports`]. A mail that goes as MIME in one request cannot.
    pub origin: Option<&'a str>,
    /// What the pipeline promises.
    pub guarantee: Guarantee,
    /// Whether an earlier try may have had its effect.
    pub doubt: Doubt,
    /// When this try must be over, as long as it makes no progress.
    pub deadline: &'a Deadline,
    /// Where the files are that the request refers to.
    pub files: &'a dyn Files,
}

/// Whether an earlier attempt at the same request may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No: this is the first, or every earlier one is known not to have happened.
    None,
    /// Yes, and so recently that the mailbox need not show it yet.
    Young,
    /// Yes, and long enough ago: what the mailbox shows is the truth.
    Old,
}

/// What a pipeline promises about a send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Draft, then send, and a look in the mailbox when in doubt: never twice.
    #[default]
    Once,
    /// One `sendMail` call, half the cost: in doubt it is sent again, or not, as the pipeline says.
    AtLeastOnce,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Graph has accepted the mail, now or (`found`) at an earlier attempt.
    Sent {
        /// The `Message-ID`, where Graph tells it.
        internet_message_id: Option<String>,
        /// Whether it was found sent by looking, so that this attempt sent nothing.
        found: bool,
    },
    /// The mail that the request names is as the request wants it. It may have been so before.
    Done,
    /// It looked, and cannot know yet. Nothing was done.
    Unsettled,
    /// It looked, and no earlier attempt has happened. Nothing was done: the request may now be
    /// performed without a doubt.
    Absent,
}

/// What the engine asks of an input.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Deliveries worked on at once, at most.
    pub in_flight: usize,
    /// Deliveries beyond those that may be out at once and only wait to be settled. An input whose
    /// bus takes its time to confirm hands out others meanwhile; any other may ignore it.
    pub concluding: usize,
    /// How long one attempt may take. A bus's acknowledgement deadline must be longer.
    pub deadline: Duration,
}
