//! What the documents say is there: links lead somewhere, and what they name (settings, metrics, files, functions) exists.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: [&str; 5] = [
    "README.md",
    "crates/README.md",
    "crates/discord-sim/README.md",
    "crates/dispatch-proto/README.md",
    "deploy/README.md",
];
/// The longest README: it is for who wants to know whether.
const LINES: usize = 200;
/// How names of metrics begin.
const METRICS: [&str; 7] = [
    "command_router_",
    "gateway_",
    "ingest_",
    "rabbitmq_",
    "redis_",
    "state_",
    "writer_",
];

/// Settings of other programs, which the documents name.
const FOREIGN: [&str; 2] = ["COMPOSE_PROJECT_NAME", "DECLARE_QUEUE"];

fn workspace() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.canonicalize().unwrap()
}

fn read(document: &str) -> String {
    fs::read_to_string(workspace().join(document)).unwrap()
}

/// All files below a folder, but for what is built.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", ".git", "node_modules"].contains(&name) {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Every word of everything but the documents: code, manifests, configuration.
fn words(files: &[PathBuf]) -> BTreeSet<String> {
    let texts = files.iter().filter(|file| {
        let ending = file.extension().and_then(|ending| ending.to_str());
        !matches!(ending, Some("md" | "svg" | "lock"))
    });
    let mut words = BTreeSet::new();
    // What is not text has no names.
    for text in texts.filter_map(|file| fs::read_to_string(file).ok()) {
        let all = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.extend(all.filter(|word| !word.is_empty()).map(str::to_owned));
    }
    words
}

/// The prose: without blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What stands in backticks.
fn names(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

fn is_setting(name: &str) -> bool {
    name.contains('_')
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_metric(name: &str) -> bool {
    METRICS.iter().any(|prefix| name.starts_with(prefix))
        && name.ends_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// `core::share::Share`, with or without what a function is given.
fn is_path_of_rust(name: &str) -> bool {
    name.contains("::")
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn is_file(name: &str) -> bool {
    let endings = [".rs", ".py", ".yml", ".toml", ".md"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    name.contains('/')
        && name.chars().all(plain)
        && (endings.iter().any(|ending| name.ends_with(ending))
            || name.starts_with("crates/")
            || name.starts_with("deploy/"))
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = heading.trim_start_matches('#').trim();
    let text: String = text.chars().filter(kept).collect();
    text.to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = prose(&read(document));
        let folder = workspace().join(document).parent().unwrap().to_owned();
        let targets = text.split("](").skip(1);
        let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => workspace().join(document),
                file => folder.join(file),
            };
            let found = section.is_empty()
                || fs::read_to_string(&file).is_ok_and(|text| {
                    let headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.map(anchor).any(|anchor| anchor == section)
                });
            if !file.exists() || !found {
                wrong.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_named_exists() {
    let mut all = Vec::new();
    files(&workspace(), &mut all);
    let words = words(&all);
    let exists = |name: &str| {
        let below = Path::new(name);
        let whole = |file: &PathBuf| {
            let mut folders = file.ancestors();
            folders.any(|path| path.ends_with(below))
        };
        all.iter().any(whole)
    };
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = prose(&read(document));
        for name in names(&text) {
            let there = if is_setting(name) || is_metric(name) {
                words.contains(name) || FOREIGN.contains(&name)
            } else if is_path_of_rust(name) {
                let mut parts = name.split("::").filter(|part| !part.is_empty());
                parts.all(|part| words.contains(part))
            } else if is_file(name) {
                exists(name.trim_end_matches('/'))
            } else {
                continue;
            };
            if !there {
                wrong.push(format!("{document}: `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").lines().count() <= LINES);
}

/// CI runs the example, and so what the README shows.
#[test]
fn the_readmes_consumer_is_an_example() {
    let example = read("deploy/examples/python/minimal.py");
    assert!(read("README.md").contains(&format!("```python\n{example}```")));
}

#[test]
fn names_are_told_from_other_text() {
    assert!(is_setting("STATE_MEMBER_TTL") && !is_setting("STATE_*") && !is_setting("READY"));
    assert!(is_metric("writer_queue_lag") && !is_metric("writer_") && !is_metric("queue"));
    assert!(is_path_of_rust("core::share::Share") && !is_path_of_rust("gateway:<shard>"));
    assert!(is_file("deploy/Dockerfile") && !is_file("amqp://host/x.rs") && !is_file("a/b"));
    assert_eq!(anchor("## Events and `old`"), "events-and-old");
    assert_eq!(prose("a ```b``` c"), "a  c");
}
