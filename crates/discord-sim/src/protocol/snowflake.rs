//! Discord's ids and times: snowflakes and ISO 8601 timestamps, computed from a given instant.

/// First instant of 2015 in Unix milliseconds: the zero of a snowflake's time.
pub const EPOCH_MS: u64 = 1_420_070_400_000;

/// The snowflake of an instant (Unix milliseconds); `increment` tells apart ids of one millisecond
/// (its lowest 12 bits count).
pub const fn snowflake(unix_ms: u64, increment: u16) -> u64 {
    (unix_ms.saturating_sub(EPOCH_MS) << 22) | (1 << 17) | (increment & 0xFFF) as u64
}

/// The shard that a guild's events go to, by Discord's formula. `total` 0 counts as 1.
pub fn shard_of(guild: u64, total: u32) -> u32 {
    let total = u64::from(total.max(1));
    u32::try_from((guild >> 22) % total).unwrap_or(0)
}

/// An instant (Unix milliseconds) as Discord writes it: `2026-11-20T08:00:00.123000+00:00`.
pub fn timestamp(unix_ms: u64) -> String {
    let (day, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    // Most events have several of them: digit by digit it takes a tenth of what `format!` does.
    let mut text = String::with_capacity(32);
    for (before, number, digits) in [
        ("", year, 4),
        ("-", month, 2),
        ("-", date, 2),
        ("T", hour, 2),
        (":", minute, 2),
        (":", second, 2),
        (".", ms % 1_000, 3),
    ] {
        text.push_str(before);
        push_digits(&mut text, number, digits);
    }
    text.push_str("000+00:00");
    text
}

/// The last digits of a number, with zeros in front.
fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (number / 10_u64.pow(place) % 10) as u8;
        text.push(char::from(b'0' + digit));
    }
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian calendar, with years
/// that begin in March so that the leap day is the last one).
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, date)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_match_known_instants() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00.000000+00:00"),
            (EPOCH_MS, "2015-01-01T00:00:00.000000+00:00"),
            (1_795_161_600_123, "2026-11-20T08:00:00.123000+00:00"),
        ] {
            assert_eq!(timestamp(ms), text);
        }
    }

    #[test]
    fn a_snowflake_holds_its_instant() {
        let id = snowflake(1_462_015_105_796, 7);
        assert_eq!((id >> 22) + EPOCH_MS, 1_462_015_105_796);
        assert_eq!(id & 0xFFF, 7);
        assert_eq!(shard_of(id, 1), 0);
        assert_eq!(shard_of(id, 0), 0);
    }
}
