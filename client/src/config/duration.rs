//! Lengths of time as people write them: `30s`, `5m`, `1h30m`, `90d`.

use std::time::Duration;
use thiserror::Error;

/// The units and their milliseconds, the longest first.
const UNITS: [(&str, u64); 6] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a length of time; write it like 500ms, 30s, 5m, 1h30m, 90d or 2w")]
pub struct NotADuration(String);

/// Reads whole numbers with their units, one after another.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let refuse = || NotADuration(text.to_owned());
    let mut total_ms: u64 = 0;
    let mut rest = text;
    loop {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        let part_ms = number.checked_mul(*unit_ms).ok_or_else(refuse)?;
        total_ms = total_ms.checked_add(part_ms).ok_or_else(refuse)?;
        rest = behind;
        if rest.is_empty() {
            return Ok(Duration::from_millis(total_ms));
        }
    }
}

/// Writes a duration so that [`parse_duration`] reads it back, to the millisecond. Days are its longest unit.
pub fn show_duration(duration: Duration) -> String {
    let mut left_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit_ms) in &UNITS[1..] {
        if left_ms >= *unit_ms {
            text.push_str(&format!("{}{name}", left_ms / unit_ms));
            left_ms %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, show_duration};
    use proptest::prelude::{any, proptest};
    use std::time::Duration;

    #[test]
    fn as_people_write_them() {
        let said = [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("2w", 1_209_600_000)];
        for (text, ms) in said {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(90 * 86_400)), "90d");
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn refusals() {
        for text in ["", "5", "s", "5x", "-5s", "5 s", "1.5h", "5s5", "99999999999999999999s", "9999999999999w", "५s"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shown_is_read_back(ms in any::<u64>()) {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_duration(&text);
        }
    }
}
