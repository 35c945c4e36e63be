//! One page of a round, with everything that may be wrong with it.

use super::plan::Plan;
use super::token::{Place, Token};
use crate::fault::{DeltaFaults, PageDice};
use crate::mailbox::log::{Log, Round, Tale};

/// How many steps are looked at for one page: what nobody wants to hear may fill a page by itself,
/// and then it comes short.
const LOOK_LIMIT: usize = 10_000;

/// What a page tells, and how to go on.
#[derive(Debug)]
pub struct Page {
    pub tales: Vec<Tale>,
    /// Of the next page, or of the next round
    pub next: Token,
}

impl Page {
    /// Whether the round is over with it.
    pub fn is_last(&self) -> bool {
        self.next.top.is_none()
    }
}

/// The page that a token asks for. `last` is the newest step there is.
pub fn turn(
    log: &Log,
    last: u64,
    token: &Token,
    plan: &Plan,
    size: usize,
    (faults, dice): (&DeltaFaults, PageDice),
) -> Page {
    let round = Round { base: token.base, top: token.top.unwrap_or(last) };
    let room = if faults.repeats() { size.div_ceil(2) } else { size };
    let found = collect(log, round, token, plan, room.min(token.left.unwrap_or(room)));
    let left = token.left.map(|left| left - found.tales.len());
    if found.exhausted || left == Some(0) {
        let mut tales = found.tales;
        trouble(log, round, token, plan, size, (faults, dice), &mut tales);
        return Page { tales, next: next_round(token, round) };
    }
    let next = Token { top: Some(round.top), page: token.page + 1, ..token.clone() };
    if token.empty < 3 && dice.strikes(EMPTY, faults.empty) {
        return Page { tales: Vec::new(), next: Token { empty: token.empty + 1, ..next } };
    }
    let mut tales = found.tales;
    trouble(log, round, token, plan, size, (faults, dice), &mut tales);
    let next = Token { after: found.place, before: token.after, empty: 0, left, ..next };
    Page { tales, next }
}

const EMPTY: u64 = u64::MAX;
const SHUFFLE: u64 = u64::MAX - 1;
const LATER: u64 = 1 << 63;

fn next_round(token: &Token, round: Round) -> Token {
    Token {
        base: round.top,
        top: None,
        after: Place::Start,
        before: Place::Start,
        page: 0,
        empty: 0,
        left: None,
        ..token.clone()
    }
}

/// Repeats and another order.
fn trouble(
    log: &Log,
    round: Round,
    token: &Token,
    plan: &Plan,
    size: usize,
    (faults, dice): (&DeltaFaults, PageDice),
    tales: &mut Vec<Tale>,
) {
    let mut again: Vec<Tale> = Vec::new();
    if faults.repeat_later > 0.0 && token.before != token.after {
        let earlier = walk(log, round, token.before, plan)
            .take(LOOK_LIMIT)
            .take_while(|(place, _)| !beyond(*place, token.after, plan.descending))
            .filter_map(|(_, tale)| tale.filter(|tale| plan.wants(tale)));
        again.extend(
            earlier.filter(|tale| dice.strikes(tale.known().key | LATER, faults.repeat_later)),
        );
    }
    let doubled = tales.iter().filter(|tale| dice.strikes(tale.known().key, faults.repeat));
    again.extend(doubled.copied());
    again.truncate(size.saturating_sub(tales.len()));
    tales.append(&mut again);
    if dice.strikes(SHUFFLE, faults.shuffle) {
        dice.shuffle(tales);
    }
}

fn beyond(place: Place, end: Place, descending: bool) -> bool {
    match (place, end) {
        (Place::Step(place), Place::Step(end)) => place > end,
        (Place::Time(time, step), Place::Time(end, last)) if descending => {
            (time, step) < (end, last)
        }
        (Place::Time(time, step), Place::Time(end, last)) => (time, step) > (end, last),
        _ => true,
    }
}

struct Found {
    tales: Vec<Tale>,
    place: Place,
    exhausted: bool,
}

fn collect(log: &Log, round: Round, token: &Token, plan: &Plan, room: usize) -> Found {
    let mut steps = walk(log, round, token.after, plan).peekable();
    let (mut tales, mut place) = (Vec::new(), token.after);
    for _ in 0..LOOK_LIMIT {
        // what is not told does not make a page of its own
        while steps.next_if(|(_, tale)| tale.is_none()).is_some() {}
        let Some((_, Some(tale))) = steps.peek() else { break };
        let wanted = plan.wants(tale);
        if wanted && tales.len() == room {
            return Found { tales, place, exhausted: false };
        }
        let Some((at, Some(tale))) = steps.next() else { break };
        place = at;
        if wanted {
            tales.push(tale);
        }
    }
    let exhausted = steps.peek().is_none();
    Found { tales, place, exhausted }
}

type Steps<'a> = Box<dyn Iterator<Item = (Place, Option<Tale>)> + 'a>;

fn walk<'a>(log: &'a Log, round: Round, after: Place, plan: &Plan) -> Steps<'a> {
    if round.base == 0 && plan.by_time() {
        let behind = match after {
            Place::Time(time, step) => Some((time, step)),
            _ => None,
        };
        let all = log.walk_by_time(round, plan.since(), behind, plan.descending);
        return Box::new(all.map(|((time, step), tale)| (Place::Time(time, step), tale)));
    }
    let after = match after {
        Place::Step(step) => step,
        _ => 0,
    };
    Box::new(log.walk(round, after).map(|(step, tale)| (Place::Step(step), tale)))
}
