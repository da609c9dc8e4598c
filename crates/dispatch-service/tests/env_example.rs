//! Holds the written lists of settings against the settings that exist: `.env.example` (names, order and defaults) and
//! `docker-compose.yml` (names).

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use dispatch_service::settings::{catalogue::ALL, dotenv};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {file}: {error}"))
}

/// Names and values as the services would read them from the file.
fn example() -> Vec<(String, String)> {
    dotenv::parse(&read(".env.example"), |_| None)
        .expect(".env.example must be readable as a .env file")
}

#[test]
fn env_example_names_every_setting_once_and_in_order() {
    let written: Vec<_> = example().into_iter().map(|(name, _)| name).collect();
    let missing: Vec<_> = ALL
        .iter()
        .filter(|setting| !written.iter().any(|name| name == setting.name))
        .map(|setting| setting.name)
        .collect();
    assert!(
        missing.is_empty(),
        ".env.example lacks these settings of the catalogue: {missing:?}"
    );
    let unknown: Vec<_> = written
        .iter()
        .filter(|name| !ALL.iter().any(|setting| setting.name == name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        ".env.example has names that are no settings: {unknown:?}"
    );
    let expected: Vec<_> = ALL.iter().map(|setting| setting.name).collect();
    assert_eq!(
        written, expected,
        ".env.example must have each setting once, in the catalogue's order"
    );
}

#[test]
fn env_example_has_the_defaults() {
    let wrong: Vec<_> = example()
        .into_iter()
        .filter_map(|(name, value)| {
            let setting = ALL.iter().find(|setting| setting.name == name)?;
            (setting.default != value)
                .then(|| format!("{name}={value}, the default is {:?}", setting.default))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        ".env.example differs from the defaults:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_setting_of_env_example_is_explained() {
    let text = read(".env.example");
    // Settings that stand directly below one another share the comment above the first.
    let unexplained: Vec<_> = text
        .split("\n\n")
        .filter(|block| !block.starts_with('#'))
        .collect();
    assert!(
        unexplained.is_empty(),
        ".env.example has settings without a comment above them: {unexplained:?}"
    );
}

#[test]
fn compose_file_passes_every_setting_on() {
    let compose = read("docker-compose.yml");
    let missing: Vec<_> = ALL
        .iter()
        .map(|setting| setting.name)
        .filter(|name| {
            !compose
                .lines()
                .any(|line| line.trim_start().starts_with(&format!("{name}:")))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docker-compose.yml passes these settings on to no service: {missing:?}"
    );
}
