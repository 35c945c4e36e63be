//! Parses one section and finds as many of its mistakes as possible in one go.
//!
//! A deserialiser stops at the first mistake. So the mistaken key is taken out and the section is
//! read again, until it fits or nothing more can be taken out.

use mailbridge_core::plugin::Malformed;
use serde_json::Value;

/// Mistakes found in one section at most: beyond that it is the wrong file.
const MISTAKES_MAX: usize = 20;

/// Parses a section, or tells all its mistakes.
pub fn all<T>(
    mut section: Value,
    parse: impl Fn(Value) -> Result<T, Malformed>,
) -> Result<T, Vec<Malformed>> {
    let mut found: Vec<Malformed> = Vec::new();
    loop {
        let mistake = match parse(section.clone()) {
            Ok(value) if found.is_empty() => return Ok(value),
            Ok(_) => return Err(found),
            Err(mistake) => readable(mistake),
        };
        let gone = take_out(&mut section, &mistake.path);
        if !is_our_doing(&mistake, &found) {
            found.push(mistake);
        }
        if !gone || found.len() >= MISTAKES_MAX {
            return Err(found);
        }
    }
}

/// The sentence as this program says it: a configuration has keys, where serde says "field", and
/// holds text and lists, where serde says "string" and "sequence".
fn readable(mut mistake: Malformed) -> Malformed {
    if let Some(name) = missing(&mistake.detail) {
        mistake.detail = format!("the key `{name}` is missing");
    } else if let Some((expected, found)) = mistake.detail.rsplit_once(", found ") {
        let expected = expected.strip_prefix("expected ").unwrap_or(expected);
        mistake.detail = format!("expected {}; this is {}", kind(expected), kind(found));
    } else if let Some((detail, key)) =
        mistake.detail.strip_suffix(')').and_then(|text| text.rsplit_once(" (key: "))
    {
        // a refusal from inside a section, which names its key in words only
        mistake.path.extend(key.split('.').map(str::to_owned));
        mistake.detail = detail.to_owned();
    }
    mistake
}

/// Serde's word for a kind of value in everybody's.
fn kind(word: &str) -> &str {
    match word {
        "integer" | "floating point" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "boolean" | "a boolean" => "true or false",
        "string" | "a string" => "text",
        "sequence" | "a sequence" => "a list",
        "map" | "a map" => "a section of keys",
        "null" | "unit value" | "Option value" => "empty",
        word if word.starts_with("struct ") => "a section of keys",
        word => word,
    }
}

fn missing(detail: &str) -> Option<&str> {
    detail.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Told before, or a key is missed that was taken out, or mistyped, as was told.
fn is_our_doing(mistake: &Malformed, found: &[Malformed]) -> bool {
    if found.iter().any(|earlier| earlier.path == mistake.path) {
        return true;
    }
    // a section that wants one key of several, from which the mistaken one was taken out
    let emptied = |earlier: &Malformed| {
        earlier.path.len() > mistake.path.len() && earlier.path.starts_with(&mistake.path)
    };
    if mistake.detail.starts_with("expected one of ") && found.iter().any(emptied) {
        return true;
    }
    let Some(name) =
        mistake.detail.strip_prefix("the key `").and_then(|rest| rest.strip_suffix("` is missing"))
    else {
        return false;
    };
    let meant = format!("did you mean `{name}`?");
    found.iter().any(|earlier| {
        let below = earlier.path.strip_prefix(mistake.path.as_slice());
        let key = below.and_then(<[String]>::first);
        key.is_some_and(|key| key == name || earlier.detail.ends_with(&meant))
    })
}

/// Takes the key out. An item of a list takes the whole list with it, so that no other moves.
fn take_out(section: &mut Value, path: &[String]) -> bool {
    let Some((key, rest)) = path.split_first() else { return false };
    let Value::Object(map) = section else { return false };
    match map.get_mut(key) {
        Some(inner @ Value::Object(_)) if !rest.is_empty() => take_out(inner, rest),
        Some(_) => map.remove(key).is_some(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::plugin::parse;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Outer {
        name: String,
        #[serde(default)]
        list: Vec<u32>,
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses matters")]
    struct Inner {
        count: u32,
    }

    fn mistakes(section: Value) -> Vec<(String, String)> {
        let mistakes = all(section, parse::<Outer>).unwrap_err();
        mistakes.into_iter().map(|it| (it.path.join("."), it.detail)).collect()
    }

    #[test]
    fn every_mistake_is_told_once() {
        let section = json!({
            "nam": 1, "name": 2, "list": [1, "x"], "inner": { "cuont": 3, "count": "many" }
        });
        let found = mistakes(section);
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        for wanted in ["nam", "name", "list.1", "inner.cuont", "inner.count"] {
            assert!(paths.contains(&wanted), "{wanted}: {found:?}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn a_missing_key_is_told_beside_others() {
        let found = mistakes(json!({ "name": "a", "lost": 1, "inner": {} }));
        let wanted = [
            ("inner".to_owned(), "the key `count` is missing".to_owned()),
            ("lost".to_owned(), "unknown key `lost`; did you mean `list`?".to_owned()),
        ];
        assert_eq!(found, wanted);
    }
}
