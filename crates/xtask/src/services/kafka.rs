//! Gets an Apache Kafka for the tests: the jars of one broker, which the launcher in `testkit`
//! starts with `java`.
//!
//! A stand-in is deliberately not among the ways: librdkafka's mock cluster cannot restart, keeps
//! 5 MB a partition and has no transactions, so that a test against it would prove little.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::Ready;
use crate::command::Line;
use crate::version::Version;
use crate::{Result, workspace};

/// What is fetched when none is there. A newer pin is fetched beside an older one.
const PINNED: &str = "4.1.1";
/// Exact, since what it does depends on it.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/// The oldest Java that a Kafka 4 broker runs on (kafka.apache.org, "Java Version").
const JAVA: u32 = 17;

/// `KAFKA_HOME`, else what was fetched earlier, else Maven.
pub fn provide() -> Result<Ready> {
    java()?;
    if let Some(home) = env::var_os("KAFKA_HOME") {
        return usable(Path::new(&home), "from KAFKA_HOME")
            .map_err(|e| format!("KAFKA_HOME: {e}; unset it, and one is got for you").into());
    }
    let kept = workspace::services().join(format!("kafka-{PINNED}"));
    if let Ok(ready) = usable(&kept, "got earlier") {
        return Ok(ready);
    }
    fetch(&kept).map_err(|error| {
        format!(
            "none could be got with Maven: {error}\n\
             install Maven 3.8 or newer, or unpack Apache Kafka {PINNED} and set KAFKA_HOME to it"
        )
    })?;
    usable(&kept, "through Maven")
}

/// Fetches into a folder beside, so that what was interrupted is never taken for the whole.
fn fetch(kept: &Path) -> Result {
    let partial = kept.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    eprintln!("getting Apache Kafka {PINNED} through Maven, once (some 45 MB)");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/services/kafka/pom.xml");
    Line::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .args([&pom])
        .args([PLUGIN, "-DincludeScope=runtime", &format!("-Dkafka.version={PINNED}")])
        .args([format!("-DoutputDirectory={}", partial.join("libs").display())])
        .capture()?;
    Ok(fs::rename(partial, kept)?)
}

/// A folder as Kafka's distribution has it: the jars are under `libs`.
fn usable(home: &Path, origin: &str) -> Result<Ready> {
    let version = version(&home.join("libs"))?;
    Ok(Ready {
        what: format!("{version}, {origin}: {}", home.display()),
        environment: vec![("KAFKA_HOME", home.to_owned())],
    })
}

/// The version in the name of the broker's own jar, such as `kafka_2.13-4.1.1.jar`.
fn version(libs: &Path) -> Result<Version> {
    let files = fs::read_dir(libs).map_err(|e| format!("{}: {e}", libs.display()))?;
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let version = names.find_map(|name| {
        let (_, version) = name.strip_prefix("kafka_")?.strip_suffix(".jar")?.split_once('-')?;
        Version::find(version)
    });
    let version = version.ok_or_else(|| format!("no broker's jar in {}", libs.display()))?;
    if version < Version(4, 0, 0) {
        return Err(format!("it is {version}, 4.0.0 or newer is needed").into());
    }
    Ok(version)
}

/// Refuses a machine on which no broker could be started.
fn java() -> Result {
    let program = env::var_os("JAVA_HOME")
        .map_or_else(|| PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
    let cure = format!("install Java {JAVA} or newer (Debian: openjdk-{JAVA}-jre-headless)");
    let printed = Line::new(&program).args(["--version"]).capture();
    let printed = printed.map_err(|error| format!("{error}; {cure}"))?;
    match Version::find(&printed) {
        Some(Version(major, ..)) if major < JAVA => {
            Err(format!("{} is {major}; {cure}", program.display()).into())
        }
        // an early build names only the major number, which is enough to have come to this
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_brokers_jar() {
        let folder = env::temp_dir().join(format!("xtask-kafka-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let with = |name: &str| {
            fs::write(folder.join(name), "").unwrap();
            let found = version(&folder).map_err(|error| error.to_string());
            fs::remove_file(folder.join(name)).unwrap();
            found
        };
        assert_eq!(with("kafka_2.13-4.1.1.jar"), Ok(Version(4, 1, 1)));
        assert!(with("kafka_2.13-3.9.1.jar").unwrap_err().contains("4.0.0 or newer"));
        assert!(with("kafka-clients-4.1.1.jar").unwrap_err().contains("no broker's jar"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
