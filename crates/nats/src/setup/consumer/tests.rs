use super::*;

const NEEDS: Needs = Needs { in_flight: 64, concluding: 0, deadline: Duration::from_secs(30) };

fn wanted(more: &serde_json::Value) -> Wanted {
    let mut all = json!({ "stream": "MAIL", "consumer": "worker", "subjects": ["mail.send.>"] });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    Wanted::new(&serde_json::from_value(all).unwrap(), &NEEDS)
}

fn command_for(config: &Config, wanted: &Wanted) -> (String, String) {
    let error = mismatch("MAIL", "worker", wanted, &compare(config, wanted));
    (error.field("found").unwrap().to_owned(), error.field("command").unwrap().to_owned())
}

#[test]
fn what_is_made_is_what_is_needed() {
    for more in [json!({}), json!({ "ack_wait": "90s", "max_ack_pending": 64, "subjects": [] })] {
        let wanted = wanted(&more);
        assert_eq!(compare(&wanted.config("worker"), &wanted), []);
    }
    assert_eq!(wanted(&json!({})).ack_wait, Duration::from_mins(1));
    let slow = Needs { in_flight: 1, concluding: 0, deadline: Duration::from_secs(50) };
    let source = serde_json::from_value(json!({ "stream": "A", "consumer": "b" })).unwrap();
    assert_eq!(Wanted::new(&source, &slow).ack_wait, Duration::from_secs(100));
}

#[test]
fn one_filter_is_the_same_in_either_field() {
    let wanted = wanted(&json!({}));
    let config = Config {
        filter_subjects: Vec::new(),
        filter_subject: "mail.send.>".to_owned(),
        ..wanted.config("worker")
    };
    assert_eq!(compare(&config, &wanted), []);
}

#[test]
fn timing_that_doubles_or_loses_mails_is_found_with_the_command_that_cures_it() {
    let wanted = wanted(&json!({}));
    let good = wanted.config("worker");
    for (config, finding, flags) in [
        (Config { max_deliver: 5, ..good.clone() }, "max_deliver is 5", "--max-deliver=-1"),
        (
            Config { ack_wait: Duration::from_secs(30), ..good.clone() },
            "ack_wait is 30s, shorter",
            "--wait 1m",
        ),
        (
            Config {
                backoff: vec![Duration::from_secs(1), Duration::from_mins(5)],
                ack_wait: Duration::from_secs(1),
                ..good.clone()
            },
            "backoff has 1s and overrides ack_wait",
            "--backoff none --wait 1m",
        ),
        (
            Config { max_ack_pending: 63, ..good.clone() },
            "max_ack_pending is 63",
            "--max-pending 100000",
        ),
        (
            Config { filter_subjects: vec!["mail.>".to_owned()], ..good.clone() },
            "it takes the subjects {\"mail.>\"}",
            "--filter 'mail.send.>'",
        ),
    ] {
        let (found, command) = command_for(&config, &wanted);
        assert!(found.contains(finding), "{found}");
        assert_eq!(command, format!("nats consumer edit MAIL worker {flags} --force"));
    }
}

#[test]
fn a_backoff_that_is_long_enough_is_kept() {
    let wanted = wanted(&json!({}));
    let steps = vec![Duration::from_secs(45), Duration::from_mins(5)];
    let config = Config { ack_wait: steps[0], backoff: steps, ..wanted.config("worker") };
    assert_eq!(compare(&config, &wanted), []);
}

#[test]
fn what_is_fixed_at_making_needs_another_consumer() {
    let wanted = wanted(&json!({}));
    let good = wanted.config("worker");
    for config in [
        Config { deliver_subject: Some("push".to_owned()), ..good.clone() },
        Config { ack_policy: AckPolicy::All, ..good.clone() },
        Config { ack_policy: AckPolicy::None, ..good.clone() },
        Config { replay_policy: ReplayPolicy::Original, ..good.clone() },
        Config { deliver_policy: DeliverPolicy::LastPerSubject, ..good.clone() },
        Config { headers_only: true, ..good.clone() },
        Config { durable_name: None, ..good.clone() },
    ] {
        let (_, command) = command_for(&config, &wanted);
        assert_eq!(
            command,
            "nats consumer rm MAIL worker --force && nats consumer add MAIL worker --pull --filter \
             'mail.send.>' --ack explicit --wait 1m --max-deliver=-1 --max-pending 100000 --deliver \
             all --replay instant --defaults"
        );
    }
}

#[test]
fn what_the_configuration_names_must_be_the_same() {
    let wanted = wanted(&json!({ "ack_wait": "90s", "max_ack_pending": 500 }));
    let config = Config {
        ack_wait: Duration::from_mins(1),
        max_ack_pending: 1000,
        ..wanted.config("worker")
    };
    let (_, command) = command_for(&config, &wanted);
    assert_eq!(command, "nats consumer edit MAIL worker --wait 90s --max-pending 500 --force");
}
