//! Durations as a scenario has them: `"500ms"`, `"10s"`, `"2m"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A duration that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || {
            D::Error::custom(format!(
                "{text:?} is no duration: \"500ms\", \"10s\", \"2m\""
            ))
        };
        read(&text).map(Self).ok_or_else(wrong)
    }
}

fn read(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// As it is shown.
pub(super) fn text(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(read("2 m"), Some(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "5h", "1e9s", "1.2.3s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(text(Duration::from_millis(20)), "20 ms");
        assert_eq!(text(Duration::from_millis(2_550)), "2.5 s");
    }
}
