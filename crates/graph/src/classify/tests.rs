use proptest::prelude::*;

use super::*;

fn answered(status: u16, codes: &[&str], effect: Effect) -> Option<(Code, Verdict)> {
    classify(effect, &Seen::Answered { status, codes, retry_after: None })
}

#[test]
fn the_table() {
    insta::assert_snapshot!(table());
}

#[test]
fn the_innermost_known_code_counts_and_case_does_not() {
    let seen = |codes: &[&str]| answered(403, codes, Effect::Send).unwrap().0;
    assert_eq!(seen(&["generalException", "ERRORSENDASDENIED"]), Code::GraphSendAsDenied);
    assert_eq!(seen(&["ErrorAccessDenied", "errorSendAsDenied"]), Code::GraphSendAsDenied);
    assert_eq!(seen(&["ErrorAccessDenied", "SomethingInner"]), Code::MailboxDenied);
    assert_eq!(seen(&["Whatever"]), Code::GraphRefused);
}

#[test]
fn graphs_own_wait_is_kept_when_it_is_the_longer() {
    let denied = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        let codes = ["ErrorAccessDenied"];
        let seen = Seen::Answered { status: 403, codes: &codes, retry_after };
        classify(Effect::Send, &seen).unwrap().1
    };
    let mailbox = |after| Verdict::Blocked { scope: Scope::Mailbox, after: Some(after) };
    assert_eq!(denied(1), mailbox(DENIED_WAIT));
    assert_eq!(denied(599), mailbox(Duration::from_secs(599)));
}

#[test]
fn a_cursor_is_expired_by_its_codes_whatever_the_status_and_by_410_whatever_the_code() {
    let seen = |status, codes: &[&str], effect| answered(status, codes, effect).unwrap();
    let again = Verdict::Transient { after: None };
    for (status, code) in [
        (410, "SYNCSTATENOTFOUND"),
        (404, "syncStateNotFound"),
        (400, "SyncStateInvalid"),
        (400, "syncstateinvalid"),
        (409, "resyncRequired"),
        (410, "NeverHeardOf"),
    ] {
        let expired = seen(status, &[code], Effect::Cursor);
        assert_eq!(expired, (Code::GraphCursorExpired, again), "{code}");
        assert_ne!(seen(status, &[code], Effect::Folder).0, Code::GraphCursorExpired, "{code}");
    }
    assert_eq!(seen(410, &[], Effect::Cursor), (Code::GraphCursorExpired, again));
    assert_eq!(seen(410, &["syncStateNotFound"], Effect::Folder).1, again);
    let folder = seen(404, &["ErrorSyncFolderNotFound"], Effect::Cursor);
    assert_eq!(folder, (Code::GraphFolderNotFound, Verdict::Permanent));
}

#[test]
fn a_mailbox_that_is_watched_is_only_put_off() {
    for code in ["ErrorAccessDenied", "ErrorNonExistentMailbox", "ErrorQuotaExceeded"] {
        let effects =
            [Effect::Folder, Effect::Cursor, Effect::Content, Effect::Subscription].into_iter();
        for effect in effects {
            let (_, verdict) = answered(404, &[code], effect).unwrap();
            let Verdict::Blocked { scope: Scope::Mailbox, after: Some(_) } = verdict else {
                panic!("{code}: {verdict:?}");
            };
        }
    }
}

#[test]
fn every_row_of_the_table_is_found_and_none_is_there_twice() {
    for row in CODES {
        assert!(std::ptr::eq(table::known(row.code).unwrap(), row), "{}", row.code);
    }
}

fn any_codes() -> impl Strategy<Value = Vec<String>> {
    let names: Vec<&str> = CODES.iter().map(|row| row.code).collect();
    let known = prop::sample::select(names).prop_map(str::to_owned);
    prop::collection::vec(prop_oneof![known, "[A-Za-z]{0,12}"], 0..4)
}

proptest! {
    /// Every status with every set of codes has a meaning, and these hold for all of them.
    #[test]
    fn what_always_holds(
        status in 100_u16..1000,
        codes in any_codes(),
        effect in prop::sample::select(Effect::ALL.to_vec()),
        wait_seconds in prop::option::of(1_u64..600),
    ) {
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        let retry_after = wait_seconds.map(Duration::from_secs);
        let seen = Seen::Answered { status, codes: &codes, retry_after };
        let verdict = classify(effect, &seen).map(|(_, verdict)| verdict);
        let known = codes.iter().any(|code| table::known(code).is_some());

        prop_assert_eq!(verdict.is_none(), (200..300).contains(&status));
        let Some(verdict) = verdict else { return Ok(()) };
        // only what can send is ever in doubt
        prop_assert!(verdict != Verdict::InDoubt || effect.is_final());
        // a fault of Graph's that can have come after a send is never simply tried again
        let again = matches!(verdict, Verdict::Transient { .. });
        prop_assert!(!(again && effect.is_final() && status >= 500));
        // an unknown refusal is never waited out in silence
        let waits = again || matches!(verdict, Verdict::Blocked { scope: Scope::Mailbox, .. });
        let unknown = !known && !codes.is_empty() && (400..500).contains(&status);
        let passing = [408, 409, 423, 429].contains(&status)
            || (effect == Effect::Cursor && status == 410);
        prop_assert!(!(unknown && waits) || passing);
        // nobody is asked earlier than Graph said
        if let (Verdict::Blocked { after, .. } | Verdict::Transient { after }, Some(asked)) =
            (verdict, retry_after)
        {
            prop_assert!(after.is_some_and(|after| after >= asked));
        }
    }
}
