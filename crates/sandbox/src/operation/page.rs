//! One page of a collection, as every list of Graph answers it.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use crate::answer::Answer;
use crate::odata::query::Query;

impl Call<'_> {
    /// The page that the query asks for out of all that it found, with the link to the next one.
    /// `size` is the length of a page when nobody says otherwise.
    pub(super) fn page<T>(
        &self,
        context: &str,
        query: &Query,
        all: &[T],
        size: usize,
        render: impl Fn(&T) -> Map<String, Value>,
    ) -> Answer {
        let size = query.top.or(self.preferences.page_size).unwrap_or(size);
        let shown = all.iter().skip(query.skip).take(size);
        let values: Vec<Value> = shown.map(|one| Value::Object(render(one))).collect();
        let mut body = json!({"@odata.context": context, "value": values});
        if query.count {
            body["@odata.count"] = json!(all.len());
        }
        if query.skip + size < all.len() {
            body["@odata.nextLink"] = json!(query.next_link(&self.url(), query.skip + size));
        }
        Answer::json(StatusCode::OK, &body)
    }
}
