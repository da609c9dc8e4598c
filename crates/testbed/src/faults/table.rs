//! How the results of the fault suite are shown.

use super::Outcome;

/// The heading, as wide as the rows.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<34} {:>7} {:>5} {:>8} {:>10} {:>9} {:>11} {:>9} {:>8}  {}",
        "case",
        "events",
        "lost",
        "repeated",
        "misordered",
        "wrong old",
        "cache diff.",
        "commands",
        "recovery",
        "result"
    )
}

/// One case's row, with what is wrong below it.
#[must_use]
pub fn row(outcome: &Outcome) -> String {
    let report = outcome.report.clone().unwrap_or_default();
    let (published, lost) = outcome.commands;
    let mut row = format!(
        "{:<34} {:>7} {:>5} {:>8} {:>10} {:>9} {:>11} {:>9} {:>6.1} s  {}",
        shortened(&outcome.name, 34),
        report.events,
        report.lost,
        report.repeated,
        report.misordered,
        report.wrong_old,
        report.cache_differences,
        format!("{}/{published}", published - lost),
        outcome.recovery.as_secs_f64(),
        if outcome.passed() { "ok" } else { "FAILED" }
    );
    if !outcome.passed() {
        let faults = outcome.faults.iter().map(|fault| format!("\n    {fault}"));
        row.extend(faults);
        row.extend(
            report
                .samples
                .iter()
                .map(|sample| format!("\n    {sample}")),
        );
    }
    row
}

fn shortened(name: &str, length: usize) -> String {
    if name.chars().count() <= length {
        return name.to_owned();
    }
    let start: String = name.chars().take(length - 1).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rows_stand_under_their_heading() {
        let outcome = Outcome {
            name: "kill -9 writer".into(),
            report: None,
            commands: (8, 1),
            recovery: Duration::from_millis(1234),
            faults: vec!["1 lost".into()],
            logs: String::new(),
        };
        let row = row(&outcome);
        let first = row.lines().next().unwrap();
        assert_eq!(heading().find("result"), first.find("FAILED"));
        assert!(row.ends_with("\n    1 lost"));
        assert!(first.contains(" 7/8 "));
    }
}
