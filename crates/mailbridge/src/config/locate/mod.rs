//! Finds the line of a key. The formats' own readers give values without their places, so each file
//! is read a second time, for its lines only.
//!
//! This pass also refuses what the value readers let through: a key that is given twice, of which
//! they would take one silently.

mod toml;
mod yaml;

use std::collections::BTreeMap;

use super::problem::Place;

pub use self::{toml::locate as toml, yaml::locate as yaml};

/// The keys of one file with their lines.
pub type Lines = BTreeMap<Vec<String>, usize>;

/// Something that keeps a file from being read.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where, from 1.
    pub line: usize,
    /// The key, when it is about one.
    pub key: Vec<String>,
    /// What is wrong. No value of the file.
    pub message: String,
}

impl Trouble {
    fn twice(first: usize, line: usize, key: Vec<String>) -> Self {
        Self { line, key, message: format!("this key is given twice; first in line {first}") }
    }
}

/// The places of all keys of all sources. A later source wins, as its values do.
#[derive(Default)]
pub struct Places(Vec<(Place, Vec<String>)>);

impl Places {
    /// Adds a file.
    pub fn add_file(&mut self, source: &str, lines: Lines) {
        self.0.push((Place { source: source.to_owned(), line: None }, Vec::new()));
        for (key, line) in lines {
            self.0.push((Place { source: source.to_owned(), line: Some(line) }, key));
        }
    }

    /// Adds an environment variable that sets a key.
    pub fn add_variable(&mut self, name: &str, key: Vec<String>) {
        self.0.push((Place { source: format!("${name}"), line: None }, key));
    }

    /// The place of a key, or of the nearest key around it.
    pub fn find(&self, key: &[String]) -> Place {
        let found = (0..=key.len()).rev().find_map(|length| {
            let (place, _) = self.0.iter().rev().find(|(_, known)| known[..] == key[..length])?;
            Some(place.clone())
        });
        found.unwrap_or_default()
    }
}
