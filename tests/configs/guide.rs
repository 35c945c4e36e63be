//! The guide: its links lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::repository;

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
