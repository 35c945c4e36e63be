//! The pages that users read, and what stands in their fences.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::repository;

/// A page, by its path below the repository's root.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

/// A fence: what stands behind its three backticks, the line where it begins, and its text.
pub struct Block<'a> {
    pub info: &'a str,
    pub line: usize,
    pub text: String,
}

impl Page {
    pub fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = fs::read_to_string(repository().join(&path));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    /// Every fence, also one that is indented.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut found = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside: Vec<_> =
                inside.take_while(|line| !line.trim_start().starts_with("```")).collect();
            let text = inside.join("\n") + "\n";
            found.push(Block { info: info.trim(), line: at + 1, text });
        }
        found
    }

    pub fn place(&self, block: &Block<'_>) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }
}

/// The README, the guide and what it sends its readers to: pages with commands and configurations.
pub fn guide() -> Vec<Page> {
    let mut paths = below("docs/guide");
    paths.extend(["README.md", "docs/guide.md", "deploy/entra/README.md"].map(PathBuf::from));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

/// Every page of the documentation.
pub fn all() -> Vec<Page> {
    let mut paths = below("docs");
    let roots = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md"];
    paths.extend(roots.into_iter().chain(["deploy/entra/README.md"]).map(PathBuf::from));
    paths.into_iter().map(Page::read).collect()
}

/// The pages in a folder and in those below it.
fn below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository().join(folder)).expect("a folder of pages") {
        let entry = entry.expect("an entry");
        let path = Path::new(folder).join(entry.file_name());
        if entry.path().is_dir() {
            found.extend(below(&path.to_string_lossy()));
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
    found
}
