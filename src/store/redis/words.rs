//! Requests and replies of the ledger as the scripts take and give them.

use std::time::Duration;

use redis::Cmd;

use crate::ledger::{
    Begin, BeginReply, Deleted, FailKind, Grant, NewTokens, Origin, Sealed, Tombstone, Urgency,
};
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::redis::codec;
use crate::store::redis::error::not_understood;
use crate::store::redis::link::millis;
use crate::store::redis::reply::Reply;

type Outcome<T> = Result<T, StoreError>;

pub(super) fn push_tokens(call: &mut Cmd, tokens: &NewTokens) {
    call.arg(tokens.access.as_bytes())
        .arg(optional_bytes(tokens.refresh.as_ref()))
        .arg(optional_bytes(tokens.extra.as_ref()));
    for span in [tokens.expires_in, tokens.refresh_expires_in, tokens.due_in] {
        push_span(call, span);
    }
}

/// A sealed blob is never empty, so that the empty string can stand for none.
fn optional_bytes(sealed: Option<&Sealed>) -> &[u8] {
    sealed.map_or(b"", Sealed::as_bytes)
}

pub(super) fn push_span(call: &mut Cmd, span: Option<Duration>) {
    match span {
        Some(span) => call.arg(millis(span)),
        None => call.arg(""),
    };
}

pub(super) fn push_time(call: &mut Cmd, time: Option<Timestamp>) {
    match time {
        Some(time) => call.arg(time.as_millis().max(0)),
        None => call.arg(""),
    };
}

pub(super) fn push_origin(call: &mut Cmd, origin: Option<&Origin>) {
    match origin {
        Some(it) => call.arg(it.provider.as_str()).arg(it.grant).arg(it.version),
        None => call.arg("").arg(0).arg(0),
    };
}

pub(super) fn kind_letter(kind: FailKind) -> &'static str {
    match kind {
        FailKind::NotSent => "N",
        FailKind::Refused => "F",
        FailKind::InDoubt => "A",
        FailKind::Rejected => "I",
        FailKind::Misconfigured => "C",
    }
}

pub(super) fn push_begin(call: &mut Cmd, request: &Begin) {
    let (urgency, fresh_margin) = match request.urgency {
        Urgency::Due { fresh_margin } => (0, fresh_margin),
        Urgency::Wanted => (1, Duration::ZERO),
        Urgency::Hard => (2, Duration::ZERO),
    };
    call.arg(&codec::attempt_bytes(request.attempt))
        .arg(&request.node.name)
        .arg(&request.node.incarnation.to_be_bytes())
        .arg(request.minimum_generation)
        .arg(request.expected_generation);
    match request.takeover_of {
        Some(attempt) => call.arg(&codec::attempt_bytes(attempt)),
        None => call.arg(""),
    };
    call.arg(millis(request.patience))
        .arg(request.max_tries)
        .arg(urgency)
        .arg(millis(fresh_margin));
}

pub(super) fn begin_reply(reply: &mut Reply) -> Outcome<BeginReply> {
    Ok(match reply.tag.as_str() {
        "GRANTED" => {
            let (base, sequence, tries) = (reply.number()?, reply.number()?, reply.count()?);
            let (refresh, access) = (reply.sealed()?, reply.sealed()?);
            let (provider, grant) = (reply.provider()?, reply.number()?);
            let origin = Origin { provider, grant, version: reply.number()? };
            BeginReply::Granted(Grant { base, sequence, tries, refresh, access, origin })
        }
        "NEWER" => {
            let entry = codec::decode(&reply.bytes()?).ok_or_else(not_understood)?;
            BeginReply::Newer(Box::new(entry.record.ok_or_else(not_understood)?))
        }
        "FRESH" => BeginReply::Fresh { expires: reply.optional_time()? },
        "BACKOFF" => BeginReply::Backoff { until: reply.time()? },
        "BUSY" => {
            let attempt = reply.bytes()?.try_into().map_err(|_| not_understood())?;
            BeginReply::Busy { attempt: codec::attempt_of(attempt), until: reply.time()? }
        }
        "EXHAUSTED" => BeginReply::Exhausted { tries: reply.count()? },
        "SUSPECT" => BeginReply::Suspect { until: reply.time()? },
        "DEAD" => BeginReply::Dead,
        "NOREFRESH" => BeginReply::NoRefreshToken,
        "REGRESSED" => BeginReply::Regressed { generation: reply.number()? },
        "GONE" => BeginReply::Gone,
        "ABSENT" => BeginReply::Absent,
        _ => return Err(not_understood()),
    })
}

/// The rest of an answer that says what was deleted.
pub(super) fn deleted_reply(reply: &mut Reply) -> Outcome<Deleted> {
    let provider = reply.provider()?;
    let tombstone = Tombstone {
        generation: reply.number()?,
        version: reply.number()?,
        last_sequence: reply.number()?,
        until: reply.time()?,
    };
    let access = reply.sealed()?;
    Ok(Deleted { provider, tombstone, access, refresh: reply.optional_sealed()? })
}
