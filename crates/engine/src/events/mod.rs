//! The events flow: what happens in mailboxes becomes events on a bus.
//!
//! ```text
//! Changes.page -> judge -> make -> publish, confirmed -> COMMIT THE CURSOR -> after
//! ```
//!
//! Each mailbox has its turns (`turns`); what one turn does is its line (`line`). What an item of a
//! page is, new, a change or a repeat, is said in one place, `judge`. Nothing is retried here: a turn
//! that fails leaves the cursor where it was, and the next turn reads the same page again.

pub mod after;
mod board;
pub mod callback;
pub mod content;
pub mod encode;
mod folders;
mod held;
mod hub;
mod judge;
mod line;
pub mod make;
mod quarantine;
mod recent;
pub mod record;
mod relay;
mod roster;
mod run;
mod settings;
mod share;
mod stage;
mod tell;
mod turns;
pub mod wake;

use std::sync::Arc;

use mailbridge_core::{Changes, FileStore, Filter, Input, Mail, Output, StateStore, plugin::Build};

pub use board::{Board, State, Status, Trouble};
pub use hub::NEEDS as HUB_NEEDS;
pub use record::Record;
pub use settings::{Settings, Start, Whose};
pub use share::{Pool, Worker};

use self::callback::Callbacks;
use crate::{health::Reporter, ledger::Clock};

/// One events pipeline, ready to run.
pub struct Events {
    /// Its name in the configuration.
    pub name: String,
    /// Who lets us in, and does what is done to mails after their events.
    pub mail: Arc<dyn Mail>,
    /// Where mails are read.
    pub changes: Arc<dyn Changes>,
    /// Where it is kept how far each folder was read; it keeps what it is given for ever.
    pub store: Arc<dyn StateStore>,
    /// What time it is: the wall clock's, since Graph's times are.
    pub clock: Clock,
    /// Where events go.
    pub to: Arc<dyn Build<dyn Output>>,
    /// Whether what `to` commits is in `store`: then events and the record that they move go
    /// together.
    pub commits: bool,
    /// Where it is told of mails that no event can be made of, if anywhere.
    pub dead_letters: Option<Arc<dyn Build<dyn Output>>>,
    /// Where large content is put, if anywhere.
    pub files: Option<Arc<dyn FileStore>>,
    /// Which events are wanted; all, without it.
    pub filter: Option<Arc<dyn Filter>>,
    /// The program's subscriptions, where Graph is to call.
    pub callbacks: Callbacks,
    /// The bus by which Graph's calls come; without it they come to whoever holds `callbacks`.
    pub hub: Option<Arc<dyn Build<dyn Input>>>,
    /// The workers that share the mailboxes; without it, workers that run the same pipeline contend
    /// for each folder.
    pub pool: Option<Pool>,
    /// How it works.
    pub settings: Settings,
    /// Where it tells how it is.
    pub health: Reporter,
    /// Where it tells how each mailbox is.
    pub board: Board,
}
