//! `cargo xtask docs`: the tables of the documents that are made from the code.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use testbed::binaries::{Service, workspace};

use crate::build;

/// The document with the tables.
const PAGE: &str = "deploy/README.md";
/// Ends every table.
const END: &str = "<!-- end of the table -->";

/// Writes the tables of settings and metrics in deploy/README.md, from what the services say of themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a table is not what it should be.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    build::services(&[])?;
    let path = workspace().join(PAGE);
    let written = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
    let page = page(&written, &catalogues()?)?;
    if page == written {
        println!("The tables of {PAGE} are what the code says.");
    } else if args.check {
        bail!("the tables of {PAGE} are not what the code says: run `cargo xtask docs`");
    } else {
        fs::write(&path, page).with_context(|| format!("can't write {PAGE}"))?;
        println!("The tables of {PAGE} are written anew.");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a service prints as its `catalogue`.
#[derive(Debug, Deserialize)]
struct Catalogue {
    settings: Vec<Setting>,
    metrics: Vec<Metric>,
    shared_metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
struct Setting {
    name: String,
    default: String,
    meaning: String,
}

#[derive(Debug, Deserialize)]
struct Metric {
    name: String,
    kind: String,
    unit: Option<String>,
    labels: Vec<Label>,
    meaning: String,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
    values: Vec<String>,
}

fn catalogues() -> Result<Vec<(Service, Catalogue)>> {
    // In the order of an event's way.
    let services = [
        Service::GatewayIngest,
        Service::CacheWriter,
        Service::CommandRouter,
    ];
    let of = |service: Service| {
        let mut command = Command::new(service.binary()?);
        let output = command.arg("catalogue").output()?;
        let catalogue = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{} prints no catalogue", service.name()))?;
        Ok((service, catalogue))
    };
    services.into_iter().map(of).collect()
}

/// The page with its tables as they should be.
fn page(written: &str, catalogues: &[(Service, Catalogue)]) -> Result<String> {
    let (_, any) = catalogues.first().context("no service")?;
    let mut page = replaced(written, "settings", &settings(&any.settings))?;
    for (service, catalogue) in catalogues {
        let table = metrics(&catalogue.metrics);
        page = replaced(&page, &format!("metrics of {}", service.name()), &table)?;
    }
    replaced(&page, "metrics of all three", &metrics(&any.shared_metrics))
}

/// Puts a table between its marks.
fn replaced(page: &str, name: &str, table: &str) -> Result<String> {
    let begin = format!("<!-- {name}: written by `cargo xtask docs` -->\n");
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("{PAGE} has no marks for {name}"))?;
    Ok(format!("{before}{begin}{table}{END}{after}"))
}

fn settings(settings: &[Setting]) -> String {
    let rows = settings.iter().map(|setting| {
        let default = match setting.default.as_str() {
            "" => String::new(),
            default => code(default),
        };
        [code(&setting.name), default, setting.meaning.clone()]
    });
    table(["setting", "default", "meaning"], rows)
}

fn metrics(metrics: &[Metric]) -> String {
    let rows = metrics.iter().map(|metric| {
        let mut kind = metric.kind.clone();
        if let Some(unit) = &metric.unit {
            kind = format!("{kind}, {unit}");
        }
        let labels: Vec<_> = metric.labels.iter().map(label).collect();
        [
            code(&metric.name),
            kind,
            labels.join("; "),
            metric.meaning.clone(),
        ]
    });
    table(["metric", "kind", "labels", "meaning"], rows)
}

fn label(label: &Label) -> String {
    let values: Vec<_> = label.values.iter().map(|value| code(value)).collect();
    match values.is_empty() {
        true => code(&label.name),
        false => format!("{}: {}", code(&label.name), values.join(", ")),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_what_stood_between_its_marks() {
        let begin = "<!-- settings: written by `cargo xtask docs` -->\n";
        let page = format!("before\n{begin}old\n{END}\nafter\n");
        let replaced = replaced(&page, "settings", "| new |\n").unwrap();
        assert_eq!(replaced, format!("before\n{begin}| new |\n{END}\nafter\n"));
        assert!(super::replaced(&page, "metrics", "").is_err());
    }

    #[test]
    fn a_row_shows_kind_unit_and_labels() {
        let metric = Metric {
            name: "m_total".into(),
            kind: "counter".into(),
            unit: Some("seconds".into()),
            labels: vec![
                Label {
                    name: "step".into(),
                    values: vec!["read".into(), "commit".into()],
                },
                Label {
                    name: "shard".into(),
                    values: Vec::new(),
                },
            ],
            meaning: "A | b".into(),
        };
        let rows = metrics(&[metric]);
        assert_eq!(
            rows.lines().last().unwrap(),
            r"| `m_total` | counter, seconds | `step`: `read`, `commit`; `shard` | A \| b |"
        );
    }
}
