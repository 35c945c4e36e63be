//! `Prefer` headers: which the mail API honours, and how it says so.

use axum::http::HeaderMap;

use crate::mailbox::ids::Format;

/// What the client prefers. Unknown preferences are ignored, as RFC 7240 asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preferences {
    pub ids: Format,
    pub body: Option<BodyPreference>,
    pub page_size: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyPreference {
    Text,
    Html,
}

impl Preferences {
    /// Several preferences may stand in one header or in several.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut out = Self { ids: Format::Default, body: None, page_size: None };
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for part in values.flat_map(|value| value.split(',')) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            match (name.trim().to_ascii_lowercase().as_str(), value.as_str()) {
                ("idtype", "immutableid") => out.ids = Format::Immutable,
                ("outlook.body-content-type", "text") => out.body = Some(BodyPreference::Text),
                ("outlook.body-content-type", "html") => out.body = Some(BodyPreference::Html),
                ("odata.maxpagesize", size) => out.page_size = size.parse().ok().filter(|n| *n > 0),
                _ => {}
            }
        }
        out
    }

    /// The values of `Preference-Applied`, if any.
    pub fn applied(&self) -> Option<String> {
        let mut out = Vec::new();
        if self.ids == Format::Immutable {
            out.push("IdType=\"ImmutableId\"".to_owned());
        }
        match self.body {
            Some(BodyPreference::Text) => out.push("outlook.body-content-type=\"text\"".to_owned()),
            Some(BodyPreference::Html) => out.push("outlook.body-content-type=\"html\"".to_owned()),
            None => {}
        }
        if let Some(size) = self.page_size {
            out.push(format!("odata.maxpagesize={size}"));
        }
        (!out.is_empty()).then(|| out.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_come_together_or_apart() {
        let mut headers = HeaderMap::new();
        headers.append("prefer", "IdType=\"ImmutableId\", odata.maxpagesize=2".parse().unwrap());
        headers.append("prefer", "outlook.body-content-type=\"text\"".parse().unwrap());
        headers.append("prefer", "something=else".parse().unwrap());
        let read = Preferences::read(&headers);
        assert_eq!((read.ids, read.page_size), (Format::Immutable, Some(2)));
        assert_eq!(read.body, Some(BodyPreference::Text));
        assert!(read.applied().unwrap().starts_with("IdType=\"ImmutableId\", outlook"));
        assert_eq!(Preferences::read(&HeaderMap::new()).applied(), None);
    }
}
