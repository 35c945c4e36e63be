//! `GET messages`, of a mailbox or a folder (learn.microsoft.com/graph/api/user-list-messages).

use std::cmp::Ordering;

use super::Call;
use crate::answer::Answer;
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::mailbox::folder::Folder;
use crate::mailbox::store::{Message, Place};
use crate::message::render::{self, Shape};
use crate::message::view::View;
use crate::odata::filter::{Subject, Value as Field};
use crate::odata::query::Query;

const PAGE: usize = 10;

/// A page, newest first unless sorted otherwise.
pub fn list(call: &Call<'_>, mailbox: &Mailbox) -> Result<Answer, GraphError> {
    let query = Query::parse(call.query, "message")?;
    let folder = call.folder(mailbox)?;
    let shape = call.shape(mailbox, Some(&query));
    let accepts = |message: &Message, place: &Place| {
        let view = View { message, place, shape: &shape };
        folder.map_or(place.folder != Folder::RECOVERABLE, |folder| folder == place.folder)
            && query.filter.as_ref().is_none_or(|filter| filter.accepts(&view))
    };

    // copies are cheap, and rendering can then do without the lock
    let mut found: Vec<(Message, Place)> = {
        let inner = lock(&mailbox.inner);
        let there = folder.is_none_or(|folder| inner.folders.name(folder).is_some());
        there.then_some(()).ok_or_else(GraphError::item_not_found)?;
        let seen = inner.store.newest_first().filter_map(|message| {
            let place = message.seen(call.now)?;
            accepts(message, &place).then(|| (message.clone(), place))
        });
        seen.collect()
    };
    sort(&mut found, &query, &shape);

    let context = call.context(mailbox, "messages", "");
    Ok(call.page(&context, &query, &found, PAGE, |(message, place)| {
        render::message(message, place, &shape)
    }))
}

fn sort(found: &mut [(Message, Place)], query: &Query, shape: &Shape<'_>) {
    if query.order.is_empty() {
        return;
    }
    found.sort_by(|(a, place_a), (b, place_b)| {
        let a = View { message: a, place: place_a, shape };
        let b = View { message: b, place: place_b, shape };
        query.order.iter().fold(Ordering::Equal, |order, (path, descends)| {
            order.then_with(|| {
                let by_path = compare(&a.value(path), &b.value(path));
                if *descends { by_path.reverse() } else { by_path }
            })
        })
    });
}

fn compare(a: &Field<'_>, b: &Field<'_>) -> Ordering {
    match (a, b) {
        (Field::Text(a), Field::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Field::Bool(a), Field::Bool(b)) => a.cmp(b),
        (Field::Time(a), Field::Time(b)) => a.cmp(b),
        (Field::Null, Field::Null) => Ordering::Equal,
        (Field::Null, _) => Ordering::Less,
        (_, Field::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}
