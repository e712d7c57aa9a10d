//! Figures as people read them.

use std::time::Duration;

/// Bytes with a unit of 1024: `0 B`, `1.0 KiB`, `32.0 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    // 1023.95 would be rounded up to 1024.0 of the smaller unit.
    while value >= 1023.95 {
        let Some(larger) = units.next() else { break };
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A time in the two units that matter: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 stripe`, `2 stripes`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A probability of loss, honest about how little a tiny figure means.
pub(crate) fn chance(probability: f64) -> String {
    if probability <= 0.0 {
        "none".to_owned()
    } else if probability < 1e-12 {
        "less than 1e-12".to_owned()
    } else if probability < 0.001 {
        format!("{probability:.0e}")
    } else if probability > 0.999 {
        "certain".to_owned()
    } else {
        format!("{:.1} %", probability * 100.0)
    }
}

/// The line that says what a file would survive.
pub(crate) fn survival(chances: &[(f64, f64)]) -> String {
    let each = chances.iter().map(|(part, loss)| format!("{:.0} %: {}", part * 100.0, chance(*loss)));
    format!("Chance of loss if that part of the nodes vanishes at once: {}", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::{bytes, chance, count, survival, time};
    use std::time::Duration;

    #[test]
    fn figures_read_well() {
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(32 << 20)], ["0 B", "1023 B", "1.0 KiB", "32.0 MiB"]);
        assert_eq!([bytes((1 << 20) - 1), bytes(u64::MAX)], ["1.0 MiB", "16777216.0 TiB"]);
        let seconds = |s| time(Duration::from_secs_f64(s));
        assert_eq!([seconds(0.42), seconds(12.7), seconds(200.0)], ["0.4 s", "12 s", "3 min 20 s"]);
        assert_eq!(seconds(7500.0), "2 h 5 min");
        assert_eq!([count(1, "stripe"), count(0, "shard")], ["1 stripe", "0 shards"]);
        assert_eq!([chance(0.0), chance(1e-20), chance(4.2e-7)], ["none", "less than 1e-12", "4e-7"]);
        assert_eq!([chance(0.05), chance(1.0)], ["5.0 %", "certain"]);
        let said = survival(&[(0.1, 0.0), (0.5, 1e-7)]);
        assert_eq!(said, "Chance of loss if that part of the nodes vanishes at once: 10 %: none, 50 %: 1e-7");
    }
}
