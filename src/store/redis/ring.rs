//! Which node looks after which buckets: rendezvous hashing over the nodes that live.
//!
//! Every node works it out for itself from the same list. Two nodes that see different lists for a while
//! may both look after a bucket, or neither: the first costs a look that finds nothing, as claimed
//! sessions hide; the second ends with the next list.

use std::sync::{Mutex, PoisonError};

use crate::store::redis::keys::Bucket;

/// The buckets this node looks after.
pub(super) struct Ring {
    pub(super) me: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Vec<String>,
    mine: Vec<Bucket>,
}

impl Ring {
    pub(super) fn new(me: String) -> Self {
        Self { me, state: Mutex::default() }
    }

    /// Takes note of who lives; returns the buckets that fell to this node by it.
    pub(super) fn update(&self, mut members: Vec<String>) -> Vec<Bucket> {
        members.sort();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if members == state.members {
            return Vec::new();
        }
        let mine: Vec<Bucket> =
            Bucket::all().filter(|bucket| owner(&members, *bucket) == Some(&self.me)).collect();
        let had = |bucket: &Bucket| state.mine.binary_search(bucket).is_ok();
        let adopted = mine.iter().copied().filter(|bucket| !had(bucket)).collect();
        *state = State { members, mine };
        adopted
    }

    pub(super) fn mine(&self) -> Vec<Bucket> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mine.clone()
    }

    pub(super) fn members(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).members.len()
    }
}

fn owner(members: &[String], bucket: Bucket) -> Option<&String> {
    members.iter().max_by_key(|member| weight(member, bucket))
}

/// The same on every node: FNV-1a over both, well mixed.
fn weight(member: &str, bucket: Bucket) -> u64 {
    let index = bucket.index().to_be_bytes();
    let hash = member.bytes().chain(index).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::Ring;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_bucket_has_one_owner_and_the_load_is_shared() {
        let members = names(&["a", "b", "c"]);
        let shares: Vec<_> = members
            .iter()
            .map(|me| {
                let ring = Ring::new(me.clone());
                assert_eq!(ring.update(members.clone()), ring.mine());
                ring.mine()
            })
            .collect();

        let mut all: Vec<_> = shares.concat();
        all.sort();
        all.dedup();
        assert_eq!((all.len(), shares.concat().len()), (4096, 4096));
        assert!(shares.iter().all(|share| (1100..1650).contains(&share.len())));
    }

    #[test]
    fn a_dead_nodes_buckets_are_adopted_and_nothing_else_moves() {
        let ring = Ring::new("a".to_owned());
        ring.update(names(&["a", "b", "c"]));
        let before = ring.mine();

        let adopted = ring.update(names(&["c", "a"]));

        let mut expected = [before, adopted.clone()].concat();
        expected.sort();
        assert_eq!(ring.mine(), expected);
        assert!(!adopted.is_empty());
        assert_eq!(ring.update(names(&["a", "c"])), [], "the same nodes");
    }
}
