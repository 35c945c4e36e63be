//! Delta queries: what changed in a folder since the client last asked
//! (learn.microsoft.com/graph/api/message-delta, learn.microsoft.com/graph/delta-query-messages).
//!
//! Per folder only. Whoever has seen everything asks again with the link of the last page. A link
//! holds all there is of a client's progress, and it is made worthless on demand or by chance.

mod page;
mod plan;
mod token;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, folder};
use crate::answer::Answer;
use crate::dice::{chance, hash};
use crate::error::GraphError;
use crate::fault::{DeltaFaults, PageDice, Resync};
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::{Format, Thing};
use crate::mailbox::log::{Gone, Known, Log, Marks, Tale};
use crate::mailbox::store::{Message, Place};
use crate::mailbox::{Inner, Mailbox};
use crate::message::render;
use crate::message::view::View;
use crate::text::percent_encode;
use page::{Page, turn};
use plan::{Options, Plan};
use token::Token;

/// Items of a page when the client does not say; the default of Outlook's lists.
const PAGE: usize = 10;
/// As many as `odata.maxpagesize` gets at most; Microsoft names no number, lists give as many.
const LARGEST_PAGE: usize = 1_000;

/// An item of a page, taken out of the mailbox so that it can be rendered without its lock.
enum Item {
    New(Message, Place),
    Changed(Message, Place, Marks),
    Left(Known),
}

/// `GET mailFolders/{id}/messages/delta`.
pub fn messages(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let folder = call.folder(mailbox)?.ok_or_else(GraphError::no_change_tracking)?;
    let request = Request::read(call, mailbox, Some(folder), "message")?;
    let mut guard = call.settled(mailbox);
    let inner = &mut *guard;
    // the state of the sync is kept in the mailbox
    // (github.com/microsoftgraph/microsoft-graph-docs issue 2927)
    inner.check_room()?;
    if inner.folders.name(folder).is_none() {
        return Err(if request.token.is_some() {
            GraphError::sync_folder_not_found()
        } else {
            GraphError::item_not_found()
        });
    }
    let last = inner.store.journal.last();
    let log = inner.store.journal.watch(folder, || call.world.dice.next());
    let page = request.page(call, log, last)?;
    let items = items(call, inner, folder, &page.tales);
    drop(guard);

    let shape = call.shape(mailbox, Some(&request.plan.query));
    let values = items.iter().map(|item| {
        let mut value = match item {
            Item::New(message, place) => render::message(message, place, &shape),
            Item::Changed(message, place, marks) => {
                render::changed(&View { message, place, shape: &shape }, *marks)
            }
            Item::Left(known) => removed(&mailbox.seal.seal(id(call, known))),
        };
        value.insert("@odata.type".to_owned(), json!("#microsoft.graph.message"));
        Value::Object(value)
    });
    Ok(request.answer(call, "message", &values.collect::<Vec<_>>(), &page))
}

/// `GET mailFolders/delta`: all folders but hidden ones, at any depth. That the counts of a folder
/// change is not told, as that would be with every mail.
pub fn folders(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let request = Request::read(call, mailbox, None, "mailFolder")?;
    let mut inner = call.settled(mailbox);
    inner.check_room()?;
    let (log, last) = inner.folders.watch(|| call.world.dice.next());
    let page = request.page(call, log, last)?;
    let tale = |tale: &Tale| {
        let folder = Folder::by_key(tale.known().key)?;
        let mut value = if let Tale::Left(_) = tale {
            removed(&mailbox.seal.seal(Thing::Folder { key: folder.key() }))
        } else {
            inner.folders.name(folder)?;
            folder::render(mailbox, &inner, folder, &request.plan.query)
        };
        value.insert("@odata.type".to_owned(), json!("#microsoft.graph.mailFolder"));
        Some(Value::Object(value))
    };
    let values: Vec<Value> = page.tales.iter().filter_map(tale).collect();
    Ok(request.answer(call, "mailFolder", &values, &page))
}

/// What the tales of a page are about, as far as it is still here.
fn items(call: &Call<'_>, inner: &Inner, folder: Folder, tales: &[Tale]) -> Vec<Item> {
    let log = inner.store.journal.log(folder);
    let here = |known: &Known| {
        let message = inner.store.get(known.key)?;
        let places = [Some(message.place), message.seen(call.now)];
        let mut fitting = places
            .into_iter()
            .flatten()
            .filter(|place| place.folder == folder && place.default_id == known.default_id);
        fitting.next().map(|place| (message.clone(), place))
    };
    let item = |tale: &Tale| match tale {
        Tale::New(known) => here(known).map(|(message, place)| Item::New(message, place)),
        Tale::Changed(known, marks) => {
            here(known).map(|(message, place)| Item::Changed(message, place, *marks))
        }
        Tale::Left(Gone { known, .. }) => {
            // it came back under the same id
            let back = call.preferences.ids == Format::Immutable
                && log
                    .and_then(|log| log.find(known.key))
                    .is_some_and(|now| now.immutable_id == known.immutable_id);
            (!back).then_some(Item::Left(*known))
        }
    };
    tales.iter().filter_map(item).collect()
}

fn id(call: &Call<'_>, known: &Known) -> Thing {
    let format = call.preferences.ids;
    let generation = match format {
        Format::Default => known.default_id,
        Format::Immutable => known.immutable_id,
    };
    Thing::Message { format, key: known.key, generation }
}

fn removed(id: &str) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert("id".to_owned(), json!(id));
    value.insert("@removed".to_owned(), json!({"reason": "deleted"}));
    value
}

/// A delta request, read.
struct Request {
    folder: Option<Folder>,
    secret: u64,
    token: Option<Token>,
    options: String,
    plan: Plan,
    faults: DeltaFaults,
    url: String,
}

impl Request {
    fn read(
        call: &Call<'_>,
        mailbox: &Mailbox,
        folder: Option<Folder>,
        type_name: &str,
    ) -> Result<Self, GraphError> {
        let Options { token, rest } = Options::read(call.query)?;
        let secret = hash(call.world.settings.seed, mailbox.address.as_bytes());
        let token = match token {
            None => None,
            Some(text) => {
                let token = Token::open(secret, &text);
                let token = token.filter(|token| token.folder == folder.map(Folder::key));
                Some(token.ok_or_else(GraphError::sync_state_invalid)?)
            }
        };
        let options = token.as_ref().map_or(rest, |token| token.options.clone());
        let plan = Plan::read(&options, type_name)?;
        let faults = call.world.delta_faults().of(&mailbox.address);
        let url = url(call, mailbox, folder);
        Ok(Self { folder, secret, token, options, plan, faults, url })
    }

    /// The page that the token asks for, or the first one.
    fn page(&self, call: &Call<'_>, log: &mut Log, last: u64) -> Result<Page, GraphError> {
        let epoch = log.epoch.unwrap_or_default();
        let token = match &self.token {
            None => self.first(epoch),
            Some(token) => {
                let known = token.epoch == epoch && log.remembers(token.base) && token.base <= last;
                if known && !self.is_evicted(call) {
                    token.clone()
                } else {
                    if known {
                        log.evict(call.world.dice.next());
                    }
                    return Err(self.resync(call.world.dice.next()));
                }
            }
        };
        let size = call.preferences.page_size.unwrap_or(PAGE).min(LARGEST_PAGE);
        let dice = PageDice(token.number(self.secret));
        Ok(turn(log, last, &token, &self.plan, size, (&self.faults, dice)))
    }

    /// By chance, and each time anew: a link that nobody fetches does not live on by luck.
    fn is_evicted(&self, call: &Call<'_>) -> bool {
        self.faults.evict > 0.0 && chance(call.world.dice.next(), self.faults.evict)
    }

    fn first(&self, epoch: u64) -> Token {
        Token {
            folder: self.folder.map(Folder::key),
            epoch,
            base: 0,
            top: None,
            after: token::Place::Start,
            before: token::Place::Start,
            page: 0,
            empty: 0,
            left: self.plan.limit(),
            options: self.options.clone(),
        }
    }

    /// To begin again: the first request, with an empty token.
    fn resync(&self, number: u64) -> GraphError {
        let separator = if self.options.is_empty() { "" } else { "&" };
        let location = format!("{}?{}{separator}$deltatoken=", self.url, self.options);
        Resync::refusal(self.faults.resync.as_ref(), number, location)
    }

    fn answer(&self, call: &Call<'_>, kind: &str, values: &[Value], page: &Page) -> Answer {
        let (link, option) = if page.is_last() {
            ("@odata.deltaLink", "$deltatoken")
        } else {
            ("@odata.nextLink", "$skiptoken")
        };
        let token = page.next.seal(self.secret);
        let context = format!("{}/v1.0/$metadata#Collection({kind})", call.base);
        let body = json!({
            "@odata.context": context,
            link: format!("{}?{option}={token}", self.url),
            "value": values,
        });
        Answer::json(StatusCode::OK, &body)
    }
}

/// The address of the query without its options, as links have it: absolute, the folder by its id.
fn url(call: &Call<'_>, mailbox: &Mailbox, folder: Option<Folder>) -> String {
    let version = call.path.trim_start_matches('/').split('/').next().unwrap_or("v1.0");
    let user = percent_encode(&call.route.user);
    let base = format!("{}/{version}/users/{user}/mailFolders", call.base);
    match folder {
        None => format!("{base}/delta"),
        Some(folder) => {
            let id = percent_encode(&mailbox.seal.seal(Thing::Folder { key: folder.key() }));
            format!("{base}('{id}')/messages/delta")
        }
    }
}
