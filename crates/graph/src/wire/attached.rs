//! An attachment as a list of Graph's shows it (learn.microsoft.com, attachment resource).
//!
//! A list is not given up for one entry: what cannot be read of it is left out.

use std::collections::BTreeMap;

use mailbridge_core::contract::{AttachmentKind, EventAttachment};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::surrogates::mended;

/// Reads an entry; nothing, if it has no id, since nothing could be asked of it.
pub(crate) fn attachment(json: &RawValue) -> Option<EventAttachment> {
    let whole = mended(json.get());
    let text = whole.as_deref().unwrap_or(json.get());
    let all: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let kind = read::<String>(&all, "@odata.type").unwrap_or_default().to_ascii_lowercase();
    let kind = match kind.rsplit('.').next() {
        Some("itemattachment") => AttachmentKind::Item,
        Some("referenceattachment") => AttachmentKind::Reference,
        _ => AttachmentKind::File,
    };
    Some(EventAttachment {
        id: read::<String>(&all, "id").filter(|id| !id.is_empty())?,
        kind,
        name: read(&all, "name"),
        content_type: read(&all, "contentType"),
        size: read(&all, "size").unwrap_or_default(),
        is_inline: read(&all, "isInline").unwrap_or_default(),
        content: None,
    })
}

fn read<T: DeserializeOwned>(all: &BTreeMap<String, &RawValue>, name: &str) -> Option<T> {
    serde_json::from_str::<Option<T>>(all.get(name)?.get()).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<EventAttachment> {
        attachment(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn each_kind() {
        for (name, kind) in [
            ("#microsoft.graph.fileAttachment", AttachmentKind::File),
            ("#microsoft.graph.itemAttachment", AttachmentKind::Item),
            ("#Microsoft.Graph.ReferenceAttachment", AttachmentKind::Reference),
        ] {
            let json = format!(
                r#"{{"@odata.type":"{name}","id":"a1","name":"x.pdf","contentType":null,
                   "size":3640066,"isInline":true}}"#
            );
            let expected = EventAttachment {
                id: "a1".to_owned(),
                kind,
                name: Some("x.pdf".to_owned()),
                content_type: None,
                size: 3_640_066,
                is_inline: true,
                content: None,
            };
            assert_eq!(of(&json), Some(expected));
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let odd = of(r#"{"id":"a1","name":"half \ud83d","size":-1,"isInline":"yes"}"#).unwrap();
        assert_eq!(
            (odd.name.as_deref(), odd.size, odd.is_inline),
            (Some("half \u{fffd}"), 0, false)
        );
        for none in ["5", "{}", r#"{"id":5}"#, r#"{"id":""}"#] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
