//! Which sessions are due when, each at most once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::model::SessionKey;

/// A `DelayQueue` panics beyond 2^36 ms; nothing that far is ever queued on purpose.
const FURTHEST: Duration = Duration::from_secs(24 * 3600);

/// A timer queue with one entry a session.
#[derive(Default)]
pub(crate) struct DueQueue {
    timers: DelayQueue<SessionKey>,
    /// Where each session stands in `timers`. An entry goes when its timer fires: the queue uses keys again.
    keys: HashMap<SessionKey, Key>,
}

impl DueQueue {
    /// Queues the session, or moves it forward; never moves it back.
    pub(crate) fn insert(&mut self, key: SessionKey, after: Duration) {
        let after = after.min(FURTHEST);
        match self.keys.entry(key) {
            Entry::Occupied(queued) => {
                let timer = *queued.get();
                if self.timers.deadline(&timer) > Instant::now() + after {
                    self.timers.reset(&timer, after);
                }
            }
            Entry::Vacant(vacant) => {
                let timer = self.timers.insert(vacant.key().clone(), after);
                vacant.insert(timer);
            }
        }
    }

    /// The next session that is due. Waits for ever while nothing is queued.
    pub(crate) async fn next(&mut self) -> SessionKey {
        let key = poll_fn(|context| match self.timers.poll_expired(context) {
            Poll::Ready(Some(expired)) => Poll::Ready(expired.into_inner()),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await;
        self.keys.remove(&key);
        key
    }

    /// Empties the queue; tells how long each session has left.
    pub(crate) fn drain(&mut self) -> Vec<(SessionKey, Duration)> {
        let now = Instant::now();
        let left = |timer| self.timers.deadline(timer).saturating_duration_since(now);
        let all = self.keys.iter().map(|(key, timer)| (key.clone(), left(timer))).collect();
        self.timers.clear();
        self.keys.clear();
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::DueQueue;
    use crate::model::SessionKey;

    fn key(name: &str) -> SessionKey {
        SessionKey::new("t", name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_come_in_order_each_once() {
        let mut queue = DueQueue::default();
        queue.insert(key("late"), Duration::from_secs(9));
        queue.insert(key("early"), Duration::from_secs(3));
        queue.insert(key("early"), Duration::from_secs(5));

        assert_eq!(queue.next().await, key("early"));
        assert_eq!(queue.next().await, key("late"));
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_moves_forward_and_never_back() {
        let mut queue = DueQueue::default();
        let began = Instant::now();
        queue.insert(key("a"), Duration::from_secs(9));
        queue.insert(key("a"), Duration::from_secs(2));
        queue.insert(key("a"), Duration::from_secs(8));

        queue.next().await;

        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_at_the_end_is_told_with_its_time() {
        let mut queue = DueQueue::default();
        queue.insert(key("a"), Duration::from_secs(9));
        tokio::time::advance(Duration::from_secs(4)).await;

        assert_eq!(queue.drain(), [(key("a"), Duration::from_secs(5))]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_furthest_future_does_not_panic() {
        let mut queue = DueQueue::default();

        queue.insert(key("a"), Duration::MAX);

        assert_eq!(queue.len(), 1);
    }
}
