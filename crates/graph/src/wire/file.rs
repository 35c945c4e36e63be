//! A file as Graph's JSON: inside a message, as an attachment on its own, and as what an upload
//! session is opened for (learn.microsoft.com, fileattachment, attachment-createuploadsession).

use std::borrow::Cow;

use mailbridge_core::Result;
#[cfg(test)]
use mailbridge_core::contract::{Attachment, Content};
use serde::{Serialize, Serializer};

use super::message::{is_false, unwritable};

/// A file that goes whole, in base64.
pub(crate) struct Embedded<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) content_type: Cow<'a, str>,
    /// Makes it an inline image.
    pub(crate) content_id: Option<Cow<'a, str>>,
    pub(crate) base64: Cow<'a, str>,
}

/// The media type of a file of which nobody says one.
pub(crate) const UNKNOWN_TYPE: &str = "application/octet-stream";

impl Embedded<'_> {
    /// The body that adds it to a draft.
    pub(crate) fn attachment(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.base64.len() + 512);
        serde_json::to_writer(&mut bytes, self).map_err(|_| unwritable())?;
        Ok(bytes)
    }
}

#[cfg(test)]
impl<'a> Embedded<'a> {
    /// A file whose bytes are in its request; nothing, if they are elsewhere.
    pub(crate) fn of_inline(file: &'a Attachment) -> Option<Self> {
        let Content::Inline(base64) = &file.content else { return None };
        Some(Self {
            name: Cow::Borrowed(&file.name),
            content_type: Cow::Borrowed(file.content_type.as_deref().unwrap_or(UNKNOWN_TYPE)),
            content_id: file.content_id.as_deref().map(Cow::Borrowed),
            base64: Cow::Borrowed(base64),
        })
    }
}

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct File<'a> {
            #[serde(rename = "@odata.type")]
            odata_type: &'static str,
            name: &'a str,
            content_type: &'a str,
            content_bytes: &'a str,
            #[serde(skip_serializing_if = "is_false")]
            is_inline: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            content_id: Option<&'a str>,
        }
        File {
            odata_type: "#microsoft.graph.fileAttachment",
            name: &self.name,
            content_type: &self.content_type,
            content_bytes: &self.base64,
            is_inline: self.content_id.is_some(),
            content_id: self.content_id.as_deref(),
        }
        .serialize(serializer)
    }
}

/// The files inside a message.
pub(super) struct Files<'a>(pub(super) &'a [Embedded<'a>]);

impl Files<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

/// The body that opens an upload session for a file of so many bytes.
pub(crate) fn upload_session(
    name: &str,
    content_type: &str,
    content_id: Option<&str>,
    bytes: u64,
) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Item<'a> {
        attachment_type: &'static str,
        name: &'a str,
        size: u64,
        content_type: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        is_inline: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_id: Option<&'a str>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Session<'a> {
        attachment_item: Item<'a>,
    }
    let attachment_item = Item {
        attachment_type: "file",
        name,
        size: bytes,
        content_type,
        is_inline: content_id.is_some(),
        content_id,
    };
    serde_json::to_vec(&Session { attachment_item }).map_err(|_| unwritable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_session_is_for_a_name_a_type_and_a_size() {
        let body = upload_session("Größe.pdf", "application/pdf", Some("c1"), 7).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"AttachmentItem":{"attachmentType":"file","name":"Größe.pdf","size":7,"#.to_owned()
                + r#""contentType":"application/pdf","isInline":true,"contentId":"c1"}}"#
        );
    }
}
