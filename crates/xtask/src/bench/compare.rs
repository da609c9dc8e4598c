//! Two reports, one as a ratio to the other.

use std::fmt;

use super::figures::Row;
use super::report::{Report, SERVICES};

/// For each run that both reports have: now as a multiple of earlier.
#[derive(Debug)]
pub(super) struct Ratios {
    same_machine: bool,
    rows: Vec<(String, [Option<f64>; 5])>,
}

const HEADING: [&str; 5] = [
    "events/s",
    "p50",
    "p99",
    "CPU of the services",
    "their peak RSS",
];

impl Ratios {
    pub(super) fn of(now: &Report, earlier: &Report) -> Self {
        let row = |row: &Row| Some((row.name.clone(), ratios(row, earlier.row(&row.name)?)));
        Self {
            same_machine: now.machine == earlier.machine,
            rows: now.rows.iter().filter_map(row).collect(),
        }
    }
}

fn ratios(now: &Row, earlier: &Row) -> [Option<f64>; 5] {
    let ratio = |of: &dyn Fn(&Row) -> Option<f64>| Some(of(now)? / of(earlier)?);
    let rss = |row: &Row| {
        let costs = SERVICES.iter().filter_map(|name| row.processes.get(*name));
        costs.map(|cost| cost.peak_rss as f64).reduce(|a, b| a + b)
    };
    [
        ratio(&|row| Some(row.rate())),
        ratio(&|row| Some(row.latency?.p50)),
        ratio(&|row| Some(row.latency?.p99)),
        ratio(&|row| row.cpu_us(&SERVICES)),
        ratio(&rss),
    ]
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "As multiples of the earlier figures:\n")?;
        if !self.same_machine {
            writeln!(f, "(Those are of another machine.)\n")?;
        }
        writeln!(f, "| run | {} |", HEADING.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(HEADING.len()))?;
        for (name, ratios) in &self.rows {
            let shown =
                ratios.map(|ratio| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
            writeln!(f, "| {name} | {} |", shown.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{PIPELINE, tests::report};

    #[test]
    fn twice_the_events_at_the_same_cost_is_half_the_cost_an_event() {
        let ratios = Ratios::of(&report(2), &report(1));
        assert!(ratios.same_machine);
        let (_, pipeline) = ratios
            .rows
            .iter()
            .find(|(name, _)| name == PIPELINE)
            .unwrap();
        assert_eq!(
            *pipeline,
            [Some(2.0), Some(1.0), Some(1.0), Some(0.5), Some(1.0)]
        );
        let (_, bare) = &ratios.rows[0];
        assert_eq!(bare[3..], [None, None]);
    }
}
