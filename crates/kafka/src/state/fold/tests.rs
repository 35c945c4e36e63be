use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn proposal(name: &str, offset: u64, seen: u64, expects: Option<u64>) -> Proposal {
    let (name, value) = (name.to_owned(), Some(Bytes::from(offset.to_string())));
    let time_ms = i64::try_from(offset).unwrap();
    Proposal { name, offset, time_ms, seen, expects, value }
}

#[test]
fn of_two_that_expect_the_same_the_first_in_the_log_stands() {
    let mut fold = Fold::default();
    assert_eq!(fold.apply(proposal("k#a", 0, 0, None)), Effect::Stands { before: None });
    assert_eq!(fold.apply(proposal("k#b", 1, 0, None)), Effect::Void);
    assert_eq!(fold.apply(proposal("other#c", 2, 0, None)), Effect::Stands { before: None });
    let before = Some("k#a".to_owned());
    assert_eq!(fold.apply(proposal("k#d", 3, 2, Some(0))), Effect::Stands { before });
    assert_eq!(fold.apply(proposal("k#e", 4, 3, Some(0))), Effect::Void);
    assert_eq!(fold.value("k"), Some(("3".into(), 3)));
}

#[test]
fn what_should_be_struck_out_is_found_and_a_deletion_goes_last() {
    let mut fold = Fold::default();
    fold.apply(proposal("k#a", 0, 0, None));
    fold.apply(Proposal { value: None, ..proposal("k#b", 1, 1, Some(0)) });
    assert_eq!((fold.value("k"), fold.standing("k")), (None, Some(1)));
    fold.skip(100, 100);
    assert_eq!(fold.sweep(10, 10), ["k#a"]);
    assert!(fold.sweep(200, 200).is_empty());
    fold.strike("k#a", 101, 101);
    assert_eq!(fold.sweep(10, 10), ["k#b"]);
    fold.strike("k#b", 102, 102);
    assert_eq!((fold.standing("k"), fold.sweep(0, 0).len()), (None, 0));
}

/// One writer of a simulated store: how far it has read, and what it is about to write.
#[derive(Clone, Debug)]
enum Step {
    /// The writer looks at the log's end and makes a proposal, which is under way from then on.
    Look(usize),
    /// Its proposal reaches the log.
    Write(usize),
    /// Somebody strikes out one thing that may be: a winner that was superseded, a loser.
    Strike(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..4).prop_map(Step::Look),
        3 => (0usize..4).prop_map(Step::Write),
        2 => any::<prop::sample::Index>().prop_map(Step::Strike),
    ];
    prop::collection::vec(step, 1..80)
}

/// By its place in the log: a name, and what was proposed under it, or else its tombstone.
type Log = Vec<(String, Option<Proposal>)>;

/// Plays the steps for one key. Gives the whole log, the names of what may be gone from it by
/// compaction, and the store as those see it who have read everything.
fn play(steps: &[Step]) -> (Log, BTreeSet<String>, Fold) {
    let mut log = Log::new();
    let (mut fold, mut litter, mut struck) = (Fold::default(), Vec::new(), BTreeSet::new());
    let mut under_way: [Option<(u64, Option<u64>)>; 4] = [None; 4];
    for step in steps {
        let end = log.len() as u64;
        match step {
            Step::Look(writer) => under_way[*writer] = Some((end, fold.standing("k"))),
            Step::Write(writer) => {
                let Some((seen, expects)) = under_way[*writer].take() else { continue };
                let name = format!("k#{end}");
                let made = proposal(&name, end, seen, expects);
                match fold.apply(made.clone()) {
                    Effect::Stands { before } => litter.extend(before),
                    Effect::Void => litter.push(name.clone()),
                }
                log.push((name, Some(made)));
            }
            Step::Strike(which) if !litter.is_empty() => {
                let name = litter.swap_remove(which.index(litter.len()));
                fold.strike(&name, end, 0);
                struck.insert(name.clone());
                log.push((name, None));
            }
            Step::Strike(_) => {}
        }
    }
    (log, struck, fold)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever of what was struck out compaction has removed, and in whatever combination, whoever
    /// reads the rest comes to the same store.
    #[test]
    fn compaction_changes_nothing(steps in steps(), keep in any::<u64>()) {
        let (log, struck, expected) = play(&steps);
        let mut fold = Fold::default();
        let mut kept = keep;
        for (offset, (name, record)) in log.iter().enumerate() {
            let offset = offset as u64;
            kept = kept.rotate_left(1);
            let removed = struck.contains(name) && kept & 1 == 0;
            match record {
                Some(made) if !removed => drop(fold.apply(made.clone())),
                None if !removed => fold.strike(name, offset, 0),
                _ => fold.skip(offset, 0),
            }
        }
        prop_assert_eq!(fold.value("k"), expected.value("k"));
        prop_assert_eq!(fold.standing("k"), expected.standing("k"));
    }

    /// A chain of winners: each expected the one before.
    #[test]
    fn each_that_stands_expected_the_one_before(steps in steps()) {
        let (log, _, _) = play(&steps);
        let (mut fold, mut last) = (Fold::default(), None);
        for made in log.into_iter().filter_map(|(_, made)| made) {
            let (offset, expects) = (made.offset, made.expects);
            if let Effect::Stands { .. } = fold.apply(made) {
                prop_assert_eq!(expects, last);
                last = Some(offset);
            }
        }
    }
}
