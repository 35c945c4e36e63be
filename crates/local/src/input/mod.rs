//! Messages from files and from standard input.
//!
//! A log cannot hand a message out twice, so `Redeliver` stands around it, and around that a bound
//! on how many are out.

mod file;
pub(crate) mod lines;
mod stdin;

use std::{path::Path, sync::Arc};

use mailbridge_core::{
    Input, Message, Needs, Result,
    adapter::{Bounded, Redeliver},
    contract::decode::TRUNCATED_HEADER,
};

use self::{
    file::{End, Reader},
    lines::Line,
};
use crate::{position::Log, record};

/// How many deliveries may be parked until they are due. At the bound nothing new is read, whichever
/// mailbox it is for. Less than a bus with a server takes, since those are kept in memory whole, a
/// request can be megabytes, and the open lines are written with every position.
const PARKED_MAX: usize = 4_096;

/// An input on a file.
pub(crate) async fn file(
    log: Arc<Log>,
    path: &Path,
    follow: bool,
    needs: &Needs,
) -> Result<Box<dyn Input>> {
    let end = if follow { End::Never } else { End::File };
    Ok(as_asked(Reader::open(&log, path, end).await?, needs))
}

/// What stands in a file now. Hands each line out once.
pub(crate) async fn now(log: Arc<Log>, path: &Path) -> Result<Box<dyn Input>> {
    Ok(Box::new(Reader::open(&log, path, End::Now).await?))
}

/// An input on standard input.
pub(crate) async fn stdin(needs: &Needs) -> Result<Box<dyn Input>> {
    Ok(as_asked(stdin::Pipe::standard().reader().await?, needs))
}

pub(crate) fn as_asked(input: impl Input + 'static, needs: &Needs) -> Box<dyn Input> {
    Box::new(Bounded::new(Redeliver::new(input, PARKED_MAX), needs.in_flight))
}

/// The message on a line. Of a line that is too long there is only the beginning, which says so.
fn message(line: &Line, address: &str) -> Message {
    let mut message = if line.is_cut() {
        let mut message = Message { payload: line.text.clone(), ..Message::default() };
        message.headers.push(TRUNCATED_HEADER, line.length.to_string());
        message
    } else {
        record::read(&line.text)
    };
    message.address = Some(address.to_owned());
    message
}
