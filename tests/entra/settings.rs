//! The settings of the two scripts are the same ones.

use std::fs;

use crate::rig::folder;

/// The lines of the settings block.
fn block(file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder().join(file)).expect(file);
    let after = text.split_once("\n# --- settings\n").expect("where the settings start").1;
    let block = after.split_once("\n# --- end of settings\n").expect("where they end").0;
    block.lines().map(str::to_owned).collect()
}

/// `APP_NAME` as PowerShell writes it: `$AppName`.
fn powershell(name: &str) -> String {
    let mut word = name.split('_').map(|part| part[..1].to_owned() + &part[1..].to_lowercase());
    format!("${}", word.by_ref().collect::<String>())
}

#[test]
fn both_scripts_have_the_same_settings_with_the_same_defaults() {
    let bash: Vec<_> = block("setup.sh")
        .iter()
        .map(|line| {
            let (name, value) = line.split_once('=').expect("NAME='value'");
            assert!(value.starts_with('\'') && value.ends_with('\'') && value.len() >= 2, "{line}");
            format!("{} = {value}", powershell(name))
        })
        .collect();
    assert!(bash.len() >= 10, "{bash:?}");
    assert_eq!(block("setup.ps1"), bash);
}

#[test]
fn each_setting_is_explained_below_the_block() {
    for (file, of) in [("setup.sh", 0), ("setup.ps1", 1)] {
        let text = fs::read_to_string(folder().join(file)).expect(file);
        let below = text.split_once("\n# --- end of settings\n").expect("the block").1;
        for line in block(file) {
            let name = &line.split([' ', '=']).next().expect("a name")[of..];
            let told = if name.starts_with("FEDERATED_") {
                "FEDERATED_..."
            } else if name.starts_with("Federated") {
                "Federated..."
            } else {
                name
            };
            assert!(below.contains(&format!("\n# {told} ")), "{file}: {name}");
        }
    }
}
