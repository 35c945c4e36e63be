//! The body of a call from Graph, or from anybody who knows the address. The input is the body.

use mailbridge_core::Code;
use mailbridge_engine::events::callback::Callbacks;
use serde_json::Value;

use super::said;

/// Takes it where no subscription is known, so that it may wake nobody.
pub fn run(input: &[u8]) {
    match Callbacks::new().receive("inbox", input) {
        Ok(it) => {
            assert_eq!((it.woken, it.lifecycle, it.wrong), (0, 0, 0));
            if let Ok(body) = serde_json::from_slice::<Value>(input) {
                let items = body["value"].as_array().map(Vec::len);
                assert_eq!(items, Some(it.unknown + it.unreadable));
            }
        }
        Err(error) => {
            assert_eq!(error.code(), Code::NotificationUnreadable);
            assert!(error.field("line").is_some());
            said::is_fit_to_show(&error);
        }
    }
}
