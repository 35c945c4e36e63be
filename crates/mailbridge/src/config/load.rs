//! From files and environment to one tree of values, with the place of every key.
//!
//! Files are merged in the order given: mappings key by key, anything else as a whole, the later
//! one wins. Then come the overrides of the environment. Nothing is checked here but that each file
//! can be read and that no key is given twice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Provider,
    providers::{Format as _, Json, Toml},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    locate::{self, Lines, Places, Trouble},
    overrides,
    problem::{Place, Problem, Problems},
};

/// The merged tree.
pub struct Loaded {
    /// All values.
    pub tree: Value,
    /// Where they stand.
    pub places: Places,
}

/// Reads the files and the environment.
pub fn load(files: &[PathBuf]) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let mut places = Places::default();
    let mut figment = Figment::new();
    for file in files {
        match read(file) {
            Ok((merged, lines)) => {
                figment = figment.merge(merged);
                places.add_file(&file.display().to_string(), lines);
            }
            Err(found) => problems.extend(found),
        }
    }
    figment = overrides::apply(figment, &mut places, &mut problems);
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    match figment.extract() {
        Ok(tree) => Ok(Loaded { tree, places }),
        // Each source was read alone without a mistake: this is how they come together.
        Err(_) => Err(Problems::new(vec![Problem {
            place: places.find(&[]),
            key: Vec::new(),
            message: "the files and overrides do not fit together".to_owned(),
        }])),
    }
}

/// Reads one file that is no configuration: nothing of the environment goes into it.
pub fn alone(file: &Path) -> Result<Loaded, Vec<Problem>> {
    let (figment, lines) = read(file)?;
    let mut places = Places::default();
    places.add_file(&file.display().to_string(), lines);
    // it was read as values a moment ago
    Ok(Loaded { tree: figment.extract().unwrap_or_default(), places })
}

/// Takes a text in YAML for a whole configuration, which it is told under such a name.
pub fn text(name: &str, text: &str) -> Result<Loaded, Problems> {
    let (figment, lines) = parse(name, Kind::Yaml, text).map_err(Problems::new)?;
    let mut places = Places::default();
    places.add_file(name, lines);
    Ok(Loaded { tree: figment.extract().unwrap_or_default(), places })
}

/// The formats, by the file's ending.
#[derive(Clone, Copy)]
enum Kind {
    Yaml,
    Toml,
    Json,
}

impl Kind {
    fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

fn read(file: &Path) -> Result<(Figment, Lines), Vec<Problem>> {
    let name = file.display().to_string();
    let whole = |message: String| vec![problem(&name, None, Vec::new(), message)];
    let Some(kind) = Kind::of(file) else {
        return Err(whole("the file's name must end in .yaml, .yml, .toml or .json".to_owned()));
    };
    let text = fs::read_to_string(file)
        .map_err(|cause| whole(format!("the file cannot be read ({})", cause.kind())))?;
    parse(&name, kind, &text)
}

fn problem(name: &str, line: Option<usize>, key: Vec<String>, message: String) -> Problem {
    Problem { place: Place { source: name.to_owned(), line }, key, message }
}

fn parse(name: &str, kind: Kind, text: &str) -> Result<(Figment, Lines), Vec<Problem>> {
    let lines = lines(kind, text).map_err(|troubles| {
        let told = |it: Trouble| problem(name, Some(it.line), it.key, it.message);
        troubles.into_iter().map(told).collect::<Vec<_>>()
    })?;
    let figment = match kind {
        Kind::Yaml => values(Yaml::string(text)),
        Kind::Toml => values(Toml::string(text)),
        Kind::Json => values(Json::string(text)),
    };
    let figment = figment.ok_or_else(|| {
        let expected = "expected keys at the top, such as `connections`, `buses` and `pipelines`";
        vec![problem(name, None, Vec::new(), expected.to_owned())]
    })?;
    Ok((figment, lines))
}

fn lines(kind: Kind, text: &str) -> Result<Lines, Vec<Trouble>> {
    if let Kind::Json = kind
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        let message = format!("this is not JSON: {error}");
        return Err(vec![Trouble { line: error.line(), key: Vec::new(), message }]);
    }
    match kind {
        Kind::Toml => locate::toml(text),
        Kind::Yaml | Kind::Json => locate::yaml(text),
    }
}

/// A source's values, if it is a mapping. Its own error is not shown: it may hold a value.
fn values(provider: impl Provider) -> Option<Figment> {
    let figment = Figment::from(provider);
    figment.extract::<Value>().ok().filter(Value::is_object).map(|_| figment)
}

/// YAML for figment, whose own rests on an archived crate.
struct Yaml;

impl figment::providers::Format for Yaml {
    type Error = yaml_serde::Error;

    const NAME: &'static str = "YAML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, yaml_serde::Error> {
        yaml_serde::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_texts(files: &[(&str, &str)]) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = files
            .iter()
            .map(|(name, text)| {
                let path = folder.path().join(name);
                fs::write(&path, text).unwrap();
                path
            })
            .collect();
        load(&paths)
    }

    #[test]
    fn three_formats_merge_in_order_and_each_key_has_its_place() {
        let loaded = load_texts(&[
            ("a.yaml", "http:\n  listen: a\nbuses:\n  b:\n    nats: { servers: [one, two] }\n"),
            ("b.toml", "[buses.b.nats]\nservers = ['three']\n"),
            ("c.json", "{\n \"report\": \"none\",\n \"http\": {\"listen\": \"c\"}}"),
        ]);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.tree["buses"]["b"]["nats"]["servers"], serde_json::json!(["three"]));
        assert_eq!(loaded.tree["http"]["listen"], "c");
        let place = |key: &str| {
            let key: Vec<_> = key.split('.').map(str::to_owned).collect();
            let place = loaded.places.find(&key);
            let name = place.source.rsplit('/').next().unwrap().to_owned();
            (name, place.line)
        };
        assert_eq!(place("buses.b.nats.servers"), ("b.toml".to_owned(), Some(2)));
        assert_eq!(place("report"), ("c.json".to_owned(), Some(2)));
        assert_eq!(place("http.listen"), ("c.json".to_owned(), Some(3)));
        assert_eq!(place("buses.b.nats.missing"), ("b.toml".to_owned(), Some(1)));
    }

    #[test]
    fn all_files_are_told_of_together_and_no_value_is_shown() {
        let files = [
            ("a.yaml", "a: hunter2\na: hunter2\n"),
            ("b.json", "{\"a\": hunter2}"),
            ("c.toml", "a = hunter2"),
            ("d.ini", "a=hunter2"),
            ("e.yaml", "hunter2\n"),
        ];
        let told = load_texts(&files).err().unwrap().to_string();
        for (name, _) in files {
            assert!(told.contains(name), "{name}: {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.ends_with("5 mistakes in the configuration; nothing was started"), "{told}");
    }
}
