//! The guide: what it shows is right, and its links lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::{repository, with_variable};

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

/// Every page that users read, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages: Vec<_> =
        ["README.md", "docs/guide.md", "deploy/entra/README.md"].map(PathBuf::from).into();
    let guides = fs::read_dir(repository().join("docs/guide")).expect("docs/guide");
    pages.extend(
        guides.map(|entry| Path::new("docs/guide").join(entry.expect("an entry").file_name())),
    );
    pages.sort();
    let read = |page: &PathBuf| fs::read_to_string(repository().join(page)).expect("a page");
    pages.iter().map(|page| (page.clone(), read(page))).collect()
}

/// The blocks of a language, each with the line it starts at.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let start = format!("\n```{language}\n");
    for (at, _) in text.match_indices(&start) {
        let block = &text[at + start.len()..];
        let block = block.split("\n```").next().unwrap_or(block);
        found.push((text[..at].lines().count() + 2, block));
    }
    found
}

#[test]
fn every_configuration_it_shows_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = 0;
    for (page, text) in pages() {
        let whole = |block: &&str| block.starts_with("connections:");
        for (line, block) in blocks(&text, "yaml").into_iter().filter(|it| whole(&it.1)) {
            let mut config = block.to_owned();
            if !block.contains("pipelines:") {
                let name = block.lines().nth(1).expect("the name of a connection").trim();
                config += &REST.replace("NAME", name.trim_end_matches(':'));
            }
            fs::write(folder.path().join("snippet.yaml"), config).expect("a file");
            // which a pod with workload identity has
            let token = ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/token");
            let ran = with_variable(folder.path(), &["check", "snippet.yaml"], token.0, token.1);
            assert_eq!(ran.code, 0, "{}:{line}: {}", page.display(), ran.stderr);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            let target = repository().join(target);
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("a page");
                let known = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
                assert!(known.into_iter().any(|it| it == anchor), "{}: {link}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen}");
}

/// The anchor that a heading gets: lower case, no punctuation, hyphens for spaces.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
