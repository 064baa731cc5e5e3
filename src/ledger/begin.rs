//! May this exchange begin?

use std::time::Duration;

use crate::ledger::record::Missing;
use crate::ledger::{AttemptId, Entry, NodeId, Origin, Record, Sealed, Slot, Status};
use crate::model::Timestamp;

/// The longest wait a `not_before` can mean, unless the access token lives for longer: after an unknown
/// outcome a strict provider is left alone for half of what is left. A longer wait was written before the
/// clock jumped back.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A node asks to redeem the refresh token of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Names this exchange; asking twice with the same one is safe.
    pub attempt: AttemptId,
    /// Who asks.
    pub node: NodeId,
    /// The highest generation this node has ever seen of the session.
    pub minimum_generation: u64,
    /// The generation it wants to redeem.
    pub expected_generation: u64,
    /// The silent exchange it takes over, having watched it for its full patience.
    pub takeover_of: Option<AttemptId>,
    /// How long nobody may take this exchange over.
    pub patience: Duration,
    /// Most provider calls for one generation.
    pub max_tries: u32,
    /// Whether freshness and back-off are respected.
    pub urgency: Urgency,
    /// Whether the store's own copies must have taken note before leave is given. Not a rule of the
    /// ledger: a store without copies has nothing to wait for.
    pub confirmed: bool,
}

/// Why an exchange is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It is due: not needed while the token lives longer than `fresh_margin`, nor during back-off.
    Due {
        /// Remaining lifetime beyond which no exchange is needed.
        fresh_margin: Duration,
    },
    /// A caller wants a newer token: freshness is passed over, back-off is not.
    Wanted,
    /// A caller cannot wait: freshness and back-off are passed over.
    Hard,
}

/// Leave to redeem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The generation being redeemed.
    pub base: u64,
    /// Orders exchanges of one session.
    pub sequence: u64,
    /// Which try for this generation it is, from 1.
    pub tries: u32,
    /// The refresh token to redeem.
    pub refresh: Sealed,
    /// The access token it goes with: an answer may leave out what did not change.
    pub access: Sealed,
    /// The rest of the record, for a store that loses it meanwhile.
    pub origin: Origin,
}

/// The answer to [`Begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginReply {
    /// Go ahead.
    Granted(Grant),
    /// Someone refreshed meanwhile: use that token. Boxed, for records are large.
    Newer(Box<Record>),
    /// The access token lives long enough.
    Fresh {
        /// When it expires; `None` for never.
        expires: Option<Timestamp>,
    },
    /// Not before then.
    Backoff {
        /// When to ask again.
        until: Timestamp,
    },
    /// Another exchange is in flight.
    Busy {
        /// Which one.
        attempt: AttemptId,
        /// Until when nobody may take it over.
        until: Timestamp,
    },
    /// Every try this generation allows has been made.
    Exhausted {
        /// How many.
        tries: u32,
    },
    /// In doubt after a rejection: nothing may begin until then.
    Suspect {
        /// When it is settled.
        until: Timestamp,
    },
    /// The provider ended it.
    Dead,
    /// The provider never gave a refresh token.
    NoRefreshToken,
    /// The store shows an older generation than this node has seen: it was rolled back.
    Regressed {
        /// What the store has.
        generation: u64,
    },
    /// Deleted.
    Gone,
    /// Never stored, or lost by the store.
    Absent,
}

/// Decides whether an exchange may begin, and takes the slot if so.
pub fn begin(entry: &mut Entry, now: Timestamp, request: &Begin) -> BeginReply {
    let record = match entry.live(now) {
        Ok(record) => record,
        Err(Missing::Gone) => return BeginReply::Gone,
        Err(Missing::Absent) => return BeginReply::Absent,
    };
    if let Some(refusal) = refusal(record, now, request) {
        return refusal;
    }
    let Some(refresh) = record.refresh.clone() else {
        return BeginReply::NoRefreshToken;
    };
    if !record.holds_slot(request.attempt) {
        record.last_sequence += 1;
        record.tries += 1;
        record.slot = Some(Slot {
            attempt: request.attempt,
            node: request.node.clone(),
            base: record.generation,
            started: now,
            until: now + request.patience,
        });
    }
    let grant = Grant {
        base: record.generation,
        sequence: record.last_sequence,
        tries: record.tries,
        refresh,
        access: record.access.clone(),
        origin: record.origin(),
    };
    entry.due = entry.record.as_ref().and_then(|r| r.slot.as_ref()).map(|slot| slot.until);
    BeginReply::Granted(grant)
}

fn refusal(record: &Record, now: Timestamp, request: &Begin) -> Option<BeginReply> {
    if record.generation < request.minimum_generation {
        return Some(BeginReply::Regressed { generation: record.generation });
    }
    match record.status {
        Status::Dead => return Some(BeginReply::Dead),
        Status::Suspect { until } => return Some(BeginReply::Suspect { until }),
        Status::Active => {}
    }
    if record.generation > request.expected_generation {
        return Some(BeginReply::Newer(Box::new(record.clone())));
    }
    if record.holds_slot(request.attempt) {
        return None; // The reply to the first request was lost: the same grant again.
    }
    if let Urgency::Due { fresh_margin } = request.urgency
        && record.expires.is_none_or(|expires| expires > now + fresh_margin)
    {
        return Some(BeginReply::Fresh { expires: record.expires });
    }
    if request.urgency != Urgency::Hard
        && let Some(until) = waiting(record, now)
    {
        return Some(BeginReply::Backoff { until });
    }
    if let Some(slot) = &record.slot {
        let taken_over = request.takeover_of == Some(slot.attempt) && slot.until <= now;
        if !taken_over {
            return Some(BeginReply::Busy { attempt: slot.attempt, until: slot.until });
        }
    }
    (record.tries >= request.max_tries).then_some(BeginReply::Exhausted { tries: record.tries })
}

fn waiting(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let lifetime = record.expires.map_or(Duration::ZERO, |at| at.since(record.received));
    let longest = LONGEST_WAIT.max(lifetime);
    record.not_before.filter(|&until| until > now && until < now + longest)
}
