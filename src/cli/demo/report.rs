//! The result: what was measured, which promises held, and both as a table or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// What the star in the table stands for.
const OVERTAKEN: &str = "
  * this provider ends the old token at the moment it gives out the new one, so a token read
    just before a refresh may be refused just after; reading again gives the new one

";

/// What the demo measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) sessions: u64,
    /// How long the readers ran.
    pub(super) seconds: f64,
    pub(super) lifetime_seconds: u64,
    pub(super) readers: u32,
    pub(super) reads: u64,
    pub(super) reads_per_second: f64,
    /// By the provider's log, from the first login to the last.
    pub(super) refreshes: u64,
    /// While the readers ran.
    pub(super) refreshes_per_second: f64,
    /// By the provider's log: genuine refresh tokens presented.
    pub(super) presentations: u64,
    /// By the provider's log: refresh tokens used at least once.
    pub(super) redeemed: u64,
    pub(super) calls_per_refresh: f64,
    /// By the provider's log.
    pub(super) reuse_detected: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) read_p50_nanos: u64,
    pub(super) read_p99_nanos: u64,
    pub(super) read_slowest_nanos: u64,
    /// Tokens shown to the provider and accepted.
    pub(super) tokens_accepted: u64,
    /// How many of those only after reading again, a refresh having ended the first one read.
    pub(super) tokens_overtaken: u64,
    pub(super) sessions_alive: u64,
    pub(super) sessions_refreshed: u64,
    pub(super) file_bytes: u64,
    /// Tokens searched for in the file.
    pub(super) tokens_searched: u64,
    pub(super) tokens_in_plain: u64,
    /// Sessions whose name, which is not encrypted, the same search had to find, and found.
    pub(super) names_searched: u64,
    pub(super) names_found: u64,
}

/// Something the demo promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Promise {
    pub(super) promise: &'static str,
    pub(super) held: bool,
    /// The numbers it was judged by.
    pub(super) found: String,
}

impl Measured {
    /// Judges every promise.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let all = self.sessions;
        let promise = |promise, held, found| Promise { promise, held, found };
        vec![
            promise(
                "every refresh takes exactly one call to the provider",
                self.presentations == self.redeemed
                    && self.redeemed == self.refreshes
                    && self.redeemed > 0,
                format!(
                    "{} calls for {} refresh tokens, {} answered",
                    self.presentations, self.redeemed, self.refreshes
                ),
            ),
            promise(
                "no refresh token is used twice",
                self.reuse_detected == 0,
                format!("{} reuses detected by the provider", self.reuse_detected),
            ),
            promise(
                "no reader meets an error",
                self.errors == 0 && self.reads > 0,
                match &self.first_error {
                    Some(first) => format!("{} errors, the first: {first}", self.errors),
                    None => format!("{} errors in {} reads", self.errors, self.reads),
                },
            ),
            promise(
                "every session is alive, and the provider accepts its token",
                self.sessions_alive == all && all > 0,
                format!("{} of {all}", self.sessions_alive),
            ),
            promise(
                "every session is refreshed at least once",
                self.sessions_refreshed == all && all > 0,
                format!("{} of {all}", self.sessions_refreshed),
            ),
            promise(
                "no token stands in plain text in the store file",
                self.tokens_in_plain == 0 && self.tokens_searched > 0 && self.search_worked(),
                if self.search_worked() {
                    format!("{} of {} tokens found", self.tokens_in_plain, self.tokens_searched)
                } else {
                    format!(
                        "the search proves nothing: it found {} of {} session names",
                        self.names_found, self.names_searched
                    )
                },
            ),
        ]
    }

    fn search_worked(&self) -> bool {
        self.names_found == self.names_searched && self.names_searched > 0
    }

    /// The result for people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{} users, tokens of {} s, kept fresh for {:.0} s at a provider that forgives nothing\n\n",
            grouped(self.sessions),
            self.lifetime_seconds,
            self.seconds
        );
        let rows = self.rows();
        for (name, value, meaning) in &rows {
            let _ = writeln!(text, "  {name:<26} {value:>12}   {meaning}");
        }
        text.push_str(OVERTAKEN);
        let promises = self.promises();
        let broken: Vec<&Promise> = promises.iter().filter(|promise| !promise.held).collect();
        if broken.is_empty() {
            text.push_str("every promise held");
            return text;
        }
        let _ = write!(text, "{} of {} promises broken:", broken.len(), promises.len());
        for Promise { promise, found, .. } in broken {
            let _ = write!(text, "\n  - {promise}: {found}");
        }
        text
    }

    fn rows(&self) -> Vec<(&'static str, String, String)> {
        let row = |name, value: String, meaning: &str| (name, value, meaning.to_owned());
        vec![
            row("sessions", grouped(self.sessions), "users who logged in over HTTP"),
            (
                "reads",
                grouped(self.reads),
                format!("times a reader asked for a token and got one; readers: {}", self.readers),
            ),
            row("reads per second", rounded(self.reads_per_second), "all readers together"),
            (
                "refreshes",
                grouped(self.refreshes),
                format!(
                    "times a session got a new token, {} per second",
                    rounded(self.refreshes_per_second)
                ),
            ),
            row(
                "provider calls per refresh",
                format!("{:.3}", self.calls_per_refresh),
                "by the provider's log; 1.000 = each refresh token used once",
            ),
            row(
                "reuse detected",
                grouped(self.reuse_detected),
                "by the provider's log: refresh tokens presented again",
            ),
            row("errors", grouped(self.errors), "reads and requests that failed"),
            row("read p50", span(self.read_p50_nanos), "half of all reads took no longer"),
            row("read p99", span(self.read_p99_nanos), "99 of 100 reads took no longer"),
            row(
                "slowest read",
                span(self.read_slowest_nanos),
                "the threads are shared with the provider and the store",
            ),
            (
                "tokens tried",
                grouped(self.tokens_accepted),
                format!(
                    "shown to the provider and accepted, {} after a second read *",
                    grouped(self.tokens_overtaken)
                ),
            ),
            (
                "sessions alive",
                grouped(self.sessions_alive),
                format!("at the end, of {}", grouped(self.sessions)),
            ),
            row("sessions refreshed", grouped(self.sessions_refreshed), "at least once each"),
            (
                "plain tokens in the file",
                grouped(self.tokens_in_plain),
                format!(
                    "of {} searched for in the store's {} kB",
                    grouped(self.tokens_searched),
                    grouped(self.file_bytes / 1000)
                ),
            ),
        ]
    }

    /// The result for programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Report<'a> {
            #[serde(flatten)]
            measured: &'a Measured,
            promises: Vec<Promise>,
            every_promise_held: bool,
        }
        let promises = self.promises();
        let every_promise_held = promises.iter().all(|promise| promise.held);
        serde_json::to_string_pretty(&Report { measured: self, promises, every_promise_held })
    }
}

/// With a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rounded(number: f64) -> String {
    format!("{number:.0}").parse().map_or_else(|_| "-".to_owned(), grouped)
}

fn span(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{} µs", nanos / 1000),
        _ => format!("{} ms", nanos / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{Measured, grouped, span};

    fn good() -> Measured {
        Measured {
            sessions: 300,
            seconds: 15.0,
            reads: 1_234_567,
            refreshes: 900,
            presentations: 900,
            redeemed: 900,
            calls_per_refresh: 1.0,
            sessions_alive: 300,
            sessions_refreshed: 300,
            tokens_searched: 60,
            names_searched: 20,
            names_found: 20,
            ..Measured::default()
        }
    }

    fn broken(measured: &Measured) -> Vec<&'static str> {
        let promises = measured.promises();
        promises
            .into_iter()
            .filter(|promise| !promise.held)
            .map(|promise| promise.promise)
            .collect()
    }

    #[test]
    fn good_numbers_keep_every_promise() {
        assert_eq!(broken(&good()), [""; 0]);
        assert!(good().table().ends_with("\nevery promise held"));
    }

    #[test]
    fn each_bad_number_breaks_its_own_promise() {
        type Spoil = fn(&mut Measured);
        let cases: &[(&str, Spoil)] = &[
            ("one call", |bad| bad.presentations += 1),
            ("one call", |bad| bad.refreshes -= 1),
            ("used twice", |bad| bad.reuse_detected = 1),
            ("meets an error", |bad| bad.errors = 1),
            ("meets an error", |bad| bad.reads = 0),
            ("is alive", |bad| bad.sessions_alive = 299),
            ("is refreshed", |bad| bad.sessions_refreshed = 299),
            ("plain text", |bad| bad.tokens_in_plain = 1),
            ("plain text", |bad| bad.tokens_searched = 0),
            ("plain text", |bad| bad.names_found = 19),
        ];
        for (expected, spoil) in cases {
            let mut bad = good();
            spoil(&mut bad);

            let broken = broken(&bad);

            assert_eq!(broken.len(), 1, "{expected}: {broken:?}");
            assert!(broken[0].contains(expected), "{expected}: {broken:?}");
            assert!(!bad.table().contains("every promise held"), "{expected}");
            assert!(bad.table().contains(&format!("1 of 6 promises broken:\n  - {}", broken[0])));
            assert!(bad.json().unwrap().contains("\"every_promise_held\": false"), "{expected}");
        }
    }

    #[test]
    fn a_demo_in_which_nothing_happened_keeps_no_promise_but_one() {
        assert_eq!(broken(&Measured::default()).len(), 5);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(
            (span(850), span(12_345), span(25_000_000)),
            ("850 ns".into(), "12 µs".into(), "25 ms".into())
        );
    }
}
