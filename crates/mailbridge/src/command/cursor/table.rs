//! Folders, for people and for programs.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::kept::Folder;

/// What is told of a folder.
#[derive(Serialize)]
pub struct Row {
    pipeline: String,
    mailbox: String,
    folder: String,
    /// `first`, `steady`, `again`, `skimming` or `unreadable`.
    reading: &'static str,
    /// Messages told, in all.
    told: u64,
    /// Messages that are known by their ids.
    known: usize,
    /// When it was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_at: Option<Timestamp>,
    /// Messages that were received earlier do not exist for the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Why it is unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Row {
    /// Of what is kept.
    pub fn of(pipeline: &str, folder: &Folder) -> Self {
        let pipeline = pipeline.to_owned();
        match &folder.record {
            Ok(record) => Self {
                pipeline,
                mailbox: record.mailbox.as_str().to_owned(),
                folder: record.folder.path.clone(),
                reading: record.reading(),
                told: record.told,
                known: record.known(),
                saved_at: Some(record.saved_at),
                since: record.since,
                error: None,
            },
            Err(error) => Self {
                pipeline,
                mailbox: "?".to_owned(),
                folder: folder.key.clone(),
                reading: "unreadable",
                told: 0,
                known: 0,
                saved_at: None,
                since: None,
                error: Some(error.to_string()),
            },
        }
    }

    fn cells(&self) -> [String; 6] {
        let saved = self.saved_at.map(|at| format!("{at:.0}")).unwrap_or_default();
        [
            self.pipeline.clone(),
            self.mailbox.clone(),
            self.folder.clone(),
            self.reading.to_owned(),
            self.told.to_string(),
            saved,
        ]
    }
}

/// One JSON array.
pub fn json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).unwrap_or_default()
}

/// A table.
pub fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing is kept yet\n".to_owned();
    }
    let head = ["PIPELINE", "MAILBOX", "FOLDER", "READING", "TOLD", "SAVED"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // writing to a string cannot fail
            write!(shown, "{cell:<width$}  ").ok();
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let row = |mailbox: &str, told| Row {
            pipeline: "support".to_owned(),
            mailbox: mailbox.to_owned(),
            folder: "inbox".to_owned(),
            reading: "steady",
            told,
            known: 3,
            saved_at: Some("2026-11-01T10:00:00.123Z".parse().unwrap()),
            since: None,
            error: None,
        };
        let wanted = "\
PIPELINE  MAILBOX       FOLDER  READING  TOLD  SAVED
support   a@x.org       inbox   steady   7     2026-11-01T10:00:00Z
support   longer@x.org  inbox   steady   1234  2026-11-01T10:00:00Z
";
        assert_eq!(text(&[row("a@x.org", 7), row("longer@x.org", 1234)]), wanted);
        assert_eq!(text(&[]), "nothing is kept yet\n");
    }
}
