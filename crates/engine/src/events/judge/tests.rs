//! The rules, one by one.

use mailbridge_core::contract::MessageId;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn found(received: Option<i64>, complete: bool) -> Found {
    Found {
        id: MessageId("AAMk".to_owned()),
        complete,
        version: Some("v1".to_owned()),
        received: received.map(at),
        folder: None,
        modified: Some(at(50_000)),
        properties: Vec::new(),
        content: Box::default(),
        raw: None,
    }
}

fn view(phase: Phase) -> View {
    let (since, begun, checked) = (Some(at(1_000)), Some(at(5_000)), Some(at(60_000)));
    View { phase, since, begun, checked, only_new: false }
}

const ALL: [Phase; 4] = [Phase::Skim, Phase::First, Phase::Again, Phase::Steady];

#[test]
fn what_was_there_before_now_is_noted_and_not_told() {
    for known in [Known::Never, Known::Perhaps, Known::Here(1)] {
        let judged = view(Phase::Skim).judge(&found(Some(2_000), true), known, 2);
        assert_eq!(judged, Judgement::Note);
    }
    let judged = view(Phase::Skim).judge(&found(None, false), Known::Never, 2);
    assert_eq!(judged, Judgement::Note);
}

#[test]
fn what_comes_between_now_and_the_first_look_is_told() {
    let skim = view(Phase::Skim);
    for known in [Known::Never, Known::Perhaps] {
        let judged = skim.judge(&found(Some(5_000), true), known, 2);
        assert_eq!(judged, Judgement::Tell(Change::Received));
    }
    let repeated = skim.judge(&found(Some(5_000), true), Known::Here(2), 2);
    assert_eq!(repeated, Judgement::Ignore);
}

#[test]
fn what_is_older_than_the_start_does_not_exist() {
    for phase in ALL {
        let judged = view(phase).judge(&found(Some(999), true), Known::Never, 1);
        assert_eq!(judged, Judgement::Ignore);
        let judged = view(phase).judge(&found(Some(5_000), true), Known::Never, 1);
        assert_eq!(judged, Judgement::Tell(Change::Received));
    }
}

#[test]
fn a_repeat_is_ignored_and_another_version_is_a_change() {
    for phase in [Phase::First, Phase::Again, Phase::Steady] {
        for complete in [true, false] {
            let item = found(complete.then_some(2_000), complete);
            assert_eq!(view(phase).judge(&item, Known::Here(7), 7), Judgement::Ignore);
            let changed = Judgement::Tell(Change::Updated);
            assert_eq!(view(phase).judge(&item, Known::Here(7), 8), changed);
        }
    }
}

#[test]
fn what_moved_here_from_a_folder_that_is_read_too_is_not_new() {
    for phase in ALL {
        let judged = view(phase).judge(&found(Some(2_000), true), Known::Elsewhere, 1);
        assert_eq!(judged, Judgement::Note);
    }
}

#[test]
fn of_the_old_ones_a_second_reading_tells_only_what_was_touched_meanwhile() {
    let item = found(Some(2_000), true);
    let again = view(Phase::Again);
    assert_eq!(again.judge(&item, Known::Perhaps, 1), Judgement::Note);
    let touched = View { checked: Some(at(50_100)), ..again };
    assert_eq!(touched.judge(&item, Known::Perhaps, 1), Judgement::Tell(Change::Updated));
    let unknown = View { checked: None, ..again };
    assert_eq!(unknown.judge(&item, Known::Perhaps, 1), Judgement::Note);
}

#[test]
fn an_old_one_in_a_steady_folder_is_new_there_if_only_that_was_asked_for() {
    let item = found(Some(2_000), true);
    let steady = view(Phase::Steady);
    assert_eq!(steady.judge(&item, Known::Perhaps, 1), Judgement::Tell(Change::Updated));
    let only_new = View { only_new: true, ..steady };
    assert_eq!(only_new.judge(&item, Known::Perhaps, 1), Judgement::Tell(Change::Received));
}

#[test]
fn what_came_in_part_and_without_its_times_is_fetched() {
    for phase in [Phase::First, Phase::Again, Phase::Steady] {
        for known in [Known::Never, Known::Perhaps] {
            assert_eq!(view(phase).judge(&found(None, false), known, 1), Judgement::Fetch);
        }
    }
    // a date that nobody can read is no reason to fetch it again
    let odd = view(Phase::First).judge(&found(None, true), Known::Perhaps, 1);
    assert_eq!(odd, Judgement::Tell(Change::Received));
}
