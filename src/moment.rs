//! Moments as the system, sources and people write them: seconds or milliseconds since 1970-01-01 UTC, ISO 8601, HTTP
//! dates.
//!
//! Days and dates are converted by H. Hinnant's algorithms (`days_from_civil`, `civil_from_days`): years start in
//! March, so that the leap day is a year's last.

use std::time::{SystemTime, UNIX_EPOCH};

/// The last moment that has a year of four digits, in seconds.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Seconds since 1970-01-01 UTC; 0 if the clock stands before.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds as `2026-01-31 23:59:59`; `-` for the beginning of time.
pub fn utc(seconds: u64) -> String {
    if seconds == 0 {
        return "-".to_owned();
    }
    let (date, time) = parts(i64::try_from(seconds).unwrap_or(SECONDS_MAX));
    format!("{date} {time}")
}

/// Seconds as `2026-01-31T23:59:59Z`.
pub fn iso(seconds: i64) -> String {
    let (date, time) = parts(seconds);
    format!("{date}T{time}Z")
}

/// Seconds as (`2026-01-31`, `23:59:59`).
fn parts(seconds: i64) -> (String, String) {
    let seconds = seconds.clamp(0, SECONDS_MAX);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let time = format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    (format!("{year:04}-{month:02}-{day:02}"), time)
}

/// Reads `2026-01-31T23:59:59.5Z`, the fraction optional, `Z` or an offset as `+01:00` behind it, in milliseconds.
pub fn parse_iso_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let offset_minutes = match zone {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    Some((seconds_of(year, month, day, hour, minute, second)? - offset_minutes * 60) * 1_000 + ms)
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, as HTTP writes dates (RFC 9110 §5.6.7), in seconds.
pub fn parse_http(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, clock, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let ([day], [year]) = (numbers(day, ' ', [2])?, numbers(year, ' ', [4])?);
    seconds_of(year, month, day, hour, minute, second)
}

/// Numbers of exactly so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut read = [0; N];
    let mut words = text.split(separator);
    for (number, digits) in read.iter_mut().zip(digits) {
        let word =
            words.next().filter(|word| word.len() == digits && word.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = word.parse().ok()?;
    }
    words.next().is_none().then_some(read)
}

fn seconds_of(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    // A leap second is the first of the next minute.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_read_well() {
        assert_eq!(utc(0), "-");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (date, days) in [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2000, 3, 1), 11_017), ((1969, 12, 31), -1)] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2025-12-31T23:59:59.25Z", 1_767_225_599_250),
            ("2024-01-01T01:00:00+01:00", 1_704_067_200_000),
            ("2023-12-31T18:30:00.000-05:30", 1_704_067_200_000),
        ] {
            assert_eq!(parse_iso_ms(text), Some(ms), "{text}");
        }
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in ["", "2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "é"] {
            assert_eq!((parse_iso_ms(bad), parse_http(bad)), (None, None), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn iso_and_back(seconds in 0..=SECONDS_MAX) {
            prop_assert_eq!(parse_iso_ms(&iso(seconds)), Some(seconds * 1_000));
        }

        #[test]
        fn any_text_is_read_or_not(text in ".{0,40}") {
            let _ = (parse_iso_ms(&text), parse_http(&text));
        }
    }
}
