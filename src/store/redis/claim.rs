//! Claims due sessions of the buckets this node looks after: a look at each bucket that has something due,
//! then a write to those that something is taken from. Buckets with nothing due cost no command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use redis::Value;

use crate::ledger::{Claim, visible_again};
use crate::model::{SessionKey, Timestamp};
use crate::store::redis::error::not_understood;
use crate::store::redis::feed::Feed;
use crate::store::redis::keys::Bucket;
use crate::store::redis::link::{Link, millis};
use crate::store::redis::reply;
use crate::store::redis::ring::Ring;
use crate::store::redis::scripts::{HIDE, LOOK};
use crate::store::{At, StoreError};

/// Buckets looked at, or taken from, at the same time: there is room for others beside them.
const AT_ONCE: usize = 1024;

/// When a bucket is looked at again whose server did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Servers of a cluster whose clocks differ by less count as showing the same time.
const SAME_TIME: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, StoreError>;

/// From a look at a bucket until what it found is claimed, nobody knows when the bucket is due: if that is given
/// up half-way, it is looked at again.
struct Unsettled<'a> {
    feed: &'a Feed,
    bucket: Bucket,
    settled: AtomicBool,
}

impl<'a> Unsettled<'a> {
    fn begin(feed: &'a Feed, bucket: Bucket) -> Self {
        feed.begin_look(bucket);
        Self { feed, bucket, settled: AtomicBool::new(false) }
    }

    fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Relaxed) {
            self.feed.forget_due(self.bucket);
        }
    }
}

/// What a look at a bucket found.
struct Look<'a> {
    unsettled: Unsettled<'a>,
    bucket: Bucket,
    now: Timestamp,
    due: Vec<(SessionKey, Timestamp)>,
}

pub(super) async fn claim(
    link: &Link,
    ring: &Ring,
    request: Claim,
) -> Outcome<At<Vec<(SessionKey, Timestamp)>>> {
    let mine = ring.mine();
    if let Err(error) = link.subscribe(&mine).await {
        tracing::debug!(%error, "news of some buckets is not heard: {error}");
    }
    let estimate = link.server_clock.as_ref().and_then(|clock| clock.at(link.clock.boot()));
    // Where no answer told the time yet, every bucket is unknown, or due as seen by this clock.
    let estimate = estimate.unwrap_or_else(|| link.clock.now());
    let ahead = estimate + request.horizon + SAME_TIME;
    let mut ranked: Vec<(i64, Bucket)> = mine
        .into_iter()
        .filter_map(|bucket| Some((link.feed.due_by(bucket, ahead)?, bucket)))
        .collect();
    ranked.sort_unstable();
    let each: Vec<_> =
        ranked.iter().map(|(_, bucket)| look(link, *bucket, estimate, &request)).collect();
    let mut looked = stream::iter(each).buffer_unordered(AT_ONCE);
    let mut looks = Vec::with_capacity(ranked.len());
    let mut failure = None;
    while let Some(look) = looked.next().await {
        match look {
            Ok(look) => looks.push(look),
            Err(error) => failure = Some(error),
        }
    }
    // One shard of a cluster may be gone while the others answer.
    if let Some(error) = failure.filter(|_| looks.is_empty()) {
        return Err(error);
    }
    let now = looks.iter().map(|look| look.now).min().unwrap_or(estimate);
    let chosen = choose(&mut looks, now, &request);
    let hides: Vec<_> =
        looks.iter().map(|look| hide(link, look, now, &chosen, request.visibility)).collect();
    let mut claimed = Vec::with_capacity(chosen.len());
    let mut hidden = stream::iter(hides).buffer_unordered(AT_ONCE);
    while let Some(taken) = hidden.next().await {
        match taken {
            Ok(taken) => claimed.extend(taken),
            // What was hidden all the same comes back by itself.
            Err(error) => tracing::debug!(%error, "a claim has no answer: {error}"),
        }
    }
    claimed.sort_by(|(a, due_a), (b, due_b)| (due_a, a).cmp(&(due_b, b)));
    Ok(At { now, reply: claimed })
}

async fn look<'a>(
    link: &'a Link,
    bucket: Bucket,
    now: Timestamp,
    request: &Claim,
) -> Outcome<Look<'a>> {
    let unsettled = Unsettled::begin(&link.feed, bucket);
    match ask(link, bucket, request).await {
        Ok((now, due, next)) => {
            link.feed.lower_due(bucket, next);
            Ok(Look { unsettled, bucket, now, due })
        }
        Err(error) => {
            link.feed.lower_due(bucket, Some(now + LOOK_AGAIN));
            unsettled.settle();
            Err(error)
        }
    }
}

/// The server's time, what is due, and when the next one after these is; `None` for never.
type Found = (Timestamp, Vec<(SessionKey, Timestamp)>, Option<Timestamp>);

async fn ask(link: &Link, bucket: Bucket, request: &Claim) -> Outcome<Found> {
    const MOST: usize = 1 << 20;
    let key = link.names.due(bucket);
    let answer = link
        .run(&LOOK, &[&key], |call| {
            call.arg(millis(request.horizon)).arg(request.limit.min(MOST));
        })
        .await?;
    let mut parts = reply::array(answer)?.into_iter();
    let (Some(now), Some(found)) = (parts.next(), parts.next()) else {
        return Err(not_understood());
    };
    let now = reply::time(now)?;
    link.learn_time(now);
    let next = match parts.next() {
        None | Some(Value::Nil) => None,
        Some(value) => Some(reply::score(value)?),
    };
    let mut due = Vec::new();
    let mut found = reply::array(found)?.into_iter();
    while let (Some(member), Some(score)) = (found.next(), found.next()) {
        let name = String::from_utf8(reply::bytes(member)?).map_err(|_| not_understood())?;
        let Ok(key) = SessionKey::from_joined(&name) else {
            tracing::warn!("the due index holds a name that is no session's");
            continue;
        };
        due.push((key, reply::score(score)?));
    }
    Ok((now, due, next))
}

/// The earliest of all, up to the limit; what is left of each look is due later.
fn choose(
    looks: &mut [Look<'_>],
    now: Timestamp,
    request: &Claim,
) -> BTreeMap<(Timestamp, SessionKey), ()> {
    let mut all = BTreeMap::new();
    for look in looks.iter_mut() {
        // Times of a server whose clock differs are told in terms of `now`.
        let apart = look.now.since(now);
        if apart >= SAME_TIME {
            look.due.iter_mut().for_each(|(_, due)| *due = *due - apart);
        }
        for (key, due) in &look.due {
            if *due <= now + request.horizon {
                all.insert((*due, key.clone()), ());
            }
        }
    }
    while all.len() > request.limit {
        all.pop_last();
    }
    all
}

/// Hides what was chosen of one bucket; returns what nobody else had moved meanwhile.
async fn hide(
    link: &Link,
    look: &Look<'_>,
    now: Timestamp,
    chosen: &BTreeMap<(Timestamp, SessionKey), ()>,
    visibility: Duration,
) -> Outcome<Vec<(SessionKey, Timestamp)>> {
    let apart = Some(look.now.since(now)).filter(|apart| *apart >= SAME_TIME).unwrap_or_default();
    let is_chosen =
        |(key, due): &&(SessionKey, Timestamp)| chosen.contains_key(&(*due, key.clone()));
    let (mine, left): (Vec<_>, Vec<_>) = look.due.iter().partition(is_chosen);
    for (_, due) in left {
        link.feed.lower_due(look.bucket, Some(*due + apart));
    }
    if mine.is_empty() {
        look.unsettled.settle();
        return Ok(Vec::new());
    }
    let hidden = |due: Timestamp| visible_again(due + apart, now + apart, visibility);
    for (_, due) in &mine {
        link.feed.lower_due(look.bucket, Some(hidden(*due)));
    }
    let key = link.names.due(look.bucket);
    let answer = link
        .run(&HIDE, &[&key], |call| {
            for (session, due) in &mine {
                let seen = (*due + apart).as_millis();
                call.arg(session.joined()).arg(seen).arg(hidden(*due).as_millis());
            }
        })
        .await?;
    look.unsettled.settle();
    let names = reply::array(answer)?.into_iter().map(reply::bytes);
    let taken = names.collect::<Outcome<Vec<_>>>()?;
    Ok(mine
        .into_iter()
        .filter(|(key, _)| taken.iter().any(|name| name == key.joined().as_bytes()))
        .cloned()
        .collect())
}
