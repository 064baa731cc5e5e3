//! A number of seconds that remembers how it was written.

/// How never is written: Flet saves an infinite float as this string.
pub(super) const NEVER: &str = "inf";

/// A number of seconds in the form it was saved in.
#[derive(Debug, Clone, PartialEq)]
pub enum Seconds {
    /// Written as an integer.
    Int(i64),
    /// Written as a floating-point number.
    Float(f64),
    /// Written as a string: a decimal number, or `inf` for never.
    Text(String),
}

impl Seconds {
    /// In milliseconds, held at the ends of the range; `None` for never and for text that is no number.
    pub fn millis(&self) -> Option<i64> {
        match self {
            Self::Int(seconds) => Some(seconds.saturating_mul(1000)),
            Self::Float(seconds) => float_millis(*seconds),
            Self::Text(text) => match text.parse::<i64>() {
                Ok(seconds) => Some(seconds.saturating_mul(1000)),
                Err(_) => decimal(text).and_then(float_millis),
            },
        }
    }
}

/// `None` for infinity, which means never; the cast holds every other value within the range.
fn float_millis(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "held at the ends of the range, as said")]
    (seconds != f64::INFINITY).then(|| (seconds * 1000.0).round() as i64)
}

/// Reads a plain decimal number, such as `3600`, `-1.5` or `1e3`; never the words for infinity and NaN.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let plain = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(plain).then(|| text.parse().ok())?
}

/// A float as Python's `repr` writes it, which is what `json.dumps` writes.
///
/// The shortest digits that read back as the same number; with an exponent below 1e-4 and from 1e16 on.
pub(super) fn python_repr(value: f64) -> String {
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut plain = format!("{value}");
    if !plain.contains('.') {
        plain.push_str(".0");
    }
    plain
}
