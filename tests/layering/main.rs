//! The import rule of the house, read from `cargo metadata`.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

const RULE: &str = "core imports none of ours; engine, graph, compose and the buses import core only, never \
                    each other; sandbox imports core at most; testkit imports core and sandbox; only the \
                    program and the tests know everyone";

/// What each package may import of ours. `None`: everything but the tests' own.
fn allowed(package: &str) -> Option<&'static [&'static str]> {
    Some(match package {
        "mailbridge-core" | "xtask" => &[],
        "mailbridge-testkit" => &["mailbridge-core", "mailbridge-sandbox"],
        "mailbridge" | "mailbridge-tests" => return None,
        _ => &["mailbridge-core"],
    })
}

/// Package → what it imports of ours, tests' imports left out.
fn imports() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = |name: &str| name == "xtask" || name.starts_with("mailbridge");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let imports = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| dependency["name"].as_str())
                .filter(|name| ours(name))
                .map(str::to_owned)
                .collect();
            (package["name"].as_str().expect("a name").to_owned(), imports)
        })
        .collect()
}

fn breaches(imports: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (package, imported) in imports {
        for name in imported {
            let shipped = package != "mailbridge-tests";
            let never = shipped && ["mailbridge", "mailbridge-testkit"].contains(&name.as_str());
            if never || allowed(package).is_some_and(|allowed| !allowed.contains(&name.as_str())) {
                breaches.push(format!("{package} imports {name}"));
            }
        }
    }
    breaches
}

#[test]
fn nobody_imports_what_the_house_forbids() {
    let imports = imports();
    assert!(imports.len() >= 11, "the workspace was read: {imports:?}");
    let breaches = breaches(&imports);
    assert!(breaches.is_empty(), "{breaches:?}: {RULE}");
}

#[test]
fn a_breach_is_found() {
    let wrong = BTreeMap::from([
        ("mailbridge-core".to_owned(), vec!["mailbridge-engine".to_owned()]),
        ("mailbridge-nats".to_owned(), vec!["mailbridge-local".to_owned()]),
        ("mailbridge".to_owned(), vec!["mailbridge-testkit".to_owned()]),
    ]);
    assert_eq!(breaches(&wrong).len(), 3);
}
