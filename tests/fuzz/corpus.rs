//! Every kept input of every fuzz target, through the same bodies, by a stable compiler. It finds
//! nothing new; it keeps what was found, and the bodies themselves, from rotting.

use std::{fs, path::Path};

mod bodies;

fn run_all(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 3, "{}: the corpus is not there", folder.display());
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let held = std::panic::catch_unwind(|| body(&bytes));
        assert!(held.is_ok(), "{}: see the message above", input.display());
    }
}

#[test]
fn configs() {
    run_all("config", bodies::config::run);
}

#[test]
fn requests() {
    run_all("request", bodies::request::run);
}

#[test]
fn mime() {
    run_all("mime", bodies::mime::run);
}

#[test]
fn cloud_events() {
    run_all("cloud_event", bodies::cloud_event::run);
}

#[test]
fn notifications() {
    run_all("notification", bodies::notification::run);
}

#[test]
fn graph_answers() {
    run_all("graph_answer", bodies::graph_answer::run);
}
