//! Lines of YAML, and of JSON, which is YAML written in its flow style.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, Span, SpannedEventReceiver};

use super::{Lines, Trouble};

/// The line of every key, and everything that keeps the text from being read.
pub fn locate(text: &str) -> Result<Lines, Vec<Trouble>> {
    let mut walk = Walk::default();
    if let Err(error) = Parser::new_from_str(text).load(&mut walk, true) {
        let message = format!("this is not valid here: {}", error.info());
        walk.troubles.push(Trouble { line: error.marker().line(), key: walk.path, message });
    }
    if walk.troubles.is_empty() { Ok(walk.lines) } else { Err(walk.troubles) }
}

/// Follows the parser's events, keeping the path to where it is.
#[derive(Default)]
struct Walk {
    lines: Lines,
    troubles: Vec<Trouble>,
    frames: Vec<Frame>,
    path: Vec<String>,
    documents: usize,
}

enum Frame {
    /// A mapping: its keys so far, and whether the value of the last one is still to come.
    Mapping { keys: BTreeMap<String, usize>, in_value: bool },
    /// A sequence: how many items it has so far.
    Sequence { items: usize },
}

impl SpannedEventReceiver<'_> for Walk {
    fn on_event(&mut self, event: Event<'_>, span: Span) {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => self.document(line),
            Event::Scalar(text, ..) if self.awaits_key() => self.key(text.into_owned(), line),
            Event::MappingStart(..) | Event::SequenceStart(..) | Event::Alias(_)
                if self.awaits_key() =>
            {
                self.trouble(line, "a key must be plain text");
                // Taken as a key without a name, so that the walk stays in step.
                if matches!(event, Event::Alias(_)) {
                    self.key(String::new(), line);
                } else {
                    self.open(&event, line);
                }
            }
            Event::Scalar(..) | Event::Alias(_) => {
                self.begin_value(line);
                self.end_value();
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => self.open(&event, line),
            Event::MappingEnd | Event::SequenceEnd => {
                self.frames.pop();
                self.end_value();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
}

impl Walk {
    fn document(&mut self, line: usize) {
        self.documents += 1;
        if self.documents > 1 {
            self.trouble(line, "a configuration is one document; remove the `---` in the middle");
        }
    }

    fn trouble(&mut self, line: usize, message: &str) {
        let (key, message) = (self.path.clone(), message.to_owned());
        self.troubles.push(Trouble { line, key, message });
    }

    fn awaits_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Mapping { in_value: false, .. }))
    }

    fn key(&mut self, text: String, line: usize) {
        self.path.push(text.clone());
        let Some(Frame::Mapping { keys, in_value }) = self.frames.last_mut() else { return };
        *in_value = true;
        if let Some(first) = keys.insert(text, line) {
            self.troubles.push(Trouble::twice(first, line, self.path.clone()));
        }
        self.lines.insert(self.path.clone(), line);
    }

    fn open(&mut self, event: &Event<'_>, line: usize) {
        self.begin_value(line);
        self.frames.push(match event {
            Event::SequenceStart(..) => Frame::Sequence { items: 0 },
            _ => Frame::Mapping { keys: BTreeMap::new(), in_value: false },
        });
    }

    /// An item of a sequence is a key too: its index.
    fn begin_value(&mut self, line: usize) {
        if let Some(Frame::Sequence { items }) = self.frames.last_mut() {
            self.path.push(items.to_string());
            *items += 1;
            self.lines.insert(self.path.clone(), line);
        }
    }

    fn end_value(&mut self) {
        if let Some(Frame::Mapping { in_value, .. }) = self.frames.last_mut() {
            *in_value = false;
        }
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn every_key_and_item_has_its_line() {
        let text =
            "a:\n  b: 1\n  c:\n    - x\n    - { y: 2,\n        z: 3 }\nd: &t [1, 2]\ne: *t\n";
        let lines = locate(text).unwrap();
        let wanted = [("a", 1), ("a.b", 2), ("a.c", 3), ("a.c.0", 4), ("a.c.1.y", 5)];
        for (key, line) in wanted.into_iter().chain([("a.c.1.z", 6), ("d.1", 7), ("e", 8)]) {
            assert_eq!(lines.get(&path(key)), Some(&line), "{key}");
        }
    }

    #[test]
    fn json_is_read_too_with_tabs_and_escapes() {
        let lines = locate("{\n\t\"a\": {\n\t\t\"b\\\"c\": [1,\n\t\t\ttrue]\n\t}\n}\n").unwrap();
        assert_eq!(lines.get(&path("a")), Some(&2));
        assert_eq!(lines.get(&path("a.b\"c")), Some(&3));
        assert_eq!(lines.get(&path("a.b\"c.1")), Some(&4));
    }

    #[test]
    fn a_key_given_twice_is_refused_wherever_it_is() {
        let troubles = locate("a:\n  b: 1\n  'b': 2\nx: 1\na: 2\n").unwrap_err();
        let told: Vec<_> = troubles.iter().map(|it| (it.line, it.key.join("."))).collect();
        assert_eq!(told, [(3, "a.b".to_owned()), (5, "a".to_owned())]);
        assert!(troubles[0].message.ends_with("first in line 2"));
        assert!(locate("- { a: 1 }\n- { a: 1 }\n").is_ok(), "two mappings may use one key");
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: 1\nb: [1, 2\nc: 3\n", 2..=4), ("a: 1\n---\nb: 2\n", 2..=2)] {
            let troubles = locate(text).unwrap_err();
            assert!(line.contains(&troubles[0].line), "{text}: {troubles:?}");
        }
        assert_eq!(locate("? [a, b]\n: 1\n").unwrap_err()[0].message, "a key must be plain text");
    }
}
