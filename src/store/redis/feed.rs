//! What other nodes do to the sessions of this store: sharded pub/sub, one channel a bucket.
//!
//! Delivery is at most once, so that whoever relies on it also looks for himself now and then. A channel
//! is subscribed to before the first session of its bucket is read, so that no change falls in between.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::broadcast;

use crate::model::{SessionKey, Timestamp};
use crate::store::News;
use crate::store::redis::codec::Cursor;
use crate::store::redis::keys::{BUCKETS, Bucket};

/// News a listener may be behind with before it is told that it missed some.
const NEWS: usize = 16_384;

/// In [`Feed::due`]: nobody looked yet, or something may have been missed since.
const UNKNOWN: i64 = i64::MIN;
const NEVER: i64 = i64::MAX;

/// Subscriptions, news, and what they tell of when each bucket is due next.
pub(super) struct Feed {
    news: broadcast::Sender<News>,
    /// By which connection each bucket's channel was subscribed to; 0 for none.
    subscribed: Box<[AtomicU32]>,
    /// Buckets somebody waits to see subscribed to.
    asked: Mutex<Vec<Bucket>>,
    /// The earliest time something of each bucket is due, as far as this node knows.
    due: Box<[AtomicI64]>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            news: broadcast::Sender::new(NEWS),
            subscribed: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            asked: Mutex::default(),
            due: (0..BUCKETS).map(|_| AtomicI64::new(UNKNOWN)).collect(),
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody listening is fine.
        let _ = self.news.send(news);
    }

    /// True if the bucket's channel was subscribed to on connection `serial`.
    pub(super) fn is_subscribed(&self, bucket: Bucket, serial: u32) -> bool {
        self.subscribed[bucket.index()].load(Ordering::Acquire) == serial
    }

    pub(super) fn set_subscribed(&self, buckets: &[Bucket], serial: u32) {
        for bucket in buckets {
            self.subscribed[bucket.index()].store(serial, Ordering::Release);
        }
    }

    /// Has the buckets subscribed to by whoever subscribes next.
    pub(super) fn ask_for<'a>(&self, buckets: impl Iterator<Item = &'a Bucket>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(buckets);
    }

    /// What was asked for since the last call.
    pub(super) fn take_asked(&self) -> Vec<Bucket> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every bucket that was ever subscribed to.
    pub(super) fn wanted(&self) -> Vec<Bucket> {
        Bucket::all().filter(|bucket| !self.is_subscribed(*bucket, 0)).collect()
    }

    /// Something of the bucket is due at that time, or earlier.
    pub(super) fn lower_due(&self, bucket: Bucket, due: Option<Timestamp>) {
        if let Some(due) = due {
            self.due[bucket.index()].fetch_min(due.as_millis(), Ordering::AcqRel);
        }
    }

    /// Begins a look at the bucket: from here on only news lowers what is known of it.
    pub(super) fn begin_look(&self, bucket: Bucket) {
        self.due[bucket.index()].store(NEVER, Ordering::Release);
    }

    /// The bucket has to be looked at again.
    pub(super) fn forget_due(&self, bucket: Bucket) {
        self.due[bucket.index()].store(UNKNOWN, Ordering::Release);
    }

    /// The bucket's rank for a claim up to `ahead`; `None` where nothing is due by then.
    pub(super) fn due_by(&self, bucket: Bucket, ahead: Timestamp) -> Option<i64> {
        let due = self.due[bucket.index()].load(Ordering::Acquire);
        (due != NEVER && due <= ahead.as_millis()).then_some(due)
    }

    /// News may have been missed.
    pub(super) fn missed(&self) {
        Bucket::all().for_each(|bucket| self.forget_due(bucket));
        self.tell(News::Missed);
    }

    /// A push of the server. Called on the connection's own task: must not wait.
    pub(super) fn hear(&self, push: PushInfo) {
        if push.kind == PushKind::SUnsubscribe {
            return self.cut_off(&push.data);
        }
        if push.kind != PushKind::SMessage {
            return;
        }
        let [Value::BulkString(channel), Value::BulkString(message)] = &push.data[..] else {
            return;
        };
        let Some(bucket) = Bucket::of_name(channel) else { return };
        match read(message) {
            Some(Message { news, due }) => {
                self.lower_due(bucket, due);
                self.tell(news);
            }
            None => tracing::warn!("a message of Redis is not one this version of tokenhive reads"),
        }
    }
}

impl Feed {
    /// The server ended a subscription: the bucket moves to another server of a cluster. Whoever reads a
    /// session of it next subscribes there.
    fn cut_off(&self, data: &[Value]) {
        if let Some(Value::BulkString(channel)) = data.first()
            && let Some(bucket) = Bucket::of_name(channel)
        {
            self.set_subscribed(&[bucket], u32::MAX);
        }
        self.missed();
    }
}

struct Message {
    news: News,
    due: Option<Timestamp>,
}

/// Reads what `announce` in `lua/common.lua` wrote.
fn read(message: &[u8]) -> Option<Message> {
    let mut cursor = Cursor(message);
    let kind = cursor.u8()?;
    let version = cursor.u48()?;
    let due = cursor.optional_time()?;
    let key = SessionKey::from_joined(std::str::from_utf8(cursor.0).ok()?).ok()?;
    let news = match kind {
        b'c' => News::Changed { key, version },
        b'd' => News::Deleted { key, version },
        _ => return None,
    };
    Some(Message { news, due })
}

#[cfg(test)]
mod tests {
    use redis::{PushInfo, PushKind, Value};

    use super::Feed;
    use crate::model::{SessionKey, Timestamp};
    use crate::store::News;
    use crate::store::redis::keys::Bucket;

    fn message(text: &[u8]) -> PushInfo {
        let data = vec![Value::BulkString(b"th:{00a}".to_vec()), Value::BulkString(text.to_vec())];
        PushInfo { kind: PushKind::SMessage, data }
    }

    #[test]
    fn a_message_is_news_and_tells_when_its_bucket_is_due() {
        let feed = Feed::new();
        let mut heard = feed.listen();
        let bucket = Bucket::of_name(b"th:{00a}").unwrap();
        feed.begin_look(bucket);

        feed.hear(message(b"c\0\0\0\0\0\x07\0\0\0\0\0\x65acme\x1fann"));
        feed.hear(message(b"nonsense"));

        let key = SessionKey::new("acme", "ann").unwrap();
        assert_eq!(heard.try_recv(), Ok(News::Changed { key, version: 7 }));
        assert!(heard.try_recv().is_err());
        assert_eq!(feed.due_by(bucket, Timestamp::from_millis(99)), None);
        assert_eq!(feed.due_by(bucket, Timestamp::from_millis(100)), Some(100));
    }

    #[test]
    fn a_subscription_the_server_ends_is_not_relied_on() {
        let feed = Feed::new();
        let mut heard = feed.listen();
        let bucket = Bucket::of_name(b"th:{00a}").unwrap();
        feed.set_subscribed(&[bucket], 1);

        let data = vec![Value::BulkString(b"th:{00a}".to_vec()), Value::Int(0)];
        feed.hear(PushInfo { kind: PushKind::SUnsubscribe, data });

        assert!(!feed.is_subscribed(bucket, 1));
        assert_eq!(heard.try_recv(), Ok(News::Missed));
    }

    #[test]
    fn after_missed_news_every_bucket_is_looked_at_again() {
        let feed = Feed::new();
        let mut heard = feed.listen();
        Bucket::all().for_each(|bucket| feed.begin_look(bucket));

        feed.missed();

        assert_eq!(heard.try_recv(), Ok(News::Missed));
        let long_ago = Timestamp::from_millis(0);
        assert!(Bucket::all().all(|bucket| feed.due_by(bucket, long_ago).is_some()));
    }
}
