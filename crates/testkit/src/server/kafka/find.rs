//! Finds an Apache Kafka and a Java. Finds only; `cargo xtask services` gets the former.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::child::LaunchError;

/// Where `cargo xtask services` puts it, from this package's folder.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/services");

/// What a broker is started with.
#[derive(Clone, Debug)]
pub(super) struct Kafka {
    pub java: PathBuf,
    /// For Java's own expansion: every jar of the folder.
    pub class_path: String,
}

/// The one of `KAFKA_HOME`, else the newest that was got.
pub(super) fn kafka() -> Result<Kafka, LaunchError> {
    let home = match env::var_os("KAFKA_HOME") {
        Some(home) => Some(PathBuf::from(home)),
        None => newest(Path::new(KEPT)),
    };
    let libs = home.map(|home| home.join("libs")).filter(|libs| libs.is_dir());
    let Some(libs) = libs else {
        return Err(LaunchError::new("no Apache Kafka: run `cargo xtask services`"));
    };
    let java = env::var_os("JAVA_HOME")
        .map_or_else(|| PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
    Ok(Kafka { java, class_path: libs.join("*").display().to_string() })
}

fn newest(services: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(services).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("kafka-") && path.join("libs").is_dir() && !name.ends_with(".partial")
    };
    entries.filter(named).max()
}
