//! What goes wrong, to which token requests, and how often.

use serde::{Deserialize, Serialize};

/// Which faults strike token requests: the first rule that fires decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// The rules, in the order they are asked.
    pub rules: Vec<FaultRule>,
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// `action` for the next `count` token requests of `grant`.
    pub fn next(count: u64, grant: GrantFilter, action: FaultAction) -> Self {
        Self {
            rules: vec![FaultRule { grant, when: When::Next(count), ..FaultRule::always(action) }],
        }
    }
}

impl From<FaultRule> for FaultPlan {
    fn from(rule: FaultRule) -> Self {
        Self { rules: vec![rule] }
    }
}

/// One kind of fault and the requests it strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The grant type it applies to. Default any.
    #[serde(default)]
    pub grant: GrantFilter,
    /// Only requests for this user's grants; `None` for everyone's.
    #[serde(default)]
    pub user: Option<String>,
    /// Only requests for this token family; `None` for all.
    #[serde(default)]
    pub family: Option<u64>,
    /// Which of the matching requests it strikes. Default all.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    pub action: FaultAction,
}

impl FaultRule {
    /// `action` for every token request.
    pub fn always(action: FaultAction) -> Self {
        Self { grant: GrantFilter::Any, user: None, family: None, when: When::default(), action }
    }
}

/// A kind of token request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantFilter {
    /// Any token request.
    #[default]
    Any,
    /// `authorization_code` requests.
    Code,
    /// `refresh_token` requests.
    Refresh,
}

/// Which of the matching requests a rule strikes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every nth, counted from the rule's setting; 1 is all of them, 0 none.
    Every(u64),
    /// Each with this probability, drawn from the seeded generator.
    Probability(f64),
    /// The next so many, then none.
    Next(u64),
}

impl Default for When {
    fn default() -> Self {
        Self::Every(1)
    }
}

/// What goes wrong with a token request.
///
/// *Before commit* nothing is consumed. *After commit* the grant is consumed, new tokens are live
/// at the provider, and the client does not learn them. Everything from [`FaultAction::Malformed`]
/// on spoils the answer after the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// The connection closes, nothing is consumed.
    DropBeforeCommit,
    /// The grant is consumed, then the connection closes without an answer.
    DropAfterCommit,
    /// An error status, nothing consumed.
    StatusBeforeCommit {
        /// The status, 500 to 599.
        status: u16,
    },
    /// An error status, although the grant was consumed.
    StatusAfterCommit {
        /// The status, 500 to 599.
        status: u16,
    },
    /// Status 429, nothing consumed.
    RateLimited {
        /// What `Retry-After` says.
        retry_after: RetryAfter,
    },
    /// Status 503, nothing consumed.
    Unavailable503 {
        /// What `Retry-After` says; `None` sends none.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// The request is worked on only after this long, even if the client has gone.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The grant is consumed at once, the answer comes this much later.
    DelayAfterCommit {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Nothing is consumed and no answer comes, while the connection stays open.
    Hang,
    /// The grant is consumed and no answer comes, while the connection stays open.
    HangAfterCommit,
    /// An OAuth error with status 200, nothing consumed.
    Error200 {
        /// The `error` member.
        code: String,
    },
    /// An OAuth error, nothing consumed.
    ErrorCode {
        /// The `error` member.
        code: String,
        /// The status.
        status: u16,
    },
    /// Status 200 with a body no client can use.
    Malformed {
        /// What the body is.
        body: MalformedBody,
    },
    /// `expires_in` is a string, with a fraction.
    OddExpiresString,
    /// The answer lacks `expires_in`.
    MissingExpiresIn,
    /// The answer lacks `refresh_token`.
    MissingRefreshToken,
    /// The answer lacks `token_type`.
    MissingTokenType,
    /// The answer is form-encoded.
    FormEncoded,
    /// The body ends before its `Content-Length`, and the connection closes.
    TruncatedBody,
}

impl FaultAction {
    /// The name it has in JSON and in the ground truth.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DropBeforeCommit => "drop_before_commit",
            Self::DropAfterCommit => "drop_after_commit",
            Self::StatusBeforeCommit { .. } => "status_before_commit",
            Self::StatusAfterCommit { .. } => "status_after_commit",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable503 { .. } => "unavailable503",
            Self::Delay { .. } => "delay",
            Self::DelayAfterCommit { .. } => "delay_after_commit",
            Self::Hang => "hang",
            Self::HangAfterCommit => "hang_after_commit",
            Self::Error200 { .. } => "error200",
            Self::ErrorCode { .. } => "error_code",
            Self::Malformed { .. } => "malformed",
            Self::OddExpiresString => "odd_expires_string",
            Self::MissingExpiresIn => "missing_expires_in",
            Self::MissingRefreshToken => "missing_refresh_token",
            Self::MissingTokenType => "missing_token_type",
            Self::FormEncoded => "form_encoded",
            Self::TruncatedBody => "truncated_body",
        }
    }

    /// True if the request is turned away before anything is consumed.
    pub(super) fn prevents_commit(&self) -> bool {
        matches!(
            self,
            Self::DropBeforeCommit
                | Self::StatusBeforeCommit { .. }
                | Self::RateLimited { .. }
                | Self::Unavailable503 { .. }
                | Self::Hang
                | Self::Error200 { .. }
                | Self::ErrorCode { .. }
        )
    }
}

/// What a `Retry-After` header says (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// An HTTP date this many seconds ahead.
    HttpDateIn(u64),
}

/// A body that is no token answer, sent with status 200 after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MalformedBody {
    /// An HTML page.
    HtmlOk,
    /// Nothing.
    EmptyOk,
    /// JSON that stops in the middle, with a matching `Content-Length`.
    TruncatedJson,
    /// A JSON array.
    JsonArray,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Valid JSON behind 8 MiB of white space.
    HugeBody,
}

/// A plan with its counters and its generator.
#[derive(Debug)]
pub(super) struct FaultDice {
    plan: FaultPlan,
    matched: Vec<u64>,
    random: SplitMix,
}

/// What a rule is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub grant: GrantFilter,
    pub user: Option<&'a str>,
    pub family: Option<u64>,
}

impl FaultDice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { plan: FaultPlan::none(), matched: Vec::new(), random: SplitMix(seed) }
    }

    pub(crate) fn set(&mut self, plan: FaultPlan) {
        self.matched = vec![0; plan.rules.len()];
        self.plan = plan;
    }

    /// The fault that strikes this request, if any. Each matching rule counts it, fired or not,
    /// until one fires.
    pub(crate) fn roll(&mut self, target: Target<'_>) -> Option<FaultAction> {
        for (rule, matched) in self.plan.rules.iter().zip(&mut self.matched) {
            let grant = rule.grant == GrantFilter::Any || rule.grant == target.grant;
            let user = rule.user.is_none() || rule.user.as_deref() == target.user;
            let family = rule.family.is_none() || rule.family == target.family;
            if !(grant && user && family) {
                continue;
            }
            *matched += 1;
            let fires = match rule.when {
                When::Every(n) => n > 0 && matched.is_multiple_of(n),
                When::Probability(chance) => self.random.fraction() < chance,
                When::Next(count) => *matched <= count,
            };
            if fires {
                return Some(rule.action.clone());
            }
        }
        None
    }

    /// A number from zero up to one.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.random.fraction()
    }
}

/// The SplitMix64 generator: five lines, repeatable, good enough for dice.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{FaultAction, FaultDice, FaultPlan, FaultRule, GrantFilter, Target, When};

    const REFRESH: Target<'_> =
        Target { grant: GrantFilter::Refresh, user: Some("user-1"), family: Some(7) };

    fn strikes(rule: FaultRule, target: Target<'_>, times: usize) -> Vec<bool> {
        let mut dice = FaultDice::new(1);
        dice.set(rule.into());
        (0..times).map(|_| dice.roll(target).is_some()).collect()
    }

    fn rule(when: When) -> FaultRule {
        FaultRule { when, ..FaultRule::always(FaultAction::Hang) }
    }

    #[test]
    fn rules_count_the_requests_they_match() {
        assert_eq!(
            strikes(rule(When::Every(3)), REFRESH, 6),
            [false, false, true, false, false, true]
        );
        assert_eq!(strikes(rule(When::Next(2)), REFRESH, 4), [true, true, false, false]);
        assert_eq!(strikes(rule(When::Every(0)), REFRESH, 2), [false, false]);
    }

    #[test]
    fn a_probability_is_kept_and_repeats_with_its_seed() {
        let first = strikes(rule(When::Probability(0.25)), REFRESH, 4000);
        let struck = first.iter().filter(|fired| **fired).count();

        assert!((900..1100).contains(&struck), "{struck}");
        assert_eq!(first, strikes(rule(When::Probability(0.25)), REFRESH, 4000));
    }

    #[test]
    fn filters_spare_other_requests() {
        let code = FaultRule { grant: GrantFilter::Code, ..rule(When::Every(1)) };
        let user = FaultRule { user: Some("user-2".into()), ..rule(When::Every(1)) };
        let family = FaultRule { family: Some(7), ..rule(When::Every(1)) };

        assert_eq!(strikes(code, REFRESH, 1), [false]);
        assert_eq!(strikes(user, REFRESH, 1), [false]);
        assert_eq!(strikes(family.clone(), REFRESH, 1), [true]);
        assert_eq!(strikes(family, Target { family: None, ..REFRESH }, 1), [false]);
    }

    #[test]
    fn a_plan_reads_from_json_and_refuses_unknown_members() {
        let text = r#"{"rules":[{"grant":"refresh","when":{"next":1},
            "action":{"kind":"rate_limited","retry_after":{"seconds":3}}},
            {"action":{"kind":"malformed","body":"not_utf8"}}]}"#;

        let plan: FaultPlan = serde_json::from_str(text).unwrap();

        assert_eq!(plan.rules[0].when, When::Next(1));
        assert_eq!(plan.rules[1].when, When::Every(1));
        assert!(serde_json::from_str::<FaultPlan>(r#"{"rule":[]}"#).is_err());
    }
}
