//! Percent coding and small HTML helpers: the few lines of text work that several modules share.
//!
//! No general URL type: paths are split before decoding, because an id may hold `/`.

use std::fmt::Write as _;

/// Decodes `%xx`; `None` when an escape is broken or the result is not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Decodes one form or query component, where `+` is a space.
pub fn form_decode(text: &str) -> Option<String> {
    if text.contains('+') {
        percent_decode(&text.replace('+', "%20"))
    } else {
        percent_decode(text)
    }
}

/// The pairs of a query string or a form body, decoded.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((form_decode(name)?, form_decode(value)?))
        })
        .collect()
}

/// Encodes everything but unreserved characters, so the result is one path segment or value.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to a string cannot fail
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // writing to a string cannot fail
        write!(out, "{byte:02x}").unwrap_or_default();
        out
    })
}

/// HTML without its tags and common entities: enough for previews and text bodies.
pub fn strip_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// Plain text as an HTML fragment.
pub fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Shell-like matching with `*` for any run of characters; case does not matter.
pub fn glob(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| go(rest, &text[skip..])),
            Some((first, rest)) => text
                .split_first()
                .is_some_and(|(head, tail)| first.eq_ignore_ascii_case(head) && go(rest, tail)),
        }
    }
    go(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_coding_goes_round() {
        let id = "AAMk/ab+c=&d é";
        assert_eq!(percent_decode(&percent_encode(id)).as_deref(), Some(id));
        assert_eq!(percent_encode("a/b"), "a%2Fb");
        assert_eq!(percent_decode("%4"), None, "a broken escape is not guessed at");
        assert_eq!(percent_decode("%ff"), None, "not UTF-8");
    }

    #[test]
    fn a_plus_is_a_space_only_in_forms() {
        assert_eq!(percent_decode("a+b").as_deref(), Some("a+b"));
        assert_eq!(form_decode("a+b%2Bc").as_deref(), Some("a b+c"));
        let both = pairs("$top=5&$filter=a%20eq%20'b%26c'").unwrap();
        assert_eq!(both[1].1, "a eq 'b&c'");
    }

    #[test]
    fn globs_match_whole_texts() {
        assert!(glob("*@contoso.example", "Anna@Contoso.example"));
        assert!(glob("/v1.0/users/*/sendMail", "/v1.0/users/a@b/sendMail"));
        assert!(!glob("/v1.0/users/*", "/v2.0/users/a"));
        assert!(glob("*", ""));
    }

    #[test]
    fn tags_are_stripped() {
        assert_eq!(strip_tags("<p>a &amp; <b>b</b></p>"), "a & b");
    }
}
