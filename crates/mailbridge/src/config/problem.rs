//! What is wrong with a configuration, and where.
//!
//! A problem never repeats a value of the configuration: it may be a secret. All problems of a
//! configuration are collected and shown together, in the order in which they stand in the files.

use std::fmt;

/// Where something stands: a file, or an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was given, or the variable as `$NAME`.
    pub source: String,
    /// The line in the file, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// One mistake, or one thing to be warned of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key, outermost first; empty when it is about a file as a whole.
    pub key: Vec<String>,
    /// What was expected.
    pub message: String,
}

/// `file:line: key: message`, the form that editors and terminals turn into a link.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key.join("."))?;
        }
        f.write_str(&self.message)
    }
}

/// All mistakes of a configuration; at least one.
#[derive(Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// In the order of the files; what was found twice is told once.
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// Each in a line.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(Problem::to_string).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 mistake in the configuration; nothing was started"),
            count => write!(f, "{count} mistakes in the configuration; nothing was started"),
        }
    }
}
