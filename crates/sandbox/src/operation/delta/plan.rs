//! The options of a delta query: taken with the first request, kept in its links.
//!
//! Fewer than a list has, and each with a trap (learn.microsoft.com/graph/api/message-delta).

use jiff::Timestamp;

use crate::error::GraphError;
use crate::mailbox::log::Tale;
use crate::odata::query::Query;
use crate::text::{form_decode, percent_encode};

/// At most so many messages come through a filter (message-delta, "Optional query parameters").
const FILTERED_LIMIT: usize = 5_000;

/// Which changes are asked for with `changeType`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Changes {
    All,
    Created,
    Updated,
    Deleted,
}

/// A delta query, understood.
#[derive(Debug)]
pub struct Plan {
    pub query: Query,
    changes: Changes,
    /// Lower bound of the time of receipt, and whether it is outside
    since: Option<(Timestamp, bool)>,
    pub descending: bool,
}

/// The token in a query string, and the rest of it. An empty token begins anew.
pub struct Options {
    pub token: Option<String>,
    pub rest: String,
}

impl Options {
    pub fn read(raw: &str) -> Result<Self, GraphError> {
        let (mut token, mut rest) = (None, Vec::new());
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match plain(name)?.as_str() {
                "skiptoken" | "deltatoken" => token = form_decode(value),
                _ => rest.push(part),
            }
        }
        let token = token.filter(|token| !token.is_empty());
        if token.is_some() && !rest.is_empty() {
            return Err(GraphError::bad_request(
                "Query options are taken with the first request of a delta query only; they are \
                 encoded in its links.",
            ));
        }
        Ok(Self { token, rest: rest.join("&") })
    }
}

/// The name of an option without its dollar sign and without case.
fn plain(name: &str) -> Result<String, GraphError> {
    let name = form_decode(name)
        .ok_or_else(|| GraphError::bad_request("The query string could not be decoded."))?;
    Ok(name.strip_prefix('$').unwrap_or(&name).to_ascii_lowercase())
}

impl Plan {
    pub fn read(options: &str, type_name: &str) -> Result<Self, GraphError> {
        let (mut changes, mut rest) = (Changes::All, Vec::new());
        for part in options.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match plain(name)?.as_str() {
                "changetype" => changes = read_changes(value)?,
                "select" | "top" | "expand" | "filter" | "orderby" => rest.push(part),
                _ => return Err(GraphError::invalid_option(name)),
            }
        }
        let query = Query::parse(&rest.join("&"), type_name)?;
        let since = query.filter.as_ref().map(|filter| {
            let bound = filter.lower_bound("receivedDateTime");
            bound.ok_or_else(GraphError::inefficient_filter)
        });
        let descending = match query.order.as_slice() {
            [] => false,
            [(name, true)] if name == "receivedDateTime" => true,
            _ => return Err(GraphError::inefficient_filter()),
        };
        Ok(Self { since: since.transpose()?, query, changes, descending })
    }

    /// How many items the first round has at most. `$top` ends the round instead of the page
    /// (github.com/microsoftgraph/microsoft-graph-docs-contrib issue 7946): a trap.
    pub fn limit(&self) -> Option<usize> {
        let filtered = self.since.map(|_| FILTERED_LIMIT);
        self.query.top.into_iter().chain(filtered).min()
    }

    /// Whether the first round goes by the time of receipt.
    pub fn by_time(&self) -> bool {
        self.descending || self.since.is_some()
    }

    pub fn since(&self) -> Option<Timestamp> {
        self.since.map(|(since, _)| since)
    }

    pub fn wants(&self, tale: &Tale) -> bool {
        let kind = match tale {
            Tale::New(_) => Changes::Created,
            Tale::Changed(..) => Changes::Updated,
            Tale::Left(_) => Changes::Deleted,
        };
        let received = tale.known().received;
        let late_enough = self
            .since
            .is_none_or(|(since, outside)| received > since || (received == since && !outside));
        late_enough && (self.changes == Changes::All || self.changes == kind)
    }
}

fn read_changes(value: &str) -> Result<Changes, GraphError> {
    match form_decode(value).unwrap_or_default().to_ascii_lowercase().as_str() {
        "created" => Ok(Changes::Created),
        "updated" => Ok(Changes::Updated),
        "deleted" => Ok(Changes::Deleted),
        _ => Err(GraphError::bad_request(format!(
            "Invalid value '{}' for changeType: expected created, updated or deleted.",
            percent_encode(value)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_delta_knows_is_taken() {
        let plan = |options: &str| Plan::read(options, "message");
        let since = "$filter=receivedDateTime%20ge%202026-01-01T00:00:00Z";
        let all = format!("$select=subject&{since}&$orderby=receivedDateTime%20desc");
        assert!(plan(&all).unwrap().descending);
        assert_eq!(plan(since).unwrap().limit(), Some(FILTERED_LIMIT));
        assert_eq!(plan("$top=2").unwrap().limit(), Some(2));
        assert_eq!(plan("changeType=created").unwrap().limit(), None);
        for bad in [
            "$filter=isRead%20eq%20false",
            "$filter=receivedDateTime%20le%202026-01-01T00:00:00Z",
            "$orderby=receivedDateTime",
            "$orderby=subject%20desc",
            "$search=x",
            "$skip=2",
            "$count=true",
            "changeType=moved",
        ] {
            assert!(plan(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_stands_alone() {
        assert!(Options::read("$deltatoken=x&$select=id").is_err());
        let options = Options::read("$select=id&$deltatoken=").unwrap();
        assert_eq!((options.token, options.rest.as_str()), (None, "$select=id"));
        let options = Options::read("%24skiptoken=a%2Bb").unwrap();
        assert_eq!(options.token.as_deref(), Some("a+b"));
    }
}
