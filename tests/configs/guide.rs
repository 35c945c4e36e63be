//! The guide: what it shows is right, its links lead somewhere, and its commands do what they say.

mod commands;
mod links;
mod page;
mod world;

pub use world::World;

use std::fs;

use crate::program::with_variable;

/// What a snippet leaves out, so that something would run.
const REST: &str = "
pipelines:
  snippet:
    requests:
      from: { bus: files, path: requests.ndjson }
      connection: NAME
      mailbox: noreply@contoso.com
      allow_mailboxes: ['*@contoso.com']
      dead_letters: { bus: files, path: dead.ndjson }
buses:
  files: { local: {} }
";

#[test]
fn every_configuration_it_shows_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = 0;
    for page in page::guide() {
        let whole = |block: &page::Block<'_>| {
            block.info == "yaml" && block.text.starts_with("connections:")
        };
        for block in page.blocks().into_iter().filter(whole) {
            let mut config = block.text.clone();
            if !config.contains("pipelines:") {
                let name = config.lines().nth(1).expect("the name of a connection").trim();
                config += &REST.replace("NAME", name.trim_end_matches(':'));
            }
            fs::write(folder.path().join("snippet.yaml"), config).expect("a file");
            // which a pod with workload identity has
            let token = ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/token");
            let ran = with_variable(folder.path(), &["check", "snippet.yaml"], token.0, token.1);
            assert_eq!(ran.code, 0, "{}: {}", page.place(&block), ran.stderr);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}
