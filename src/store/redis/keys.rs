//! Names in Redis: keys, channels, and the bucket every session falls into.

use crate::model::SessionKey;

/// How many buckets there are, for the life of a deployment: a session's entry, its due time and its
/// channel carry the bucket's hash tag, so that every script stays within one slot of a cluster.
pub(super) const BUCKETS: u16 = 4096;

/// One of [`BUCKETS`] parts of all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bucket(u16);

impl Bucket {
    /// The session's bucket, the same on every node and for ever: FNV-1a, folded to 12 bits.
    pub(super) fn of(key: &SessionKey) -> Self {
        let hash = key
            .joined()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let folded = (hash ^ (hash >> 12) ^ (hash >> 24)) & 0xfff;
        Self(u16::try_from(folded).expect("12 bits"))
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    /// Reads the tag back out of a name made by [`Names`].
    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        let open = name.iter().rposition(|byte| *byte == b'{')?;
        let tag = name.get(open + 1..open + 4)?;
        let index = u16::from_str_radix(std::str::from_utf8(tag).ok()?, 16).ok()?;
        (index < BUCKETS).then_some(Self(index))
    }
}

/// Makes the names. Everything of one deployment begins with its prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// `prefix` holds no brace, or it would be taken for a hash tag.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn entry(&self, bucket: Bucket, key: &SessionKey) -> String {
        self.tagged(bucket, &["s", key.joined()])
    }

    pub(super) fn due(&self, bucket: Bucket) -> String {
        self.tagged(bucket, &["due"])
    }

    pub(super) fn channel(&self, bucket: Bucket) -> String {
        self.tagged(bucket, &[])
    }

    /// By hand, since every read makes a name: formatting one takes longer than opening its token's seal.
    fn tagged(&self, bucket: Bucket, rest: &[&str]) -> String {
        let rest_len: usize = rest.iter().map(|part| part.len()).sum();
        let mut name = String::with_capacity(self.prefix.len() + "{fff}".len() + rest_len);
        name.push_str(&self.prefix);
        name.push('{');
        for shift in [8, 4, 0] {
            let digit = u32::from(bucket.0 >> shift & 0xf);
            name.push(char::from_digit(digit, 16).expect("below 16"));
        }
        name.push('}');
        rest.iter().for_each(|part| name.push_str(part));
        name
    }

    pub(super) fn session(&self, key: &SessionKey) -> SessionNames {
        let bucket = Bucket::of(key);
        SessionNames {
            entry: self.entry(bucket, key),
            due: self.due(bucket),
            channel: self.channel(bucket),
        }
    }

    pub(super) fn login(&self, digest: &str) -> String {
        format!("{}login:{digest}", self.prefix)
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    pub(super) fn server(&self) -> String {
        format!("{}server", self.prefix)
    }
}

/// What a session is kept under.
pub(super) struct SessionNames {
    pub(super) entry: String,
    pub(super) due: String,
    pub(super) channel: String,
}

impl SessionNames {
    /// In the order the scripts take them.
    pub(super) fn all(&self) -> [&str; 3] {
        [&self.entry, &self.due, &self.channel]
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Names};
    use crate::model::SessionKey;

    #[test]
    fn buckets_are_the_same_for_ever() {
        let bucket = |session| Bucket::of(&SessionKey::new("acme", session).unwrap()).index();

        assert_eq!([bucket("user-1"), bucket("user-2"), bucket("é")], [3025, 1563, 2404]);
    }

    #[test]
    fn sessions_spread_over_all_buckets() {
        let mut counts = vec![0_u32; super::BUCKETS.into()];
        for number in 0..40_960 {
            let key = SessionKey::new("acme", format!("user-{number}")).unwrap();
            counts[Bucket::of(&key).index()] += 1;
        }

        let most = counts.iter().max().unwrap();
        assert!(*most <= 30 && !counts.contains(&0), "at most {most}");
    }

    #[test]
    fn names_of_a_bucket_carry_its_tag_whatever_the_session_is_called() {
        let names = Names::new("th:");
        let key = SessionKey::new("a{b}c", "}{").unwrap();
        let bucket = Bucket::of(&key);
        let tag = |name: &str| name.split(['{', '}']).nth(1).unwrap().to_owned();

        let entry = names.entry(bucket, &key);

        assert_eq!(tag(&entry), tag(&names.due(bucket)));
        assert_eq!(tag(&entry), tag(&names.channel(bucket)));
        assert_eq!(Bucket::of_name(names.channel(bucket).as_bytes()), Some(bucket));
    }
}
