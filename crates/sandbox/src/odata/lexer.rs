//! The words of a `$filter`.

use jiff::Timestamp;

use crate::error::GraphError;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A property path, a keyword, an operator or a function name
    Name(String),
    Text(String),
    Number(f64),
    Time(Timestamp),
    Open,
    Close,
    Colon,
    Comma,
}

pub fn tokens(text: &str) -> Result<Vec<Token>, GraphError> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, tail) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            ':' => (Token::Colon, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '\'' => quoted(&rest[1..], text)?,
            _ => word(rest, text)?,
        };
        out.push(token);
        rest = tail.trim_start();
    }
    Ok(out)
}

/// A literal whose quotes are doubled inside.
fn quoted<'a>(rest: &'a str, all: &str) -> Result<(Token, &'a str), GraphError> {
    let mut out = String::new();
    let mut rest = rest;
    loop {
        let end = rest.find('\'').ok_or_else(|| {
            GraphError::invalid_filter(format!(
                "There is an unterminated string literal at position {} in '{all}'.",
                all.len()
            ))
        })?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(tail) => {
                out.push('\'');
                rest = tail;
            }
            None => return Ok((Token::Text(out), rest)),
        }
    }
}

fn word<'a>(rest: &'a str, all: &str) -> Result<(Token, &'a str), GraphError> {
    let starts_with_digit = rest.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let part = |c: char| {
        c.is_alphanumeric() || "_/.$-@".contains(c) || (starts_with_digit && "+:".contains(c))
    };
    let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    if word.is_empty() {
        return Err(GraphError::invalid_filter(format!("Syntax error in '{all}'.")));
    }
    if !starts_with_digit {
        return Ok((Token::Name(word.to_owned()), tail));
    }
    if let Ok(number) = word.parse() {
        return Ok((Token::Number(number), tail));
    }
    // a bare date is midnight UTC
    let time = word.parse().or_else(|_| format!("{word}T00:00:00Z").parse());
    let time = time.map_err(|_| {
        GraphError::invalid_filter(format!("Unrecognized literal '{word}' in '{all}'."))
    })?;
    Ok((Token::Time(time), tail))
}
