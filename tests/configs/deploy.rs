//! What lies in `deploy/` fits the program: its pipelines are right, its metrics exist, its versions are
//! the toolchain's. Whether Helm, Docker and Prometheus take the files, they say themselves.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::program::{mailbridge, repository, with_variable};

/// Metrics of exporters that stand beside us: the buses' and Kubernetes'.
const FOREIGN: [&str; 4] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "jetstream_consumer_num_pending",
    "kafka_consumergroup_lag",
];
/// What Prometheus adds to the name of a histogram.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_count", "_sum"];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metrics that the reference, which is made from the code, has.
fn known() -> BTreeSet<String> {
    let reference = read("docs/reference/metrics.md");
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

/// The names in a PromQL expression, or any other text, that look like ours.
fn ours(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("mailbridge_")).collect()
}

fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    let base = OF_HISTOGRAMS.iter().find_map(|end| name.strip_suffix(end));
    match base {
        Some(base) => base.ends_with("_seconds") && known.contains(base),
        None => known.contains(name),
    }
}

/// The lines below a key of the first level, one level out.
fn below<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != key).skip(1);
    lines
        .take_while(|line| line.is_empty() || line.starts_with("  "))
        .map(|line| line.get(2..).unwrap_or_default())
        .collect()
}

#[test]
fn every_metric_of_alerts_and_dashboard_exists() {
    let known = known();
    assert!(known.len() >= 25, "{known:?}");
    for file in [
        "deploy/prometheus/alerts.yaml",
        "deploy/prometheus/alerts_test.yaml",
        "deploy/grafana/mailbridge.json",
    ] {
        let text = read(file);
        let named = ours(&text);
        assert!(named.len() >= 10, "{file}: {named:?}");
        for name in named {
            assert!(exists(name, &known), "{file}: {name} is not in docs/reference/metrics.md");
        }
    }
    assert!(!exists("mailbridge_stream_helt", &known));
    assert!(!exists("mailbridge_outcomes_total_bucket", &known));
}

#[test]
fn every_panel_asks_for_something() {
    let text = read("deploy/grafana/mailbridge.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id comes twice");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|it| !it.is_empty()), "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expr = target["expr"].as_str().expect("a query");
            let foreign = FOREIGN.iter().any(|name| expr.contains(name));
            assert!(foreign || !ours(expr).is_empty(), "{title}: {expr}");
        }
    }
    let text = ours(&text);
    let unseen: Vec<_> = known()
        .into_iter()
        .filter(|name| !text.iter().any(|seen| seen.starts_with(name.as_str())))
        .collect();
    assert!(unseen.is_empty(), "no panel shows {unseen:?}");
}

#[test]
fn every_alert_is_tried() {
    let tests = read("deploy/prometheus/alerts_test.yaml");
    let rules = read("deploy/prometheus/alerts.yaml");
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        let tried = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tests.contains(&tried), "{alert} is not seen to fire");
    }
}

#[test]
fn every_alert_names_commands_and_codes_that_exist() {
    for file in ["deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts_test.yaml"] {
        let text = read(file);
        for code in text.split("code=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let exists = code.is_empty() || code.parse::<mailbridge_core::Code>().is_ok();
            assert!(exists, "{file}: {code}");
        }
        for command in text.split("`mailbridge ").skip(1).filter_map(|it| it.split(' ').next()) {
            let ran = mailbridge(&repository(), &[command, "--help"]);
            assert_eq!(ran.code, 0, "{file}: mailbridge {command}");
        }
    }
}

#[test]
fn the_pipelines_of_compose_and_chart_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let compose = repository().join("deploy/compose/pipeline.yaml");
    let variable = ("GRAPH_SECRET", "sandbox-secret-that-opens-nothing");
    let path = compose.to_string_lossy();
    let ran = with_variable(folder.path(), &["check", &path], variable.0, variable.1);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);

    let values = read("deploy/helm/mailbridge/values.yaml");
    let config = below(&values, "config:").join("\n");
    assert!(config.contains("pipelines:"), "{config}");
    fs::write(folder.path().join("config.yaml"), config).expect("a file");
    let ran = mailbridge(folder.path(), &["check", "config.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn the_programs_that_they_start_take_those_arguments() {
    let compose = read("deploy/compose/compose.yaml");
    let chart = read("deploy/helm/mailbridge/templates/deployment.yaml");
    let unit = read("deploy/systemd/mailbridge.service");
    assert!(compose.contains("\"--http\", \"0.0.0.0:8083\"]"), "each worker has a port");
    assert!(chart.contains("args: [\"run\", \"/etc/mailbridge/mailbridge.yaml\", \"--http\""));
    assert!(unit.contains("ExecStart=/usr/bin/mailbridge run /etc/mailbridge/mailbridge.yaml\n"));
    let help = mailbridge(&repository(), &["run", "--help"]).stdout;
    assert!(help.contains("--http <ADDRESS>"), "{help}");
    for probe in ["path: /livez", "path: /readyz"] {
        assert!(chart.contains(probe), "{probe}");
    }
}

#[test]
fn the_image_is_built_with_our_toolchain_from_what_it_needs() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next());
    let pinned = format!("ARG RUST={}\n", channel.expect("a channel"));
    assert!(read("deploy/docker/Dockerfile").contains(&pinned), "{pinned}");
    let ignored = read(".dockerignore");
    for needed in ["Cargo.lock", "Cargo.toml", "LICENSE", "crates", "deploy/entra", "tests"] {
        assert!(ignored.lines().any(|line| line == format!("!{needed}")), "{needed}");
    }
}

#[test]
fn manual_and_completions_are_of_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = mailbridge(folder.path(), &["man", "pages/man1"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let page = |name: &str| folder.path().join(Path::new("pages/man1")).join(name);
    let bash = mailbridge(folder.path(), &["completions", "bash"]);
    for command in ["run", "check", "doctor", "replay", "sandbox", "explain"] {
        assert!(page(&format!("mailbridge-{command}.1")).exists(), "{command}");
        assert!(bash.stdout.contains(&format!("mailbridge,{command})")), "{command}");
    }
    assert!(!page("mailbridge-man.1").exists(), "what packages call is nobody's manual");
    fs::write(folder.path().join("taken"), "").expect("a file");
    let ran = mailbridge(folder.path(), &["man", "taken"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}
