//! Reads how long a provider asks to be left alone.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::model::Timestamp;

const DAY_SECONDS: i64 = 86_400;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Retry-After` as a span from `now`: seconds, or a date (RFC 9110 §10.2.3); a past date is zero.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    Some(from_epoch_seconds(imf_fixdate(text)?).since(now))
}

/// When GitHub's exhausted rate limit is filled up again, as a span from `now`
/// (docs.github.com, "Rate limits for the REST API"). `None` while requests remain.
pub(crate) fn rate_limit_reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    if number("x-ratelimit-remaining")? > 0 {
        return None;
    }
    Some(from_epoch_seconds(number("x-ratelimit-reset")?).since(now))
}

fn from_epoch_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, the one date form that servers may still write.
fn imf_fixdate(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.strip_suffix(" GMT")?.split([' ', ':']);
    let day = number(parts.next()?, 1..=31)?;
    let month = parts.next()?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let year = number(parts.next()?, 1970..=9999)?;
    let hour = number(parts.next()?, 0..=23)?;
    let minute = number(parts.next()?, 0..=59)?;
    let second = number(parts.next()?, 0..=60)?;
    if parts.next().is_some() {
        return None;
    }
    Some(days_since_epoch(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counting years from March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 153 days in every five months from March on; 719 469 days from 0000-03-01 to 1970-01-02.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{imf_fixdate, rate_limit_reset, retry_after};
    use crate::model::Timestamp;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(imf_fixdate("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(imf_fixdate("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(imf_fixdate("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(imf_fixdate("Wed, 31 Dec 2036 23:59:59 GMT"), Some(2_114_380_799));
        for bad in [
            "",
            "soon",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
        ] {
            assert_eq!(imf_fixdate(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn seconds_and_dates_become_spans() {
        let now = Timestamp::from_millis(784_111_777_000);
        for (text, span) in [
            ("120", Some(Duration::from_secs(120))),
            (" 0 ", Some(Duration::ZERO)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(Duration::from_secs(30))),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(Duration::ZERO)),
            ("-5", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after", text)]), now), span, "{text:?}");
        }
        assert_eq!(retry_after(&headers(&[]), now), None);
    }

    #[test]
    fn an_exhausted_rate_limit_names_its_reset() {
        let now = Timestamp::from_millis(1_000_000);
        let exhausted = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1060")];
        let remaining = [("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1060")];

        assert_eq!(rate_limit_reset(&headers(&exhausted), now), Some(Duration::from_secs(60)));
        assert_eq!(rate_limit_reset(&headers(&remaining), now), None);
    }
}
