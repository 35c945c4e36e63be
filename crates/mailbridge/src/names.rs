//! Names that people give and mistype.

/// How alike two names must be for one to be taken for the other.
const ALIKE: f64 = 0.8;

/// What to say to somebody who named something unknown: the nearest known name, or all of them.
pub fn known(what: &str, given: &str, names: &[&str]) -> String {
    match nearest(given, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("there are no {what} in this configuration"),
        None => format!("known {what} are {}", names.join(", ")),
    }
}

/// The known name that is most like the given one, if one is.
pub fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &given), *name))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Whether a text can name a connection, bus or pipeline: it becomes a metric's label, a header's
/// value and a part of a variable's name.
pub fn name_fits(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_or_all() {
        let names = ["events", "archive"];
        assert_eq!(known("buses", "event", &names), "did you mean `events`?");
        assert_eq!(known("buses", "x", &names), "known buses are events, archive");
        assert_eq!(known("buses", "x", &[]), "there are no buses in this configuration");
    }
}
