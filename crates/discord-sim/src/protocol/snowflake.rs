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

/// The same to the microsecond: times that a client has set are kept as it has set them.
pub(crate) fn timestamp_us(unix_us: u64) -> String {
    let mut text = timestamp(unix_us / 1_000);
    text.truncate(text.len() - "000+00:00".len());
    push_digits(&mut text, unix_us % 1_000, 3);
    text.push_str("+00:00");
    text
}

/// Reads an ISO 8601 timestamp: Unix microseconds. One without an offset is in UTC.
pub(crate) fn read_timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(place) => time.split_at(place),
        None => (time, ""),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    number(fraction)?;
    let micros: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    let away = match offset.trim_start_matches(['+', '-']) {
        "" | "Z" | "z" => 0,
        away => {
            let (hours, minutes) = away.split_once(':').or_else(|| away.split_at_checked(2))?;
            number(hours)? * 3_600 + number(minutes)? * 60
        }
    };
    let seconds = if offset.starts_with('-') {
        seconds.checked_add(away)?
    } else {
        seconds.checked_sub(away)?
    };
    Some(seconds * 1_000_000 + micros)
}

fn number(digits: &str) -> Option<u64> {
    let is_one = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_one)
}

/// The day of a date, counted from 1970-01-01: the way back from [`civil`].
fn days(year: u64, month: u64, date: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let march_month = (month + 9) % 12;
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * march_month + 2) / 5 + date - 1;
    let day = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    day.checked_sub(719_468)
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
    fn a_timestamp_is_read_as_it_is_written() {
        for day in (0..40_000).step_by(7) {
            let us = day * 86_400_000_000 + 3_661_000_123;
            assert_eq!(read_timestamp(&timestamp_us(us)), Some(us));
        }
        let us = read_timestamp("2026-11-20T08:00:00.123456+00:00");
        assert_eq!(
            us.map(timestamp_us).as_deref(),
            Some("2026-11-20T08:00:00.123456+00:00")
        );
        let noon = read_timestamp("2026-11-20T12:00:00Z");
        for same in [
            "2026-11-20T12:00:00.000Z",
            "2026-11-20 12:00",
            "2026-11-20T14:30:00+02:30",
            "2026-11-20T05:00:00.0-0700",
        ] {
            assert_eq!(read_timestamp(same), noon, "{same}");
        }
        for wrong in [
            "",
            "tomorrow",
            "2026-11-20",
            "2026-13-20T00:00:00Z",
            "2026-11-20T+1:00:00Z",
        ] {
            assert_eq!(read_timestamp(wrong), None, "{wrong}");
        }
    }

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
