use std::fmt::Write as _;

use mailbridge_core::Code;

use super::*;
use crate::input::lines::LINE_BYTES_MAX;

#[tokio::test]
async fn what_is_done_does_not_come_again_and_the_rest_does() {
    let place = Place::new();
    place.write("one\ntwo\nthree\nfour\n");
    let mut input = place.input().await;
    let one = take(&mut input).await;
    let two = take(&mut input).await;
    let three = take(&mut input).await;
    let at = two.position.clone();
    done(one).await;
    done(three).await;
    drop((two, input));
    let place = place.restarted();
    let mut input = place.input().await;
    let two = take(&mut input).await;
    assert_eq!(
        (text(&two), two.seen_before, two.position.clone()),
        ("two".into(), SeenBefore::Maybe, at)
    );
    done(two).await;
    assert_eq!(rest(&mut input).await, [no("four")]);
    drop(input);
    let place = place.restarted();
    assert_eq!(rest(&mut place.input().await).await, []);
}

#[tokio::test]
async fn after_a_crash_what_may_have_been_handed_out_says_so_and_what_is_done_is_done() {
    let place = Place::new();
    let text = (1..=100).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    });
    place.write(&text);
    let mut input = place.input().await;
    let one = take(&mut input).await;
    let two = take(&mut input).await;
    let three = take(&mut input).await;
    done(two).await;
    let image = place.image();
    drop((one, three, input));
    let place = place.crashed(image);
    let mut found = rest(&mut place.input().await).await;
    let new = found.split_off(70);
    assert_eq!(found[..2], [maybe("1"), maybe("3")]);
    assert!(new.iter().all(|(_, seen_before)| *seen_before == SeenBefore::No), "{new:?}");
    assert_eq!(found.len() + new.len(), 99);
}

#[tokio::test]
async fn what_was_handed_out_just_before_a_crash_is_in_doubt() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let mut input = place.input().await;
    let one = take(&mut input).await;
    assert_eq!(one.seen_before, SeenBefore::No);
    let image = place.image();
    drop((one, input));
    let place = place.crashed(image);
    assert_eq!(rest(&mut place.input().await).await, [maybe("one"), maybe("two")]);
}

#[tokio::test]
async fn a_stop_in_good_order_leaves_no_doubt_about_what_was_not_handed_out() {
    let place = Place::new();
    place.write("one\n");
    assert_eq!(rest(&mut place.input().await).await, [no("one")]);
    let place = place.restarted();
    place.append("two\n");
    assert_eq!(rest(&mut place.input().await).await, [no("two")]);
}

#[tokio::test]
async fn an_early_line_that_stays_open_holds_no_later_one_back() {
    let place = Place::new();
    place.write("one\ntwo\nthree\n");
    let mut input = place.input().await;
    let one = take(&mut input).await;
    let again = Disposition::Again { after: Duration::from_hours(1) };
    assert_eq!(one.receipt.settle(again).await.unwrap(), Settled::Yes);
    for expected in ["two", "three"] {
        let delivery = take(&mut input).await;
        assert_eq!(text(&delivery), expected);
        done(delivery).await;
    }
    let image = place.image();
    drop(input);
    let place = place.crashed(image);
    assert_eq!(rest(&mut place.input().await).await, [maybe("one")]);
}

#[tokio::test]
async fn a_file_that_was_replaced_or_truncated_is_read_from_its_beginning() {
    for (replacement, expected) in
        [("uno\ndue\ntre\n", vec![no("uno"), no("due"), no("tre")]), ("one\n", vec![no("one")])]
    {
        let place = Place::new();
        place.write("one\ntwo\n");
        let mut input = place.input().await;
        let at = take(&mut input).await.position;
        rest(&mut input).await;
        drop(input);
        let place = place.restarted();
        place.write(replacement);
        let mut input = place.input().await;
        let first = take(&mut input).await;
        assert_ne!(first.position, at, "another request must not have the same position");
        let mut found = vec![(text(&first), first.seen_before)];
        done(first).await;
        found.extend(rest(&mut input).await);
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_behind_an_open_line_is_another_file() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let mut input = place.input().await;
    let one = take(&mut input).await;
    done(take(&mut input).await).await;
    drop((one, input));
    let place = place.restarted();
    place.write("one\nzwei\n");
    assert_eq!(rest(&mut place.input().await).await, [no("one"), no("zwei")]);
}

#[tokio::test]
async fn an_editor_that_writes_a_new_file_makes_no_difference() {
    let place = Place::new();
    place.write("one\ntwo");
    assert_eq!(rest(&mut place.input().await).await, [no("one"), no("two")]);
    fs::remove_file(place.path("in.ndjson")).unwrap();
    place.write("one\ntwo\nthree\n");
    let place = place.restarted();
    assert_eq!(rest(&mut place.input().await).await, [no("three")]);
}

#[tokio::test]
async fn without_remember_each_run_reads_all_and_an_input_built_again_goes_on() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let source = |place: &Place| Source::Lines(Lines { remember: false, ..place.lines() });
    let mut input = place.local.input(&source(&place), &NEEDS).await.unwrap();
    done(take(&mut input).await).await;
    drop(take(&mut input).await);
    drop(input);
    let mut input = place.local.input(&source(&place), &NEEDS).await.unwrap();
    assert_eq!(rest(&mut input).await, [maybe("two")]);
    assert!(!place.path("state").exists(), "nothing is kept");
    drop(input);
    let place = place.restarted();
    let mut input = place.local.input(&source(&place), &NEEDS).await.unwrap();
    assert_eq!(rest(&mut input).await, [no("one"), no("two")]);
}

#[tokio::test]
async fn following_waits_for_more_and_for_the_end_of_a_line() {
    let place = Place::new();
    place.write("one\nhal");
    let source = Source::Lines(Lines { follow: true, ..place.lines() });
    let mut input = place.local.input(&source, &NEEDS).await.unwrap();
    done(take(&mut input).await).await;
    let early = tokio::time::timeout(Duration::from_millis(600), input.next()).await;
    assert!(early.is_err(), "half a line was handed out");
    place.append("f\nthree\n");
    for expected in ["half", "three"] {
        let delivery = take(&mut input).await;
        assert_eq!(text(&delivery), expected);
        done(delivery).await;
    }
}

#[tokio::test]
async fn following_reads_a_rotated_file_to_its_end_and_then_the_new_one() {
    let place = Place::new();
    place.write("one\n");
    let source = Source::Lines(Lines { follow: true, ..place.lines() });
    let mut input = place.local.input(&source, &NEEDS).await.unwrap();
    let one = take(&mut input).await;
    place.append("two\n");
    fs::rename(place.path("in.ndjson"), place.path("old")).unwrap();
    place.write("uno\n");
    let two = take(&mut input).await;
    assert_eq!(text(&two), "two");
    done(two).await;
    let early = tokio::time::timeout(Duration::from_millis(800), input.next()).await;
    assert!(early.is_err(), "the new file was begun while the old one was open");
    done(one).await;
    let uno = take(&mut input).await;
    assert_eq!((text(&uno), uno.seen_before), ("uno".into(), SeenBefore::No));
}

#[tokio::test]
async fn following_begins_anew_when_the_file_is_truncated() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let source = Source::Lines(Lines { follow: true, ..place.lines() });
    let mut input = place.local.input(&source, &NEEDS).await.unwrap();
    done(take(&mut input).await).await;
    done(take(&mut input).await).await;
    place.write("uno\n");
    let uno = take(&mut input).await;
    assert_eq!((text(&uno), uno.seen_before), ("uno".into(), SeenBefore::No));
}

#[tokio::test]
async fn a_line_that_is_too_long_is_a_request_that_is_refused_and_the_next_one_flows() {
    let place = Place::new();
    let long = format!("{{\"to\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
    place.write(&format!("{long}\ntwo\n"));
    let mut input = place.input().await;
    let delivery = take(&mut input).await;
    let decoded = mailbridge_core::contract::decode::decode(&delivery.message, &delivery.position);
    assert_eq!(decoded.unwrap_err().error.code(), Code::RequestTooLarge);
    let length = long.len().to_string();
    assert_eq!(delivery.message.headers.get("mailbridge-truncated"), Some(&length[..]));
    done(delivery).await;
    assert_eq!(rest(&mut input).await, [no("two")]);
    drop(input);
    assert_eq!(rest(&mut place.restarted().input().await).await, []);
}

#[tokio::test]
async fn blank_lines_however_many_are_passed_over() {
    let place = Place::new();
    place.write(&format!("{}one\n{}two\n", "\n".repeat(1_000), "\n".repeat(1_000)));
    let mut input = place.input().await;
    let one = take(&mut input).await;
    assert!(one.position.as_str().starts_with("local:in.ndjson/1001@"), "{}", one.position);
    done(one).await;
    assert_eq!(rest(&mut input).await, [no("two")]);
}

#[tokio::test]
async fn a_file_has_one_reader() {
    let place = Place::new();
    place.write("one\n");
    let mut input = place.input().await;
    let error = place.local.input(&place.source(), &NEEDS).await.err().unwrap();
    assert!(error.to_string().contains("another pipeline reads this"), "{error}");
    let other = bus(place.path("state"));
    let error = other.input(&place.source(), &NEEDS).await.err().unwrap();
    assert!(error.to_string().contains("another pipeline reads this"), "{error}");
    assert_eq!(rest(&mut input).await, [no("one")]);
}

#[tokio::test]
async fn what_is_still_worked_on_is_not_handed_out_to_the_next_reader() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let mut input = place.input().await;
    let one = take(&mut input).await;
    drop(input);
    let early = tokio::time::timeout(Duration::from_millis(100), place.input()).await;
    assert!(early.is_err(), "a reader was built while a delivery was out");
    done(one).await;
    assert_eq!(rest(&mut place.input().await).await, [no("two")]);
}

#[tokio::test]
async fn a_missing_file_and_a_directory_are_named() {
    let place = Place::new();
    let error = place.local.input(&place.source(), &NEEDS).await.err().unwrap();
    assert_eq!(error.code(), Code::LocalFile);
    assert!(error.field("path").unwrap().ends_with("in.ndjson"), "{error}");
    fs::create_dir(place.path("in.ndjson")).unwrap();
    let error = place.local.input(&place.source(), &NEEDS).await.err().unwrap();
    assert!(error.to_string().contains("this is not a file"), "{error}");
}

#[tokio::test]
async fn what_comes_again_at_once_lets_others_go_first() {
    let place = Place::new();
    place.write("one\ntwo\n");
    let mut input = place.input().await;
    let again = Disposition::Again { after: Duration::ZERO };
    assert_eq!(take(&mut input).await.receipt.settle(again).await.unwrap(), Settled::Yes);
    assert_eq!(text(&take(&mut input).await), "two");
}
