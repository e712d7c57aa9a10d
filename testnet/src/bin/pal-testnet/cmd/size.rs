//! Sizes as people write them.

/// Units of bytes, the largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Bytes from `1024`, `1KiB`, `100MiB`, `1GiB`, or with the unit's first letter only.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number and KiB, MiB or GiB, such as 100MiB".to_owned();
    let (number, unit) = UNITS
        .iter()
        .find_map(|&(name, unit)| Some((text.strip_suffix(name).or_else(|| text.strip_suffix(&name[..1]))?, unit)))
        .unwrap_or((text, 1));
    number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// The same in words: in the largest unit that divides it, as whole number.
pub(super) fn name(bytes: u64) -> String {
    match UNITS.iter().find(|&&(_, unit)| bytes >= unit && bytes.is_multiple_of(unit)) {
        Some(&(name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::{name, parse};

    #[test]
    fn sizes_are_read_and_named() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("1KiB", 1024), ("100MiB", 100 << 20), ("1G", 1 << 30), ("3 K", 3072)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "-1", "1.5MiB", "1TiB", "99999999999G"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(name(100 << 20), "100MiB");
        assert_eq!(name(1 << 30), "1GiB");
        assert_eq!(name(1025), "1025B");
    }
}
