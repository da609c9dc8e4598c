//! The report: one table, in words and as JSON.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::{Cost, Figure, Row};

/// Names of the runs.
pub(super) const BARE: &str = "bare hop";
pub(super) const PIPELINE: &str = "pipeline";
pub(super) const INGEST: &str = "ingest alone";
pub(super) const WRITER: &str = "writer alone";
pub(super) const WRITER_TENTH: &str = "writer alone, a tenth published";

/// Names of the processes.
pub(super) const SERVICES: [&str; 3] = ["ingest", "writer", "router"];
pub(super) const RABBITMQ: &str = "rabbitmq";
pub(super) const REDIS: &str = "redis";
pub(super) const PUBLISHER: &str = "publisher";
pub(super) const RELAY: &str = "relay";
/// The simulated Discord and the consumer are parts of the command itself.
pub(super) const BENCH: &str = "bench";

const MEGABYTE: f64 = 1e6;

/// The name of the latency at a rate.
pub(super) fn latency(rate: f64) -> String {
    format!("{rate}/s")
}

/// The name of the latency of two bare hops at a rate.
pub(super) fn bare_latency(rate: f64) -> String {
    format!("{rate}/s, two bare hops")
}

/// What was measured, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) seed: u64,
    pub(super) shards: u32,
    pub(super) guilds: u32,
    pub(super) queue_type: String,
    pub(super) rows: Vec<Row>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let model = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            processor: model
                .map_or("unknown", |(_, model)| model.trim())
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Report {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no figures of this command", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What the run says about itself, as ratios: the least that RabbitMQ takes is 1.
    fn ratios(&self) -> Vec<(String, f64)> {
        let mut ratios = Vec::new();
        let mut add = |what: String, ratio: Option<f64>| {
            ratios.extend(ratio.map(|ratio| (what, ratio)));
        };
        let bare = self.row(BARE);
        for name in [PIPELINE, WRITER_TENTH] {
            let rate = |row: Option<&Row>| row.map(Row::rate);
            let ratio = rate(self.row(name)).zip(rate(bare));
            let what = format!("events/s, {name} : {BARE}");
            add(what, ratio.map(|(rate, bare)| rate / bare));
        }
        let services = self.row(PIPELINE).and_then(|row| row.cpu_us(&SERVICES));
        let publisher = bare.and_then(|row| row.cpu_us(&[PUBLISHER]));
        let ratio = services.zip(publisher);
        add(
            "CPU an event, services : bare publisher".to_owned(),
            ratio.map(|(services, publisher)| services / publisher),
        );
        for row in &self.rows {
            let bare = self.row(&format!("{}, two bare hops", row.name));
            let both = row.latency.zip(bare.and_then(|bare| bare.latency));
            let name = &row.name;
            add(
                format!("p50 at {name} : two bare hops"),
                both.map(|(own, bare)| own.p50 / bare.p50),
            );
            add(
                format!("p99 at {name} : two bare hops"),
                both.map(|(own, bare)| own.p99 / bare.p99),
            );
        }
        ratios
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            processor,
            cores,
            kernel,
        } = &self.machine;
        writeln!(
            f,
            "{processor}, {cores} cores, Linux {kernel}; {} queues, {} shards, {} guilds, seed {}\n",
            self.queue_type, self.shards, self.guilds, self.seed
        )?;
        writeln!(
            f,
            "| run | events/s | p50 / p99 / p99.9, ms | CPU of the services, µs an event (ingest + writer + router) | \
             RabbitMQ, Redis | bare publisher, relay | simulator and consumer | peak RSS, MB: ingest, writer |\n|---|---|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            writeln!(f, "{}", Line(row))?;
        }
        writeln!(f)?;
        for (what, ratio) in self.ratios() {
            writeln!(f, "{ratio:6.2}  {what}")?;
        }
        for row in self.rows.iter().filter(|row| !row.figures.is_empty()) {
            writeln!(f, "\n{}:", row.name)?;
            for Figure { what, value, unit } in &row.figures {
                writeln!(f, "{value:12.2} {unit}  {what}")?;
            }
        }
        Ok(())
    }
}

struct Line<'a>(&'a Row);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.0;
        let cpu = |name: &str| show(row.processes.get(name), |cost| cost.cpu_us, 1);
        let rss = |name: &str| {
            show(
                row.processes.get(name),
                |cost| cost.peak_rss as f64 / MEGABYTE,
                0,
            )
        };
        let latency = row.latency.map_or_else(String::new, |latency| {
            format!(
                "{:.2} / {:.2} / {:.2}",
                latency.p50, latency.p99, latency.p999
            )
        });
        let services = row.cpu_us(&SERVICES).map_or_else(String::new, |sum| {
            let each = SERVICES.map(cpu).join(" + ");
            format!("{sum:.1} ({each})")
        });
        write!(
            f,
            "| {} | {:.0} | {latency} | {services} | {}, {} | {}, {} | {} | {}, {} |",
            row.name,
            row.rate(),
            cpu(RABBITMQ),
            cpu(REDIS),
            cpu(PUBLISHER),
            cpu(RELAY),
            cpu(BENCH),
            rss("ingest"),
            rss("writer"),
        )
    }
}

fn show(cost: Option<&Cost>, of: impl Fn(&Cost) -> f64, digits: usize) -> String {
    cost.map_or_else(|| "–".to_owned(), |cost| format!("{:.digits$}", of(cost)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::figures::Latency;
    use crate::bench::usage::Usage;

    fn row(name: &str, events: u64, process: &'static str, p50: f64) -> Row {
        let usage = Usage {
            cpu: Duration::from_millis(20),
            peak_rss: 3_000_000,
        };
        let mut row = Row::new(
            name,
            events,
            Duration::from_secs(1),
            [(process, usage)].into(),
        );
        row.latency = Some(Latency {
            p50,
            p99: 3.0 * p50,
            p999: 4.0,
        });
        row
    }

    pub(in crate::bench) fn report(scale: u64) -> Report {
        Report {
            machine: Machine::this(),
            seed: 1,
            shards: 2,
            guilds: 3,
            queue_type: "classic".to_owned(),
            rows: vec![
                row(BARE, 1_000, PUBLISHER, 1.0),
                row(PIPELINE, 500 * scale, "writer", 1.0),
                row("200/s", 200, "ingest", 2.0),
                row("200/s, two bare hops", 200, RELAY, 1.0),
            ],
        }
    }

    #[test]
    fn ratios_are_to_the_bare_hop() {
        let ratios = report(1).ratios();
        let ratio = |what: &str| {
            ratios
                .iter()
                .find(|(name, _)| name.contains(what))
                .unwrap()
                .1
        };
        assert_eq!(ratio("events/s, pipeline"), 0.5);
        assert_eq!(ratio("CPU an event"), 2.0);
        assert_eq!(ratio("p50 at 200/s"), 2.0);
        assert_eq!(ratio("p99 at 200/s"), 2.0);
        assert_eq!(ratios.len(), 4);
    }

    #[test]
    fn a_line_shows_what_there_is() {
        let line = Line(&row("x", 1_000, "writer", 0.5)).to_string();
        assert_eq!(
            line,
            "| x | 1000 | 0.50 / 1.50 / 4.00 | 20.0 (– + 20.0 + –) | –, – | –, – | – | –, 3 |"
        );
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.json");
        let mut report = report(1);
        report.rows[0].add("heartbeats", 3.0, "");
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
    }
}
