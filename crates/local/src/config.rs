//! What a user writes about files, and what can be said about it without opening one.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// A bus with no server: files, standard input and output.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds how far each file was read, and state. One process uses it at a
    /// time.
    #[serde(default = "dir")]
    pub dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: dir() }
    }
}

fn dir() -> PathBuf {
    PathBuf::from(".mailbridge")
}

/// What to read: a file with one message a line, or standard input.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file, or `-` for standard input.
    pub path: Location,
    /// Whether to wait for more lines at the end of the file. Standard input always ends when its
    /// writer closes it.
    #[serde(default)]
    pub follow: bool,
    /// Whether how far the file was read survives the program. With `false` each run reads the
    /// whole file; so does standard input, which cannot be read again.
    #[serde(default = "yes")]
    pub remember: bool,
}

const fn yes() -> bool {
    true
}

/// Where to write one message a line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The file, which is made if it is not there, or `-` for standard output.
    pub path: Location,
}

/// Where to keep state.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// A database file of its own; without it, the one in the bus's `dir`.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// A file, or the process's own standard stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Location {
    /// `-`: standard input or output.
    Standard,
    /// A file. A relative path is relative to the working directory.
    File(PathBuf),
}

impl TryFrom<String> for Location {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "" => Err("expected a path, or - for the standard stream"),
            "-" => Ok(Self::Standard),
            _ => Ok(Self::File(text.into())),
        }
    }
}

/// What a file is known by inside `dir`. As it was written, so that a project can be moved with its
/// `dir`; absolute where `dir` is absolute, and so may serve several projects.
pub(crate) fn name_in(dir: &Path, path: &Path) -> String {
    let tidy: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let named = if dir.is_absolute() { std::path::absolute(&tidy).unwrap_or(tidy) } else { tidy };
    named.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use mailbridge_core::plugin::parse;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dash_is_the_standard_stream() {
        let source: Source = parse(json!({ "path": "-" })).unwrap();
        assert_eq!(source.path, Location::Standard);
        assert!(!source.follow && source.remember);
        let source: Source = parse(json!({ "path": "a/-", "follow": true })).unwrap();
        assert_eq!(source.path, Location::File("a/-".into()));
    }

    #[test]
    fn an_empty_path_and_an_unknown_key_are_refused_by_name() {
        let error = parse::<Target>(json!({ "path": "" })).unwrap_err();
        assert_eq!(error.path, ["path"]);
        assert!(error.detail.contains("expected a path"), "{}", error.detail);
        let error = parse::<Source>(json!({ "path": "a", "folow": true })).unwrap_err();
        assert!(error.detail.contains("did you mean `follow`?"), "{}", error.detail);
    }

    #[test]
    fn a_file_keeps_its_name_when_its_project_is_moved() {
        let relative = |path: &str| name_in(Path::new(".mailbridge"), Path::new(path));
        assert_eq!(relative("./in/requests.ndjson"), "in/requests.ndjson");
        assert_eq!(relative("in/./requests.ndjson"), "in/requests.ndjson");
        let absolute = name_in(Path::new("/var/lib/mailbridge"), Path::new("requests.ndjson"));
        assert!(Path::new(&absolute).is_absolute(), "{absolute}");
    }
}
