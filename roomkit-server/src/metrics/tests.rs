use std::{collections::BTreeSet, fs, path::Path};

use super::*;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn known() -> BTreeSet<String> {
    METRICS
        .iter()
        .map(|(name, ..)| (*name).to_owned())
        .collect()
}

/// The names of metrics in a text; those of a histogram's parts are the histogram's.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("roomkit_"))
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            let whole = parts.iter().find_map(|part| word.strip_suffix(part));
            whole.unwrap_or(word).to_owned()
        })
        .collect()
}

/// The words that these calls are given first, in a folder of sources without their tests.
fn quoted(folder: &Path, calls: &[&str], found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            quoted(&path, calls, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            for rest in calls.iter().flat_map(|call| source.split(call).skip(1)) {
                let word = rest.trim_start().strip_prefix('"');
                found.extend(
                    word.and_then(|rest| rest.split('"').next())
                        .map(str::to_owned),
                );
            }
        }
    }
}

#[test]
fn every_metric_of_the_sources_is_described_and_there_is_no_other() {
    let mut found = BTreeSet::new();
    let macros = ["counter!(", "gauge!(", "histogram!("];
    for entry in fs::read_dir(workspace()).unwrap() {
        let folder = entry.unwrap().path();
        let is_crate = folder.join("Cargo.toml").exists() && folder.join("src").exists();
        if is_crate {
            quoted(&folder.join("src"), &macros, &mut found);
        }
    }
    found.retain(|name| name.starts_with("roomkit_"));
    assert_eq!(found, known());
}

#[test]
fn the_page_on_metrics_lists_them_all() {
    let page = fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `roomkit_"));
    let listed: BTreeSet<String> = rows.flat_map(names).collect();
    assert_eq!(listed, known());
}

#[test]
fn the_page_on_metrics_lists_all_reasons_to_drop_something() {
    let page = fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let mut reasons = BTreeSet::new();
    let calls = ["Dropped(", "dropped(", "then_some("];
    quoted(
        &workspace().join("roomkit-core/src/call"),
        &calls,
        &mut reasons,
    );
    assert!(reasons.len() > 10, "{reasons:?}");
    reasons.retain(|reason| !page.contains(&format!("`{reason}`")));
    assert!(reasons.is_empty(), "not on the page: {reasons:?}");
}

/// Codes that limits and the door refuse with, as far as they stand beside what counts them.
#[test]
fn c5_the_page_on_metrics_lists_all_reasons_to_refuse_somebody() {
    let page = fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let mut reasons = BTreeSet::new();
    let calls = ["self.unavailable(", "pause(", "refused("];
    for folder in ["roomkit-http/src", "roomkit-server/src"] {
        quoted(&workspace().join(folder), &calls, &mut reasons);
    }
    // The only arguments of these that are no codes are names of settings.
    reasons.retain(|reason| !reason.contains('.') && !reason.contains(' '));
    assert!(reasons.len() > 5, "{reasons:?}");
    reasons.retain(|reason| !page.contains(&format!("`{reason}`")));
    assert!(reasons.is_empty(), "not on the page: {reasons:?}");
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    for file in ["grafana.json", "alerts.yml"] {
        let path = workspace().join("roomkit-server/ops").join(file);
        let text = fs::read_to_string(path).unwrap();
        let asked = names(&text);
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known()).cloned().collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard = fs::read_to_string(workspace().join("roomkit-server/ops/grafana.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard.unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}

/// A counter's first count is no increase to Prometheus unless the counter was there before.
#[test]
fn what_alerts_count_is_there_from_the_beginning() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        expected::of_every_server();
        expected::of_plugins("openai", &["crm".to_owned()]);
    });
    let shown = recorder.handle().render();
    let alerts = fs::read_to_string(workspace().join("roomkit-server/ops/alerts.yml")).unwrap();
    let counted = names(&alerts)
        .into_iter()
        .filter(|name| name.ends_with("_total"));
    let missing: Vec<_> = counted
        .filter(|name| !shown.contains(&format!("\n{name}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}: {shown}");
    // Each value that an alert asks for by its name, too.
    let values = alerts.split(['"', '|']).filter(|word| {
        let name = |c: char| c.is_ascii_lowercase() || c == '_';
        !word.is_empty() && word.chars().all(name)
    });
    let asked: BTreeSet<&str> = values.collect();
    assert!(asked.contains("quota") && asked.contains("overloaded"));
    let missing: Vec<_> = asked
        .into_iter()
        .filter(|value| *value != "main" && *value != "sent")
        .filter(|value| !shown.contains(&format!("=\"{value}\"")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}: {shown}");
}

/// Those of the page are those of the code that counts.
#[test]
fn the_page_on_metrics_lists_what_is_expected_of_providers() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || expected::of_plugins("openai", &[]));
    let shown = recorder.handle().render();
    let page = fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    for name in ["roomkit_provider_errors_total", "roomkit_hand_overs_total"] {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}`")));
        let label = if name.contains("errors") {
            "`kind`: "
        } else {
            "`reason`: "
        };
        let listed = row.unwrap().split_once(label).unwrap().1;
        let listed = listed.split(';').next().unwrap();
        for value in listed.split(", ").map(|value| value.trim_matches('`')) {
            assert!(shown.contains(&format!("=\"{value}\"")), "{name}: {value}");
        }
    }
}
