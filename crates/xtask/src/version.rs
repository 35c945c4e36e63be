//! Versions as servers print them: three numbers, compared in order. Pre-release tags are read
//! past, not compared: nothing here depends on them.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The first version found in a text like `nats-server: v2.15.2`.
    pub fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut numbers = word.trim_start_matches('v').splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next()?;
        let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
        Some(Self(major, minor, patch[..digits].parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_print() {
        assert_eq!(Version::find("nats-server: v2.15.2\n"), Some(Version(2, 15, 2)));
        assert_eq!(Version::find("nats-server: v2.14.0-RC.1"), Some(Version(2, 14, 0)));
        assert_eq!(Version::find("nats-server: devel"), None);
        assert_eq!(Version::find(""), None);
    }

    #[test]
    fn compares_numbers_and_not_letters() {
        assert!(Version(2, 9, 10) < Version(2, 12, 0));
        assert!(Version(2, 12, 0) <= Version(2, 12, 0));
    }
}
