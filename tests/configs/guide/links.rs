//! Where links lead, and that the book has every page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::page::{self, Page};
use crate::program::repository;

/// The relative links of a page.
fn links(page: &Page) -> Vec<&str> {
    let links = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains("://")).collect()
}

/// What a link of a page names: a path, from the repository's root.
fn target(page: &Page, file: &str) -> PathBuf {
    let mut path = page.path.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(file) {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

/// What is wrong with a link, if anything.
fn broken(page: &Page, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.path.clone() } else { target(page, file) };
    let problem = |what: &str| Some(format!("{}: {link}: {what}", page.path.display()));
    if !repository().join(&target).exists() {
        return problem("nothing is there");
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(repository().join(&target)).unwrap_or_default();
    let known = text.lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor);
    if known { None } else { problem("no such heading") }
}

/// The anchor that a heading gets: lower case, no punctuation, hyphens for spaces.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = page::all();
    let seen: usize = pages.iter().map(|page| links(page).len()).sum();
    assert!(seen >= 300, "{seen}");
    let broken: Vec<_> = pages
        .iter()
        .flat_map(|page| links(page).into_iter().filter_map(|link| broken(page, link)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let text = "# One\n[a](guide.md) [b](none.md) [c](#one) [d](#two) [e](guide/kafka.md#state)";
    let page = Page { path: "docs/one.md".into(), text: text.to_owned() };
    let broken: Vec<_> =
        links(&page).into_iter().filter(|link| broken(&page, link).is_some()).collect();
    // the page itself is not there, so its own headings are not found either
    assert_eq!(broken, ["none.md", "#one", "#two"]);
}

#[test]
fn the_book_has_every_page_once() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: Vec<_> = links(&summary).into_iter().map(PathBuf::from).collect();
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a page is listed twice");
    let pages = page::all().into_iter().map(|page| page.path);
    let pages: BTreeSet<_> = pages
        .filter_map(|path| path.strip_prefix("docs").ok().map(Path::to_path_buf))
        .filter(|path| path != Path::new("SUMMARY.md"))
        .collect();
    assert_eq!(pages, once, "docs/SUMMARY.md and the pages in docs/ differ");
}
