//! HTTP answers, whole or broken on purpose.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::time::Sleep;

use crate::model::Timestamp;
use crate::simulator::faults::RetryAfter;

/// A response, or the decision to close the connection without one.
pub(super) type Reply = Result<Response<SimulatorBody>, Dropped>;

/// The connection closes without an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for Dropped {}

/// A body sent in one piece, which may be less than was announced.
pub(super) enum SimulatorBody {
    Whole(Option<Bytes>),
    /// The rest of `announced` bytes never comes: the connection closes after a moment, in which
    /// the first part leaves the buffers.
    Truncated {
        part: Option<Bytes>,
        announced: u64,
        pause: Pin<Box<Sleep>>,
    },
}

impl SimulatorBody {
    /// The first half of `whole`, announced as all of it.
    pub(crate) fn truncated(whole: &Bytes) -> Self {
        Self::Truncated {
            part: Some(whole.slice(..whole.len() / 2)),
            announced: whole.len() as u64,
            pause: Box::pin(tokio::time::sleep(Duration::from_millis(20))),
        }
    }
}

impl Body for SimulatorBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Truncated { part, pause, .. } => match part.take() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
                None => pause.as_mut().poll(context).map(|()| Some(Err(io::Error::other(Dropped)))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Truncated { announced, .. } => SizeHint::with_exact(*announced),
        }
    }
}

/// An answer of any kind.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<SimulatorBody> {
    let mut response = Response::new(SimulatorBody::Whole(Some(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<SimulatorBody> {
    answer(status, JSON, value.to_string())
}

/// A short answer in words.
pub(super) fn text(status: StatusCode, words: impl Into<String>) -> Response<SimulatorBody> {
    answer(status, "text/plain; charset=utf-8", words.into() + "\n")
}

/// An HTML page.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response<SimulatorBody> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    answer(status, "text/html; charset=utf-8", html)
}

/// A redirect.
pub(super) fn redirect(status: StatusCode, to: &str) -> Response<SimulatorBody> {
    let mut response = answer(status, "text/plain; charset=utf-8", Bytes::new());
    match HeaderValue::from_str(to) {
        Ok(to) => {
            response.headers_mut().insert(LOCATION, to);
            response
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "the redirect address does not fit in a header"),
    }
}

/// `text` made safe for HTML.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

/// The value of a `Retry-After` header.
pub(super) fn retry_after(when: RetryAfter, now: Timestamp) -> String {
    match when {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::HttpDateIn(seconds) => http_date(now + Duration::from_secs(seconds)),
    }
}

/// A date as RFC 9110 §5.6.7 wants it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = u64::try_from(at.as_millis() / 1000).unwrap_or(0);
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days since 1 March 0000, in eras of 400 years; March comes first so that the leap day is last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[usize::try_from(days % 7).unwrap_or(0)],
        MONTHS[usize::try_from(month).unwrap_or(0)],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use super::{escape, http_date};
    use crate::model::Timestamp;

    #[test]
    fn dates_are_those_of_http() {
        for (seconds, date) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(Timestamp::from_millis(seconds * 1000)), date);
        }
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
