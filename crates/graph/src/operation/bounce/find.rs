//! Listing reports in an inbox.
//!
//! A non-delivery report is known by its message class: `REPORT.IPM.Note.NDR`, and others that end the
//! same for signed and encrypted mails. Graph filters text by equality, beginning and containing
//! (learn.microsoft.com, singlevaluelegacyextendedproperty-get), so the end is looked at here.

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Report, Result};
use serde::Deserialize;

use super::{NOTE_PROPERTY, Property, value_of};
use crate::{
    http::{Body, Operation},
    operation::{Session, answer, segment},
};

/// Pages followed, newest first: beyond, reports are older than anybody waits for.
const PAGES_MAX: u32 = 40;
/// Mails that a report is taken to be about, at most.
const ABOUT_MAX: usize = 2;

/// The MAPI properties of a message's class, of what it answers, and of its thread.
const CLASS: &str = "String 0x001A";
const IN_REPLY_TO: &str = "String 0x1042";
const REFERENCES: &str = "String 0x1039";

#[derive(Deserialize)]
struct Page {
    value: Vec<Item>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    internet_message_id: Option<String>,
    received_date_time: Timestamp,
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
}

/// Reports that have arrived since and carry no note.
pub(super) async fn arrived(session: &Session<'_>, since: Timestamp) -> Result<Vec<Report>> {
    let mut body = session.call(Operation::FindReports, &query(since)?, Body::Empty).await?;
    let mut reports = Vec::new();
    for _ in 0..PAGES_MAX {
        let page: Page = answer(&body, "graph's answer to a search for reports cannot be read")?;
        reports.extend(page.value.into_iter().filter_map(report));
        let Some(link) = page.next_link else { break };
        session.deadline().progress();
        body = session.follow(Operation::FindReports, &link).await?;
    }
    Ok(reports)
}

/// The property that leads the filter is the one that Graph has an index of.
fn query(since: Timestamp) -> Result<String> {
    let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
    let filter = format!(
        "receivedDateTime ge {since} and singleValueExtendedProperties/Any(ep: \
         ep/id eq '{CLASS}' and contains(ep/value,'.NDR'))"
    );
    let wanted = [CLASS, IN_REPLY_TO, REFERENCES, NOTE_PROPERTY].map(|id| format!("id eq '{id}'"));
    let expand = format!("singleValueExtendedProperties($filter={})", wanted.join(" or "));
    let (filter, expand) = segment(&filter).zip(segment(&expand)).ok_or_else(|| {
        Error::permanent(Code::Internal, "a filter for reports cannot be written")
    })?;
    Ok(format!(
        "/mailFolders/inbox/messages?$filter={filter}&$expand={expand}\
         &$select=id,internetMessageId,receivedDateTime&$top=100"
    ))
}

fn report(item: Item) -> Option<Report> {
    let of = |id| value_of(&item.single_value_extended_properties, id);
    let class = of(CLASS)?.to_ascii_uppercase();
    let is_failure = class.starts_with("REPORT.") && class.rsplit('.').next() == Some("NDR");
    if !is_failure || of(NOTE_PROPERTY).is_some() {
        return None;
    }
    // the mail itself is the last of its thread
    let thread = of(REFERENCES).unwrap_or_default();
    let ids = [of(IN_REPLY_TO), thread.split_ascii_whitespace().next_back()];
    let mut about: Vec<String> = Vec::with_capacity(ABOUT_MAX);
    for id in ids.into_iter().flatten().map(str::trim).filter(|id| !id.is_empty()) {
        if !about.iter().any(|known| known == id) {
            about.push(id.to_owned());
        }
    }
    let message_id = item.internet_message_id.unwrap_or_else(|| item.id.clone());
    Some(Report { id: item.id, message_id, received: item.received_date_time, about })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(properties: &[(&str, &str)]) -> Option<Report> {
        let properties: Vec<_> =
            properties.iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
        let item = json!({
            "id": "i", "internetMessageId": "<r>", "receivedDateTime": "2026-01-01T00:00:00Z",
            "singleValueExtendedProperties": properties,
        });
        report(serde_json::from_value(item).unwrap())
    }

    #[test]
    fn a_report_is_known_by_its_class_and_is_about_what_it_answers() {
        let class = ("String 0x1a", "REPORT.IPM.Note.NDR");
        let found = read(&[class, ("String 0x1042", "<a>"), ("String 0x1039", "<0> <1> <b>")]);
        assert_eq!(found.unwrap().about, ["<a>", "<b>"]);
        assert_eq!(read(&[class, ("String 0x1039", "<a>")]).unwrap().about, ["<a>"]);
        assert!(read(&[class]).unwrap().about.is_empty());
        assert!(read(&[("String 0x1a", "REPORT.IPM.Note.SMIME.NDR")]).is_some());
        for other in ["REPORT.IPM.Note.DR", "IPM.Note", "IPM.NDR", "REPORT.IPM.Note.NDR.Mine"] {
            assert_eq!(read(&[("String 0x1a", other)]), None, "{other}");
        }
        assert_eq!(read(&[class, (NOTE_PROPERTY, "1")]), None);
        assert_eq!(read(&[]), None);
    }
}
