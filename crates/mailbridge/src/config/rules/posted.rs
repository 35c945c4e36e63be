//! Rules about requests over HTTP: who listens at which port, and who is told there of what. The ends
//! are taken as they stand: what one of them is by itself, its plugin says.

use std::collections::BTreeMap;

use serde_json::Value;

/// Who listens at which port.
#[derive(Default)]
pub struct Ports(BTreeMap<u16, String>);

impl Ports {
    /// Adds somebody who listens at an address; the sentence, when another one has its port. A port
    /// is one place, also at two addresses: the requests that wait are kept by port.
    pub fn add(&mut self, owner: String, address: &str) -> Option<String> {
        let port = address.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 0)?;
        if let Some(other) = self.0.get(&port) {
            return Some(format!("{other} listens at this port already; choose another"));
        }
        self.0.insert(port, owner);
        None
    }
}

/// Where requests are taken, if this end is one that takes them over HTTP.
pub fn address(end: &Value) -> Option<&str> {
    end.get("http")?.as_str()
}

/// Ends of which nobody can be told over HTTP, though they say so: the keys, and the sentence.
pub fn untold(section: &Value) -> Vec<(&'static str, String)> {
    let only = "over HTTP only outcomes can be asked for; give another target";
    let mut wrong: Vec<_> = [("dead_letters", "dead_letters.http"), ("to", "to.http")]
        .into_iter()
        .filter(|(end, _)| section.get(end).is_some_and(|end| address(end).is_some()))
        .map(|(_, key)| (key, only.to_owned()))
        .collect();
    let outcomes = section.get("outcomes").filter(|end| address(end).is_some());
    if let Some(outcomes) = outcomes {
        let place = |end: &Value| (end.get("bus").cloned(), address(end).map(str::to_owned));
        if section.get("from").map(place) != Some(place(outcomes)) {
            let message = "only requests that were posted there can be asked for there: give \
                           `bus` and `http` of `from`";
            wrong.push(("outcomes.http", message.to_owned()));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_had_once() {
        let mut ports = Ports::default();
        assert_eq!(ports.add("`http.listen`".to_owned(), "localhost:8080"), None);
        assert_eq!(ports.add("pipeline `a`".to_owned(), "127.0.0.1:8081"), None);
        let told = ports.add("pipeline `b`".to_owned(), "[::1]:8081").unwrap();
        assert!(told.starts_with("pipeline `a`"), "{told}");
        assert!(ports.add("pipeline `c`".to_owned(), "0.0.0.0:8080").is_some());
        for _ in 0..2 {
            assert_eq!(ports.add("anybody".to_owned(), "127.0.0.1:0"), None);
        }
    }

    #[test]
    fn outcomes_are_told_where_requests_were_posted() {
        let untold = |from: Value, outcomes: Value, dead_letters: Value| {
            let section =
                json!({ "from": from, "outcomes": outcomes, "dead_letters": dead_letters });
            untold(&section).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let here = json!({ "bus": "here", "http": "127.0.0.1:8081" });
        let from = json!({ "bus": "here", "http": "127.0.0.1:8081", "bytes_max": 5 });
        let there = json!({ "bus": "here", "http": "127.0.0.1:8082" });
        let file = json!({ "bus": "here", "path": "a" });
        assert!(untold(from.clone(), here.clone(), file.clone()).is_empty());
        assert!(untold(from.clone(), file.clone(), file.clone()).is_empty());
        assert_eq!(untold(from.clone(), there, file.clone()), ["outcomes.http"]);
        assert_eq!(untold(file, here.clone(), here), ["dead_letters.http", "outcomes.http"]);
    }
}
