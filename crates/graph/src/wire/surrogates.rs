//! JSON whose strings hold half of a character.
//!
//! Exchange cuts a preview after so many UTF-16 units, and mails hold whatever their sender wrote:
//! an escape such as `\ud83d` may stand alone. It is no character, and no JSON reader takes it.

/// The text with each lone half replaced by U+FFFD; nothing, if there is none.
pub(crate) fn mended(json: &str) -> Option<String> {
    let mut mended: Option<String> = None;
    let (mut kept, mut rest) = (0, json);
    while let Some(at) = rest.find('\\') {
        let start = json.len() - rest.len() + at;
        let length = match unit(&rest[at..]) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(unit(&json[start + 6..]), Some(0xDC00..=0xDFFF)) => {
                12
            }
            Some(0xD800..=0xDFFF) => {
                let text = mended.get_or_insert_default();
                text.push_str(&json[kept..start]);
                text.push_str("\\ufffd");
                kept = start + 6;
                6
            }
            Some(_) => 6,
        };
        // what is escaped may be of several bytes in JSON that is none
        rest = json.get(start + length..).unwrap_or_default();
    }
    mended.map(|text| text + &json[kept..])
}

/// The UTF-16 unit that the text begins with, if it is one by its number.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_are_replaced_and_whole_characters_stay() {
        for (json, expected) in [
            (r#""a\ud83d""#, Some(r#""a\ufffd""#)),
            (r#""\ude00b""#, Some(r#""\ufffdb""#)),
            (r#""\ud83dA\ude00""#, Some(r#""\ufffdA\ufffd""#)),
            (r#""\uD83D\uD83D\uDE00""#, Some(r#""\ufffd\uD83D\uDE00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d\\""#, Some(r#""\\\ufffd\\""#)),
            (r#""\n\u00e9é""#, None),
        ] {
            assert_eq!(mended(json).as_deref(), expected, "{json}");
            let text = expected.unwrap_or(json);
            assert!(serde_json::from_str::<String>(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_string_can_be_read_afterwards(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escaped: Vec<_> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{}\"", escaped.concat());
            let text = mended(&json).unwrap_or(json);
            let read: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn what_is_no_json_does_no_harm(text in "\\PC{0,40}") {
            mended(&text);
        }
    }
}
