//! How durations are written on the command line.

use std::time::Duration;

/// Reads `1h`, `30m`, `5s`, `500ms`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis_each = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("use a unit of ms, s, m, h or d".to_owned()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "write it like 1h, 30m, 5s or 500ms".to_owned())?;
    number.checked_mul(millis_each).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;

    #[test]
    fn durations_read_with_and_without_units() {
        for (text, millis) in
            [("1h", 3_600_000), ("3600s", 3_600_000), ("5", 5000), ("50ms", 50), ("2m", 120_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "h", "-1s", "1.5h", "5 s", "1y", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
