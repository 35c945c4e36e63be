//! A configuration file, from whoever writes one. The input is its text, in YAML.

use mailbridge::Registry;
use mailbridge_local::Local;
use mailbridge_nats::Nats;

/// A value that no mistake may repeat, wherever it stands: it could be a secret.
const PLANTED: &str = "hunter2-hunter2";
const NAME: &str = "fuzz.yaml";

/// Reads it as `check` does: nothing is opened.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // templates are files of this machine
    if text.contains("templates") {
        return;
    }
    let registry = Registry::new().with::<Nats>().with::<Local>();
    let mistakes = mailbridge::mistakes(NAME, text, &registry);
    assert_eq!(mistakes, mailbridge::mistakes(NAME, text, &registry), "the same every time");
    for mistake in mistakes {
        let place = mistake.strip_prefix(NAME).expect("it says where");
        assert!(place.len() > 3, "{mistake}");
        let line: Option<usize> = place.split(':').nth(1).and_then(|line| line.parse().ok());
        // a text that ends too early is wrong where it ends
        assert!(line.is_none_or(|line| line <= text.lines().count() + 1), "{mistake}");
        assert!(!mistake.contains(PLANTED), "{mistake}");
    }
}
