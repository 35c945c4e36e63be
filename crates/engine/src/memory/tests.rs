use super::*;

fn memory() -> Memory {
    Memory::new(Duration::from_secs(30))
}

fn take(memory: &Memory, seen: SeenBefore) -> Known {
    match memory.recall(&Position::new("p"), seen) {
        Recall::Go(known) => known,
        Recall::Busy => panic!("in hand already"),
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_are_known_to_be_harmless_leave_no_doubt() {
    let memory = memory();
    take(&memory, SeenBefore::No).harmless(true);
    take(&memory, SeenBefore::Times(1)).harmless(false);
    let known = take(&memory, SeenBefore::Times(2));
    assert_eq!((known.doubt, known.tally.attempts), (Doubt::None, 1));
    drop(known);
    assert_eq!(take(&memory, SeenBefore::Times(3)).doubt, Doubt::Young);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_back_untouched_leaves_no_doubt_and_hides_none() {
    let memory = memory();
    take(&memory, SeenBefore::Untouched(2)).harmless(false);
    let known = take(&memory, SeenBefore::Times(3));
    assert_eq!(known.doubt, Doubt::None, "the third was here");
    known.harmless(false);
    assert_eq!(take(&memory, SeenBefore::Times(5)).doubt, Doubt::Young, "the fifth was not");
    assert_eq!(take(&memory, SeenBefore::Untouched(6)).doubt, Doubt::Young);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_seen_here_is_a_doubt_that_ages_from_now() {
    let memory = memory();
    let known = take(&memory, SeenBefore::Times(1));
    assert_eq!((known.doubt, known.tally.doubtful), (Doubt::Young, true));
    assert!(!known.tally.attempted, "only the bus says so");
    known.unsettled();
    tokio::time::advance(Duration::from_secs(31)).await;
    let known = take(&memory, SeenBefore::Times(2));
    assert_eq!((known.doubt, known.tally.looks), (Doubt::Old, 1));
    known.doubtful();
    let mut known = take(&memory, SeenBefore::Times(3));
    assert_eq!((known.doubt, known.tally.attempted), (Doubt::Young, true));
    known.cleared();
    known.harmless(false);
    let known = take(&memory, SeenBefore::Times(4));
    assert_eq!((known.doubt, known.tally.attempted), (Doubt::None, false));
    drop(known);
    assert!(take(&memory, SeenBefore::Times(5)).tally.attempted, "gone without a word");
}

#[tokio::test(start_paused = true)]
async fn what_a_bus_cannot_tell_is_a_doubt_until_it_is_cleared_and_when_it_says_so_anew() {
    let memory = memory();
    let mut known = take(&memory, SeenBefore::Maybe);
    assert_eq!(known.doubt, Doubt::Young);
    known.cleared();
    known.harmless(true);
    for times in 1..5 {
        let known = take(&memory, SeenBefore::Times(times));
        assert_eq!(known.doubt, Doubt::None, "{times}");
        known.harmless(false);
    }
    assert_eq!(take(&memory, SeenBefore::Maybe).doubt, Doubt::Young);
}

#[tokio::test(start_paused = true)]
async fn one_message_is_in_hand_once() {
    let memory = memory();
    let first = take(&memory, SeenBefore::No);
    let second = memory.recall(&Position::new("p"), SeenBefore::Times(1));
    assert!(matches!(second, Recall::Busy));
    first.harmless(false);
    take(&memory, SeenBefore::Times(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_takes_no_room() {
    let memory = memory();
    for n in 0..10_000 {
        let position = Position::new(n.to_string());
        match memory.recall(&position, SeenBefore::No) {
            Recall::Go(mut known) => known.ended(Ended::Completed(Completion::Absent)),
            Recall::Busy => panic!("in hand already"),
        }
        memory.forget(&position);
    }
    let inner = memory.inner();
    assert!(inner.records.is_empty() && inner.order.len() <= 1025, "{}", inner.order.len());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_forgetting_leaves_a_doubt() {
    let memory = memory();
    take(&memory, SeenBefore::No).harmless(false);
    for n in 0..REMEMBERED_MAX {
        match memory.recall(&Position::new(n.to_string()), SeenBefore::No) {
            Recall::Go(known) => known.harmless(false),
            Recall::Busy => panic!("in hand already"),
        }
    }
    assert_eq!(memory.inner().records.len(), REMEMBERED_MAX);
    assert_eq!(take(&memory, SeenBefore::Times(1)).doubt, Doubt::Young);
}
