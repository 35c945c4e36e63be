//! One partition while it is ours: what is open, what is committed, what may be handed out. Does no
//! I/O.

use std::{fmt, sync::Arc};

use mailbridge_core::{SeenBefore, Settled, adapter::Watermark};

use crate::note::{Known, Note};

/// How many records may be handed out before the next commit must have been confirmed: as many at
/// most are looked for in mailboxes after a crash.
const LEASE: u64 = 1000;
/// Bytes of open records at which a partition is paused.
const OPEN_BYTES_MAX: usize = 32 << 20;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub topic: Arc<str>,
    pub number: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// What is found when a partition is assigned.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Where reading begins.
    pub position: u64,
    /// The end of the log.
    pub end: u64,
    pub note: Option<Note>,
}

impl Found {
    /// Below the first, only what the note calls open is not done; below the second, anything may have
    /// been handed out.
    fn said(&self) -> (u64, u64) {
        match &self.note {
            Some(note) => (note.next.min(self.end), note.lease.min(self.end)),
            None => (self.position, self.end),
        }
    }
}

/// One partition while it is ours.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Tells this assignment from an earlier one of the same partition.
    pub epoch: u64,
    mark: Watermark,
    found: Found,
    /// Nothing at or above this is handed out: it was not promised to whoever comes next.
    lease: u64,
    /// What a commit that was sent promises.
    lease_asked: u64,
    open_bytes: usize,
    /// Deliveries in the hands of the engine.
    pub out: usize,
    /// Rises with each change that is to be committed.
    changed: u64,
    /// The last change whose commit was confirmed.
    confirmed: u64,
    /// It is about to go: nothing is handed out any more.
    leaving: bool,
}

/// What is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub position: u64,
    pub note: String,
    pub change: u64,
    pub lease: u64,
}

/// What may be done with a record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is handed out now, and counts as open.
    Now(SeenBefore),
    /// It is done: somebody has sent it before.
    Skip,
    /// Not before a commit is confirmed, or not here any more.
    Wait,
}

impl Partition {
    pub fn new(epoch: u64, found: Found) -> Self {
        let mark = Watermark::new(found.position);
        let lease = found.position;
        let open_bytes = 0;
        let out = 0;
        // the first change is the promise itself
        let (changed, confirmed) = (1, 0);
        let leaving = false;
        let lease_asked = lease + LEASE;
        Self {
            epoch,
            mark,
            found,
            lease,
            lease_asked,
            open_bytes,
            out,
            changed,
            confirmed,
            leaving,
        }
    }

    /// Takes a record in hand, if it may be. Records of a partition come in order.
    pub fn take(&mut self, offset: u64, bytes: usize) -> Turn {
        if self.leaving || self.mark.is_revoked() {
            return Turn::Wait;
        }
        if self.knows(offset) == Known::Done {
            self.mark.skip_to(offset + 1);
            self.changed += 1;
            return Turn::Skip;
        }
        if offset >= self.lease {
            return Turn::Wait;
        }
        let seen_before = match self.knows(offset) {
            Known::New => SeenBefore::No,
            Known::Maybe | Known::Done => SeenBefore::Maybe,
        };
        self.mark.issue(offset);
        self.open_bytes += bytes;
        if offset + LEASE / 2 >= self.lease_asked {
            self.lease_asked = offset + LEASE;
            self.changed += 1;
        }
        Turn::Now(seen_before)
    }

    fn knows(&self, offset: u64) -> Known {
        let noted = self.found.note.as_ref().map_or(Known::Maybe, |note| note.knows(offset));
        // nobody can have had what was not there yet
        if noted == Known::Maybe && offset >= self.found.end { Known::New } else { noted }
    }

    /// A promise that the lease cannot follow by itself: a record far behind a gap.
    pub fn reach(&mut self, offset: u64) {
        if offset >= self.lease_asked {
            self.lease_asked = offset + LEASE;
            self.changed += 1;
        }
    }

    /// Notes that a record is done with; the change whose commit confirms that, unless stale.
    pub fn settle(&mut self, offset: u64, bytes: usize) -> Option<u64> {
        match self.mark.settle(offset) {
            Settled::Stale => None,
            Settled::Yes => {
                self.open_bytes -= bytes;
                self.changed += 1;
                Some(self.changed)
            }
        }
    }

    /// Whether there is something to commit.
    pub fn is_changed(&self) -> bool {
        self.changed != self.confirmed && !self.mark.is_revoked()
    }

    /// What there is to commit, if there is anything.
    pub fn commit(&self) -> Option<Commit> {
        if !self.is_changed() {
            return None;
        }
        let (position, read) = (self.mark.position(), self.mark.next());
        // what was found about records that were not read yet stays true: whoever comes next needs
        // it as much, be it that this one goes before it has read them
        let (found_next, found_lease) = self.found.said();
        let open_found = self.found.note.iter().flat_map(|note| note.open.iter().copied());
        let open = self.mark.open().chain(open_found.filter(|offset| *offset >= read));
        let lease = self.lease_asked.max(found_lease);
        let note = Note::write(position, read.max(found_next), lease, open);
        Some(Commit { position, note, change: self.changed, lease })
    }

    /// Notes that a commit was confirmed.
    pub fn confirm(&mut self, commit: &Commit) {
        self.confirmed = self.confirmed.max(commit.change);
        self.lease = self.lease.max(commit.lease);
    }

    /// Whether the commit of a change is confirmed; none when it never will be.
    pub fn is_confirmed(&self, change: u64) -> Option<bool> {
        if self.confirmed >= change {
            return Some(true);
        }
        (!self.mark.is_revoked()).then_some(false)
    }

    /// Whether so much is open that nothing more is read for now.
    pub fn is_full(&self, open_max: usize) -> bool {
        open_max != usize::MAX
            && (self.mark.held() >= open_max || self.open_bytes >= OPEN_BYTES_MAX)
    }

    /// Where reading began.
    pub const fn begin(&self) -> u64 {
        self.found.position
    }

    /// Hands out nothing more, so that what was not handed out until now is new to whoever comes
    /// next.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.lease_asked = self.mark.next();
        self.changed += 1;
    }

    /// It is somebody else's: nothing settles and nothing is committed any more.
    pub fn revoke(&mut self) {
        self.mark.revoke();
    }

    pub fn is_revoked(&self) -> bool {
        self.mark.is_revoked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(position: u64, end: u64, note: Option<Note>) -> Partition {
        let mut partition = Partition::new(1, Found { position, end, note });
        confirm(&mut partition);
        partition
    }

    fn confirm(partition: &mut Partition) -> Commit {
        let commit = partition.commit().expect("something to commit");
        partition.confirm(&commit);
        commit
    }

    /// Takes a record, once it is promised.
    fn promised(partition: &mut Partition, offset: u64) -> Turn {
        partition.reach(offset);
        if let Some(commit) = partition.commit() {
            partition.confirm(&commit);
        }
        partition.take(offset, 1)
    }

    const NEW: Turn = Turn::Now(SeenBefore::No);
    const MAYBE: Turn = Turn::Now(SeenBefore::Maybe);

    #[test]
    fn nothing_is_handed_out_before_the_first_commit_is_confirmed() {
        let mut partition = Partition::new(1, Found { position: 5, end: 5, note: None });
        assert_eq!(partition.take(5, 1), Turn::Wait);
        let commit = confirm(&mut partition);
        assert_eq!((commit.position, &*commit.note), (5, "mb1 next=0 lease=1000 open="));
        assert_eq!(partition.take(5, 1), NEW);
    }

    #[test]
    fn the_offset_stops_at_what_is_open_and_the_note_tells_the_rest() {
        let mut partition = assigned(5, 8, None);
        assert_eq!(
            [5, 6, 7, 8].map(|offset| partition.take(offset, 1)),
            [MAYBE, MAYBE, MAYBE, NEW]
        );
        let change = partition.settle(6, 1).unwrap();
        assert_eq!(partition.is_confirmed(change), Some(false));
        let commit = confirm(&mut partition);
        assert_eq!((commit.position, &*commit.note), (5, "mb1 next=4 lease=1000 open=0,2,1"));
        assert_eq!((partition.is_confirmed(change), partition.commit()), (Some(true), None));

        let note = Note::read(5, &commit.note);
        let mut next_owner = assigned(5, 20, note);
        let turns = [5, 6, 7, 8, 9].map(|offset| next_owner.take(offset, 1));
        assert_eq!(turns, [MAYBE, Turn::Skip, MAYBE, MAYBE, MAYBE]);
    }

    #[test]
    fn a_backlog_beyond_the_promise_of_the_last_owner_is_new() {
        let note = Note { next: 10, open: vec![], lease: 500 };
        let mut partition = assigned(10, 100_000, Some(note));
        assert_eq!([499, 500].map(|offset| partition.take(offset, 1)), [MAYBE, NEW]);
    }

    #[test]
    fn the_promise_is_renewed_before_it_runs_out() {
        let mut partition = assigned(0, 0, None);
        for offset in 0..LEASE {
            assert_eq!(partition.take(offset, 1), NEW);
        }
        assert_eq!(partition.take(LEASE, 1), Turn::Wait);
        confirm(&mut partition);
        assert_eq!(partition.take(LEASE, 1), NEW);
        assert_eq!(partition.take(LEASE * 10, 1), Turn::Wait);
        partition.reach(LEASE * 10);
        confirm(&mut partition);
        assert_eq!(partition.take(LEASE * 10, 1), NEW);
    }

    #[test]
    fn who_goes_before_having_read_what_the_note_is_about_hands_it_on() {
        let note = Note { next: 3000, open: vec![5, 7, 1500], lease: 3500 };
        let mut partition = Partition::new(1, Found { position: 5, end: 9000, note: Some(note) });
        let turns = |found: Option<Note>| {
            let mut next_owner = assigned(5, 9000, found);
            [5, 6, 7, 1499, 1500, 2999, 3000, 3499, 3500].map(|at| promised(&mut next_owner, at))
        };
        let skip = Turn::Skip;
        let all = [MAYBE, skip, MAYBE, skip, MAYBE, skip, MAYBE, MAYBE, NEW];
        // killed after the first commit
        let first = confirm(&mut partition);
        assert_eq!((first.position, turns(Note::read(5, &first.note))), (5, all));
        // killed among them
        assert_eq!([partition.take(5, 1), partition.take(6, 1)], [MAYBE, skip]);
        let second = confirm(&mut partition);
        assert_eq!(turns(Note::read(second.position, &second.note)), all);
        // asked to go
        partition.leave();
        let last = confirm(&mut partition);
        assert_eq!(turns(Note::read(last.position, &last.note)), all);
    }

    #[test]
    fn where_no_note_was_what_stood_there_stays_in_doubt() {
        let mut partition = assigned(0, 5000, None);
        assert_eq!(partition.take(0, 1), MAYBE);
        partition.leave();
        let last = confirm(&mut partition);
        let mut next_owner = assigned(0, 6000, Note::read(0, &last.note));
        let turns = [0, 1, 4999, 5000].map(|offset| promised(&mut next_owner, offset));
        assert_eq!(turns, [MAYBE, MAYBE, MAYBE, NEW]);
    }

    #[test]
    fn after_it_is_revoked_nothing_settles_and_nothing_is_committed() {
        let mut partition = assigned(0, 0, None);
        assert_eq!([partition.take(0, 1), partition.take(1, 1)], [NEW, NEW]);
        let change = partition.settle(0, 1).unwrap();
        partition.leave();
        assert_eq!(partition.take(2, 1), Turn::Wait);
        let last = partition.commit().unwrap();
        assert_eq!((last.position, &*last.note), (1, "mb1 next=1 lease=1 open=0"));
        partition.revoke();
        assert_eq!((partition.settle(1, 1), partition.commit()), (None, None));
        assert_eq!(partition.is_confirmed(change), None);
    }

    #[test]
    fn a_partition_is_full_by_number_and_by_size() {
        let mut partition = assigned(0, 0, None);
        partition.take(0, 1);
        assert!(!partition.is_full(2) && partition.is_full(1));
        partition.take(1, OPEN_BYTES_MAX);
        assert!(partition.is_full(3));
        partition.settle(1, OPEN_BYTES_MAX).unwrap();
        assert!(!partition.is_full(3));
    }
}
