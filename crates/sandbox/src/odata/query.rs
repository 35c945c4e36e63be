//! The system query options of a request: `$filter`, `$select`, `$top` and their like.
//!
//! An option that the sandbox does not know is refused, never ignored: a client must not believe
//! that it worked. Paging is by `$skiptoken`, which only the sandbox makes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::filter::Filter;
use crate::dice::hash;
use crate::error::GraphError;
use crate::metadata;
use crate::text::{pairs, percent_encode};

/// The options of one request, checked against the type it is about.
#[derive(Debug, Default)]
pub struct Query {
    pub filter: Option<Filter>,
    pub select: Option<Vec<String>>,
    pub top: Option<usize>,
    pub skip: usize,
    /// Property and whether it descends
    pub order: Vec<(String, bool)>,
    pub expand: Vec<Expand>,
    pub count: bool,
    pub include_hidden: bool,
    /// The options without those that say where the page begins
    base: Vec<(String, String)>,
}

/// One expanded navigation.
#[derive(Debug)]
pub struct Expand {
    pub navigation: String,
    pub filter: Option<Filter>,
    pub select: Option<Vec<String>>,
}

const LARGEST_PAGE: usize = 1000;

impl Query {
    /// Reads the raw query string of a request for resources of a type.
    pub fn parse(raw: &str, type_name: &str) -> Result<Self, GraphError> {
        let options = pairs(raw)
            .ok_or_else(|| GraphError::bad_request("The query string could not be decoded."))?;
        let mut query = Self::default();
        let mut token = None;
        for (name, value) in options {
            // the dollar sign may be left out: OData 4.01
            match name.strip_prefix('$').unwrap_or(&name).to_ascii_lowercase().as_str() {
                "filter" => query.filter = Some(Filter::parse(&value, type_name)?),
                "select" => query.select = Some(names(&value, type_name)?),
                "top" => query.top = Some(page_size(&value)?),
                "skip" => query.skip = number("$skip", &value)?,
                "skiptoken" => token = Some(value.clone()),
                "orderby" => query.order = order(&value, type_name)?,
                "expand" => query.expand = expand(&value, type_name)?,
                "count" => query.count = boolean(&value)?,
                "includehiddenfolders" => query.include_hidden = boolean(&value)?,
                _ => return Err(GraphError::invalid_option(&name)),
            }
            if !["$skip", "skip", "$skiptoken", "skiptoken"].contains(&name.as_str()) {
                query.base.push((name, value));
            }
        }
        if let Some(token) = token {
            query.skip = query.open(&token)?;
        }
        query.check_order()?;
        Ok(query)
    }

    /// `$orderby` with `$filter`: the sort properties must lead the filter, in the same order
    /// (learn.microsoft.com/graph/api/user-list-messages).
    fn check_order(&self) -> Result<(), GraphError> {
        let Some(filter) = &self.filter else { return Ok(()) };
        let filtered = filter.properties();
        let leads = self
            .order
            .iter()
            .map(|(name, _)| name.as_str())
            .eq(filtered.iter().copied().take(self.order.len()));
        if leads { Ok(()) } else { Err(GraphError::inefficient_filter()) }
    }

    pub fn selects(&self, property: &str) -> bool {
        self.select.as_ref().is_none_or(|names| names.iter().any(|name| name == property))
    }

    pub fn expands(&self, navigation: &str) -> Option<&Expand> {
        self.expand.iter().find(|expand| expand.navigation == navigation)
    }

    /// The same request for the page that begins at `skip`. Opaque: the token fits these options
    /// only.
    pub fn next_link(&self, url: &str, skip: usize) -> String {
        let body = format!("{skip}.{:x}", self.mark());
        let token = URL_SAFE_NO_PAD.encode(body);
        let mut link = format!("{url}?");
        for (name, value) in &self.base {
            link.push_str(&percent_encode(name).replacen("%24", "$", 1));
            link.push('=');
            link.push_str(&percent_encode(value));
            link.push('&');
        }
        link + "$skiptoken=" + &token
    }

    fn open(&self, token: &str) -> Result<usize, GraphError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let body = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let mark = format!("{:x}", self.mark());
        body.split_once('.')
            .filter(|(_, found)| *found == mark)
            .and_then(|(skip, _)| skip.parse().ok())
            .ok_or_else(|| GraphError::bad_request("The specified skip token is invalid."))
    }

    fn mark(&self) -> u64 {
        self.base
            .iter()
            .fold(0, |mark, (name, value)| hash(hash(mark, name.as_bytes()), value.as_bytes()))
    }
}

fn number(name: &str, value: &str) -> Result<usize, GraphError> {
    value.parse().map_err(|_| {
        GraphError::bad_request(format!("Invalid value '{value}' for {name} query option found."))
    })
}

fn page_size(value: &str) -> Result<usize, GraphError> {
    let size = number("$top", value)?;
    if (1..=LARGEST_PAGE).contains(&size) {
        return Ok(size);
    }
    Err(GraphError::bad_request(format!(
        "Invalid page size specified: '{size}'. Must be between 1 and {LARGEST_PAGE} inclusive."
    )))
}

fn boolean(value: &str) -> Result<bool, GraphError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(GraphError::bad_request(format!("Invalid value '{value}' for $count."))),
    }
}

/// Property names, checked.
fn names(value: &str, type_name: &str) -> Result<Vec<String>, GraphError> {
    let known = |name: &str| {
        if name == "*" || metadata::has_property(type_name, name) {
            return Ok(name.to_owned());
        }
        Err(GraphError::unknown_property_in_query(name, type_name))
    };
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(known).collect()
}

fn order(value: &str, type_name: &str) -> Result<Vec<(String, bool)>, GraphError> {
    let one = |part: &str| {
        let mut words = part.split_whitespace();
        let path = words.next().unwrap_or_default();
        let first = path.split('/').next().unwrap_or_default();
        if !metadata::has_property(type_name, first) {
            return Err(GraphError::unknown_property_in_query(first, type_name));
        }
        match words.next() {
            None | Some("asc") => Ok((path.to_owned(), false)),
            Some("desc") => Ok((path.to_owned(), true)),
            Some(_) => Err(GraphError::invalid_filter(format!("Syntax error in '{value}'."))),
        }
    };
    value.split(',').map(one).collect()
}

/// `attachments,singleValueExtendedProperties($filter=id eq '..')`.
fn expand(value: &str, type_name: &str) -> Result<Vec<Expand>, GraphError> {
    split(value, ',').into_iter().map(|part| expand_one(part.trim(), type_name)).collect()
}

fn expand_one(part: &str, type_name: &str) -> Result<Expand, GraphError> {
    let (navigation, options) = match part.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.strip_suffix(')').unwrap_or(rest)),
        None => (part, ""),
    };
    // the type may be narrowed first: microsoft.graph.itemAttachment/item
    let (type_name, navigation) = navigation
        .split_once('/')
        .and_then(|(cast, rest)| Some((metadata::named(cast)?, rest)))
        .unwrap_or((type_name, navigation));
    let member = metadata::navigation_type(type_name, navigation)
        .ok_or_else(|| GraphError::unknown_property_in_query(navigation, type_name))?;
    let mut expand = Expand { navigation: navigation.to_owned(), filter: None, select: None };
    for option in split(options, ';').into_iter().filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name.trim() {
            "$filter" => expand.filter = Some(Filter::parse(value, member)?),
            "$select" => expand.select = Some(names(value, member)?),
            other => return Err(GraphError::invalid_option(other)),
        }
    }
    Ok(expand)
}

/// Splits outside of quotes and parentheses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0, false, 0);
    let mut out = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if c == separator && depth == 0 && !quoted => {
                out.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let raw = "$filter=isRead%20eq%20false&$select=id,subject&$top=5&$count=true\
                   &$expand=attachments($select=id,name),singleValueExtendedProperties(\
                   $filter=id%20eq%20'String%200x1035')";
        let query = Query::parse(raw, "message").unwrap();
        assert_eq!((query.top, query.count), (Some(5), true));
        assert!(query.selects("subject") && !query.selects("body"));
        assert!(query.expands("attachments").unwrap().select.is_some());
        assert!(query.expands("singleValueExtendedProperties").unwrap().filter.is_some());
    }

    #[test]
    fn a_next_link_leads_on_and_fits_its_own_query_only() {
        let query = Query::parse("$top=2&$filter=isRead%20eq%20false", "message").unwrap();
        let link = query.next_link("http://x/v1.0/users/a/messages", 2);
        let raw = link.split_once('?').unwrap().1;
        assert_eq!(Query::parse(raw, "message").unwrap().skip, 2);
        let edited = raw.replace("$top=2", "$top=3");
        assert_eq!(Query::parse(&edited, "message").unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bad in [
            "$foo=1",
            "api-version=1",
            "$search=x",
            "$top=0",
            "$top=1001",
            "$top=x",
            "$select=nothing",
            "$orderby=nothing",
            "$orderby=subject%20down",
            "$expand=body",
            "$expand=attachments($top=1)",
            "$skiptoken=abc",
        ] {
            assert!(Query::parse(bad, "message").is_err(), "{bad}");
        }
    }

    #[test]
    fn sorting_must_lead_the_filter() {
        let parse = |raw: &str| Query::parse(raw, "message").map(|_| ());
        let filter = "$filter=receivedDateTime%20ge%202026-01-01%20and%20isRead%20eq%20true";
        assert!(parse(&format!("{filter}&$orderby=receivedDateTime%20desc")).is_ok());
        let error = parse(&format!("{filter}&$orderby=isRead")).unwrap_err();
        assert_eq!(error.code, "InefficientFilter");
        assert!(parse("$orderby=subject").is_ok());
    }
}
