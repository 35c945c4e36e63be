//! Fields of one line: a subject, a header's value, a file's name.
//!
//! Whoever writes a template may break its lines as he likes; a line break that comes from the event
//! is refused, since behind one a header of somebody's own would begin.

use mailbridge_core::{Error, Result};

use crate::{error::refused, template::Piece};

/// The line: blanks and breaks of the template are one blank, and none stand at the ends.
pub(crate) fn line(field: &str, pieces: &[Piece<'_>]) -> Result<String> {
    let mut line = String::new();
    for piece in pieces {
        push(&mut line, field, piece)?;
    }
    line.truncate(line.trim_end().len());
    Ok(line.trim_start().to_owned())
}

/// Adds a piece of a line.
pub(crate) fn push(line: &mut String, field: &str, piece: &Piece<'_>) -> Result<()> {
    if !piece.literal {
        if piece.text.chars().any(char::is_control) {
            return Err(broken(field));
        }
        line.push_str(piece.text);
        return Ok(());
    }
    for (index, word) in piece.text.split(char::is_whitespace).enumerate() {
        if index > 0 && !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(word);
    }
    Ok(())
}

pub(crate) fn broken(field: &str) -> Error {
    refused(field, "the event puts a line break, or another control character, into one line")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'a>(pieces: &[(&'a str, bool)]) -> Vec<Piece<'a>> {
        pieces.iter().map(|&(text, literal)| Piece { text, literal }).collect()
    }

    #[test]
    fn a_template_may_break_its_lines_and_an_event_may_not() {
        let told =
            line("subject", &pieces(&[("\n  Order\n ", true), (" 7  8", false), (" \n", true)]));
        assert_eq!(told.unwrap(), "Order  7  8");
        for bad in ["a\nb", "a\r", "\0", "a\tb", "\u{85}"] {
            let error = line("subject", &pieces(&[("x", true), (bad, false)])).unwrap_err();
            assert_eq!(error.field("field"), Some("subject"), "{bad:?}");
        }
    }
}
