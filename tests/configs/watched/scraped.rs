//! A real Prometheus with the rules of `deploy/`, and what it says of them and of the dashboard.
//!
//! Time is made short: it scrapes every second and judges twice in one, and `for` of every rule is a second.
//! Nothing else of the files is changed; the variables of the dashboard are those of "All".

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    fs,
    net::SocketAddr,
    time::Duration,
};

use mailbridge_testkit::server::Prometheus;
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::program::repository;

/// An alert, and the pipeline, connection or stream that it is about.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    pub name: String,
    pub subject: String,
}

impl Alert {
    pub fn of(name: &str, subject: &str) -> Self {
        Self { name: name.to_owned(), subject: subject.to_owned() }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.subject)
    }
}

/// What a panel asks.
pub struct Panel {
    pub title: String,
    pub expression: String,
}

/// The rules as they are shipped, but for `for`.
pub fn rules() -> String {
    let text = fs::read_to_string(repository().join("deploy/prometheus/alerts.yaml"));
    let text = text.expect("the rules");
    let lines = text.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What the dashboard asks, in the order of its panels.
pub fn panels() -> Vec<Panel> {
    let text = fs::read_to_string(repository().join("deploy/grafana/mailbridge.json"));
    let dashboard: Value = serde_json::from_str(&text.expect("the dashboard")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (title, target["expr"].as_str().expect("a query")))
    });
    let panel = |(title, expression): (&str, &str)| Panel {
        title: title.to_owned(),
        expression: expression
            .replace("$__rate_interval", "10s")
            .replace("$pipeline", ".*")
            .replace("$connection", ".*"),
    };
    expressions.map(panel).collect()
}

pub struct Scraped(Prometheus);

impl Scraped {
    pub async fn start(targets: &[SocketAddr], rules: &str) -> Self {
        let targets = targets.iter().fold(String::new(), |mut list, target| {
            write!(list, "'{target}', ").expect("a string");
            list
        });
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms }}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: mailbridge
    static_configs: [{{ targets: [{targets}] }}]
"
        );
        let started = Prometheus::start(&config, &[("alerts.yaml", rules)]).await;
        Self(started.expect("a Prometheus"))
    }

    /// The alerts that fire now. Every rule can be evaluated.
    pub async fn firing(&self) -> BTreeSet<Alert> {
        let mut firing = BTreeSet::new();
        for rule in self.judged().await {
            assert_ne!(rule["health"], "err", "{rule}");
            for alert in rule["alerts"].as_array().expect("alerts") {
                let label = |name: &str| alert["labels"][name].as_str();
                let subject = ["pipeline", "connection", "stream_name"].into_iter().find_map(label);
                if alert["state"] == "firing" {
                    let name = label("alertname").expect("a name");
                    firing.insert(Alert::of(name, subject.expect("a subject")));
                }
            }
        }
        firing
    }

    /// Waits until every rule was judged once more.
    pub async fn evaluated_again(&self, within: Duration) {
        let times = async || {
            let rules = self.judged().await;
            rules.iter().map(|rule| rule["lastEvaluation"].to_string()).collect::<Vec<_>>()
        };
        let before = times().await;
        self.until(within, "every rule is judged again", async || {
            let pairs = before.iter().zip(times().await);
            pairs.filter(|(before, now)| *before == now).map(|(_, now)| now).collect()
        })
        .await;
    }

    async fn judged(&self) -> Vec<Value> {
        let data = self.ask("rules", &[("type", "alert")]).await;
        let groups = data["groups"].as_array().expect("groups");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
        rules.cloned().collect()
    }

    /// The values of an expression now, each a series.
    pub async fn values(&self, expression: &str) -> Vec<String> {
        let data = self.ask("query", &[("query", expression)]).await;
        let series = data["result"].as_array().expect("a vector");
        series.iter().map(|it| it["value"][1].as_str().expect("a value").to_owned()).collect()
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{what}", self.0.url());
        let answer = http_client().get(url).query(query).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{query:?}: {answer}");
        answer["data"].clone()
    }

    /// Asks again and again until nothing is missing.
    pub async fn until(
        &self,
        within: Duration,
        what: &str,
        mut missing: impl AsyncFnMut() -> Vec<String>,
    ) {
        let deadline = Instant::now() + within;
        let mut ask = interval(Duration::from_millis(250));
        loop {
            ask.tick().await;
            let missing = missing().await;
            if missing.is_empty() {
                return;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "within {within:?}: {what}; not so: {missing:#?}\n{}", self.0.log());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own client of Prometheus")]
fn http_client() -> reqwest::Client {
    reqwest::Client::new()
}
