//! Durations as people type them.

use std::time::Duration;

/// Reads `30s`, `10m`, `2h` or a bare number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let expected = || format!("expected a duration like 30s, 10m or 2h, not `{text}`");
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(expected()),
    };
    number
        .checked_mul(unit)
        .map(Duration::from_secs)
        .ok_or_else(expected)
}

/// `m:ss`, or `h:mm:ss` from an hour on.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        let seconds = |text| parse(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("2h"), Ok(7200));
        for wrong in [
            "",
            "s",
            "1d",
            "-1s",
            "1.5m",
            "99999999999999999999s",
            "99999999999999999h",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(show(Duration::from_secs(75)), "1:15");
        assert_eq!(show(Duration::from_secs(3675)), "1:01:15");
    }
}
