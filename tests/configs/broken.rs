//! Configurations that are wrong, each in `broken/`, and what the program says of them. A new
//! mistake is a new file there; `INSTA_UPDATE=always cargo test -p mailbridge-tests --test configs`
//! takes its message into the snapshot, to be read before it is committed.

use std::{fs, path::Path};

use crate::program::{mailbridge, with_variable};

#[test]
fn every_mistake_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/broken");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .expect("broken/")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        // a folder beside them holds the templates of one
        .filter(|name| name.contains('.'))
        .collect();
    names.sort();
    let told = |name: String| {
        let ran = mailbridge(&folder, &["check", &name]);
        assert_eq!(ran.code, 78, "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{name}");
        assert!(!ran.stderr.contains("hunter2"), "a value is repeated: {}", ran.stderr);
        format!("$ mailbridge check {name}\n{}\n", ran.stderr)
    };
    let told: Vec<_> = names.into_iter().map(told).collect();
    insta::assert_snapshot!(told.concat());
}

#[test]
fn a_mistake_in_one_of_several_files_names_that_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = include_str!("../../configs/nats.yaml");
    fs::write(folder.path().join("base.yaml"), base).expect("a file");
    let over = "[pipelines.orders.requests]\nin_flight = 'many'\n";
    fs::write(folder.path().join("over.toml"), over).expect("a file");
    let ran = mailbridge(folder.path(), &["check", "base.yaml", "over.toml"]);
    assert_eq!(ran.code, 78);
    let wanted = "over.toml:2: pipelines.orders.requests.in_flight: ";
    assert!(ran.stderr.starts_with(wanted), "{}", ran.stderr);
    let name = "MAILBRIDGE_PIPELINES__ORDERS__REQUESTS__IN_FLIGHT";
    let ran = with_variable(folder.path(), &["check", "base.yaml", "over.toml"], name, "8");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
