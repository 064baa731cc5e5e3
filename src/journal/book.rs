//! What is open, where it stands, and which segments nobody needs any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::ledger::AttemptId;
use crate::model::BootTime;

/// What the writer remembers of all segments on disk.
#[derive(Debug, Default)]
pub(super) struct Book {
    segments: BTreeMap<u64, Segment>,
    /// The segments in which each open exchange has an entry.
    open: HashMap<AttemptId, Vec<u64>>,
    /// The size of all segments.
    bytes: u64,
}

/// What is remembered of one segment.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: u64,
    /// The last time anything happened to what stands in it; `None` if nothing stands in it.
    pub(super) touched: Option<BootTime>,
    /// Exchanges that are not done.
    pub(super) open: HashSet<AttemptId>,
    /// Other segments whose exchanges are marked as done in this one.
    pub(super) marks: BTreeSet<u64>,
    /// It could not be read, so nobody knows what it holds: it stays.
    pub(super) kept: bool,
}

impl Segment {
    fn touch(&mut self, now: BootTime) {
        self.touched = self.touched.max(Some(now));
    }

    fn is_needed(&self, now: BootTime, retention: Duration) -> bool {
        let young = self.touched.is_some_and(|touched| now.since(touched) <= retention);
        self.kept || young || !self.open.is_empty()
    }
}

impl Book {
    pub(super) fn add(&mut self, number: u64, segment: Segment) {
        for attempt in &segment.open {
            self.open.entry(*attempt).or_default().push(number);
        }
        self.bytes += segment.bytes;
        self.segments.insert(number, segment);
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(segment) = self.segments.remove(&number) else {
            return;
        };
        self.bytes -= segment.bytes;
        for attempt in &segment.open {
            if let Some(places) = self.open.get_mut(attempt) {
                places.retain(|place| *place != number);
            }
        }
    }

    /// The size of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn resize(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            self.bytes = self.bytes - segment.bytes + bytes;
            segment.bytes = bytes;
        }
    }

    /// The numbers and sizes of all segments, oldest first.
    pub(super) fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        self.segments.iter().map(|(number, segment)| (*number, segment.bytes))
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.segments.last_key_value().map(|(number, _)| *number)
    }

    pub(super) fn is_open(&self, attempt: AttemptId) -> bool {
        self.open.contains_key(&attempt)
    }

    /// Something was written into a segment.
    pub(super) fn touch(&mut self, number: u64, now: BootTime) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.touch(now);
        }
    }

    /// An entry of an open exchange stands in a segment.
    pub(super) fn opens(&mut self, attempt: AttemptId, number: u64) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        if segment.open.insert(attempt) {
            self.open.entry(attempt).or_default().push(number);
        }
    }

    /// An exchange is done, and the mark stands in segment `by`.
    pub(super) fn closes(&mut self, attempt: AttemptId, by: u64, now: BootTime) {
        for place in self.open.remove(&attempt).unwrap_or_default() {
            if let Some(segment) = self.segments.get_mut(&place) {
                segment.open.remove(&attempt);
                segment.touch(now);
            }
            self.marks(by, place);
        }
    }

    /// Segment `by` says what is done in segment `of`.
    pub(super) fn marks(&mut self, by: u64, of: u64) {
        if let Some(segment) = self.segments.get_mut(&by).filter(|_| by != of) {
            segment.marks.insert(of);
        }
    }

    /// Segment `heir` says what segment `from` said.
    pub(super) fn inherit(&mut self, heir: u64, from: u64) {
        let marks = self.segments.get(&from).map(|segment| segment.marks.clone());
        for of in marks.unwrap_or_default() {
            self.marks(heir, of);
        }
    }

    /// Segments nobody needs any more. The newest one stays, so that numbers go up for ever.
    pub(super) fn removable(&self, now: BootTime, retention: Duration) -> BTreeSet<u64> {
        let mut numbers: BTreeSet<u64> = self
            .segments
            .iter()
            .filter(|(_, segment)| !segment.is_needed(now, retention))
            .map(|(number, _)| *number)
            .collect();
        self.newest().map(|newest| numbers.remove(&newest));
        numbers
    }

    /// What is open in the segments that stay and whose marks stand in those that go.
    pub(super) fn remaining_without(&self, going: &BTreeSet<u64>) -> Vec<(u64, Vec<AttemptId>)> {
        let marked: BTreeSet<u64> = going
            .iter()
            .filter_map(|number| self.segments.get(number))
            .flat_map(|segment| segment.marks.iter().copied())
            .collect();
        marked
            .difference(going)
            .filter_map(|number| Some((*number, self.segments.get(number)?)))
            .map(|(number, segment)| (number, segment.open.iter().copied().collect()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{Book, Segment};
    use crate::ledger::AttemptId;
    use crate::model::BootTime;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: BootTime = BootTime::from_nanos(1);

    fn book(segments: u64) -> Book {
        let mut book = Book::default();
        for number in 1..=segments {
            book.add(number, Segment { bytes: 100, ..Segment::default() });
            book.touch(number, START);
        }
        book
    }

    #[test]
    fn segment_stays_while_it_is_open_young_or_the_newest() {
        let mut book = book(4);
        book.opens(AttemptId(1), 1);
        book.opens(AttemptId(2), 2);

        assert!(book.removable(START + MINUTE, MINUTE).is_empty(), "young");
        assert_eq!(book.removable(START + 2 * MINUTE, MINUTE), BTreeSet::from([3]));
        book.add(0, Segment { kept: true, ..Segment::default() });
        assert_eq!(book.removable(START + 2 * MINUTE, MINUTE), BTreeSet::from([3]), "unreadable");

        book.closes(AttemptId(1), 3, START + 2 * MINUTE);
        assert_eq!(book.removable(START + 3 * MINUTE, MINUTE), BTreeSet::from([3]), "just done");
        assert_eq!(book.removable(START + 4 * MINUTE, MINUTE), BTreeSet::from([1, 3]));
    }

    #[test]
    fn what_remains_open_is_told_before_the_marks_go() {
        let mut book = book(4);
        for attempt in 1..=3 {
            book.opens(AttemptId(attempt), 1);
        }
        book.opens(AttemptId(3), 2);
        book.closes(AttemptId(1), 2, START);
        book.closes(AttemptId(2), 3, START);

        let remaining = book.remaining_without(&BTreeSet::from([3]));

        assert_eq!(remaining, [(1, vec![AttemptId(3)])]);
        assert!(book.remaining_without(&BTreeSet::from([1, 2, 3])).is_empty());
    }

    #[test]
    fn size_is_the_sum_of_what_is_there() {
        let mut book = book(2);
        book.resize(2, 130);
        assert_eq!(book.bytes(), 230);

        book.remove(1);

        assert_eq!((book.bytes(), book.newest()), (130, Some(2)));
        assert_eq!(book.segments().collect::<Vec<_>>(), [(2, 130)]);
    }
}
