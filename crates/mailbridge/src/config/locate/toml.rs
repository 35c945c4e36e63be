//! Lines of TOML. Its parser refuses a key that is given twice by itself.

use std::ops::Range;

use toml_edit::{ImDocument, Item, TableLike, Value};

use super::{Lines, Trouble};

/// The line of every key, or why the text cannot be read.
pub fn locate(text: &str) -> Result<Lines, Vec<Trouble>> {
    let line_of = |span: Range<usize>| 1 + text[..span.start].matches('\n').count();
    let document = ImDocument::parse(text).map_err(|error| {
        let line = error.span().map_or(1, line_of);
        // only its first line: it may go on with what stands in the file
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        vec![Trouble { line, key: Vec::new(), message }]
    })?;
    let mut walk = Walk { line_of: &line_of, lines: Lines::new(), path: Vec::new() };
    walk.table(document.as_table());
    Ok(walk.lines)
}

struct Walk<'a> {
    line_of: &'a dyn Fn(Range<usize>) -> usize,
    lines: Lines,
    path: Vec<String>,
}

impl Walk<'_> {
    fn table(&mut self, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = table.get_key_value(name).and_then(|(key, _)| key.span());
            self.entry(name.to_owned(), key.or_else(|| item.span()), |walk| walk.item(item));
        }
    }

    fn item(&mut self, item: &Item) {
        if let Some(table) = item.as_table_like() {
            self.table(table);
        } else if let Some(tables) = item.as_array_of_tables() {
            for (index, table) in tables.iter().enumerate() {
                self.entry(index.to_string(), table.span(), |walk| walk.table(table));
            }
        } else if let Some(value) = item.as_value() {
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::InlineTable(table) => self.table(table),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.entry(index.to_string(), item.span(), |walk| walk.value(item));
                }
            }
            _ => {}
        }
    }

    fn entry(&mut self, name: String, span: Option<Range<usize>>, inside: impl FnOnce(&mut Self)) {
        self.path.push(name);
        if let Some(span) = span {
            self.lines.insert(self.path.clone(), (self.line_of)(span));
        }
        inside(self);
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_item_has_its_line() {
        let text = "top = 1\n[a]\nb = 1\nc = [\n  'x',\n  { y = 2 },\n]\n\n[d.e]\nf.g = 3\n";
        let lines = locate(text).unwrap();
        let wanted = [("top", 1), ("a.b", 3), ("a.c", 4), ("a.c.1.y", 6), ("d.e.f.g", 10)];
        for (key, line) in wanted {
            let path: Vec<_> = key.split('.').map(str::to_owned).collect();
            assert_eq!(lines.get(&path), Some(&line), "{key}");
        }
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line_and_without_its_values() {
        for text in ["a = 1\na = 2\n", "a = 1\nb = \"hunter2\n"] {
            let troubles = locate(text).unwrap_err();
            assert_eq!(troubles[0].line, 2, "{troubles:?}");
            assert!(!troubles[0].message.contains("hunter2"), "{troubles:?}");
        }
    }
}
