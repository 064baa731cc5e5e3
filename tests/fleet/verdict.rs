//! Judges what a provider saw: how often each refresh token was presented and why more than once, and which
//! fault each lost session is owed to. Every line is read off the provider's log.

use std::collections::BTreeMap;
use std::time::Duration;

use tokenhive::simulator::{Answer, Event, EventKind, Fingerprint, GroundTruth, Outcome};

use crate::fleet::class::Class;
use crate::fleet::diary::Diary;

/// Both sides of the disturbance of a busy machine: an exchange may take this much longer than the
/// provider's latency.
const SLACK: Duration = Duration::from_millis(500);

/// What is known of the run.
pub struct Run<'a> {
    pub class: Class,
    pub truth: &'a GroundTruth,
    pub diary: &'a Diary,
    /// The provider's.
    pub latency: Duration,
    /// How long nobody takes a silent exchange over.
    pub patience: Duration,
    /// Users whose sessions have ended.
    pub lost: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Users whose sessions have ended, and the fault that promise P5 names.
    pub explained: Vec<String>,
    /// Users whose sessions have ended, and nothing that P5 names.
    pub unexplained: Vec<String>,
    /// Presentations that no fault calls for (promise P3).
    pub unexcused: Vec<String>,
}

impl Run<'_> {
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut users: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in &self.truth.events {
            if let (EventKind::RefreshPresented, Some(user)) = (event.kind, &event.user) {
                users.entry(user).or_default().push(event);
            }
        }
        for (user, events) in &users {
            verdict.unexcused.extend(self.unexcused(user, events));
        }
        for user in &self.lost {
            let none = Vec::new();
            let events = users.get(user.as_str()).unwrap_or(&none);
            match self.explain(events) {
                Ok(why) => verdict.explained.push(format!("{user}: {why}")),
                Err(why) => verdict.unexplained.push(format!("{user}: {why}")),
            }
        }
        verdict
    }

    /// Every presentation of a refresh token but its last has to be owed to a fault. Where the token never
    /// changes a further one is what keeps the session alive, and says nothing.
    fn unexcused(&self, user: &str, events: &[&Event]) -> Vec<String> {
        if self.class == Class::N {
            return Vec::new();
        }
        let mut tokens: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let token = event.presented.as_ref().map(Fingerprint::to_string).unwrap_or_default();
            tokens.entry(token).or_default().push(event);
        }
        let but_last = tokens.values().flat_map(|events| &events[..events.len() - 1]);
        but_last
            .filter(|event| self.excuse(event).is_none() && !self.is_suspected(event))
            .map(|event| format!("{user}: presented again without a fault: {}", line(event)))
            .collect()
    }

    /// Whether it was refused where a repetition is refused and nothing else happens: before the session is
    /// given up for it, there is one last try.
    fn is_suspected(&self, event: &Event) -> bool {
        self.class == Class::S && event.outcome == Some(Outcome::ReplayRejected)
    }

    /// The fault that kept a presentation's answer from being used in time.
    fn excuse(&self, event: &Event) -> Option<String> {
        if event.outcome == Some(Outcome::NotConsumed) || event.answer != Some(Answer::Sent) {
            return event.fault.clone();
        }
        let (from, until) = self.around(event);
        let node = event.from.as_deref().unwrap_or_default();
        if self.diary.killed(node, from, until).is_some() {
            return Some(format!("node {node} was killed"));
        }
        if self.diary.halted(node, from, until).is_some() {
            return Some(format!("node {node} was halted"));
        }
        self.diary.redis_was_out(from, until).then(|| "Redis was out".to_owned())
    }

    /// Why a session could be lost, in the words of promise P5, or what happened instead.
    fn explain(&self, events: &[&Event]) -> Result<String, String> {
        let is_refused = |event: &&&Event| {
            event.outcome.is_some_and(|outcome| !outcome.is_success())
                && event.outcome != Some(Outcome::NotConsumed)
        };
        // Where a refusal revokes, the first one was the end. Where it does nothing else, all but the last
        // were healed by a late answer, for the session went on.
        let refused = match self.class {
            Class::S => events.iter().rfind(is_refused),
            _ => events.iter().find(is_refused),
        };
        let Some(refused) = refused else {
            return Err("the provider never refused it".to_owned());
        };
        let redeemed = events.iter().find(|event| {
            event.presented == refused.presented && event.outcome == Some(Outcome::Redeemed)
        });
        let Some(redeemed) = redeemed else {
            return Err(format!("refused before it was ever redeemed: {}", line(refused)));
        };
        let story = || format!("{}, then {}", line(redeemed), line(refused));
        let node = redeemed.from.as_deref().unwrap_or_default();
        if redeemed.answer != Some(Answer::Sent) {
            return Ok(format!("the answer was lost: {}", story()));
        }
        let at = redeemed.at_ms;
        let (from, until) = self.around(redeemed);
        // A node that is halted has the answer in its socket until it runs again.
        let halt_ends =
            self.diary.halt_ends(node, from, until).map_or(until, |end| end + until - at);
        if let Some(killed) = self.diary.killed(node, from, halt_ends.max(until)) {
            let (span, side) = ((killed - at).abs(), if killed < at { "before" } else { "after" });
            return Ok(format!(
                "node {node} was killed {span} ms {side} the provider's commit, its request on the way: {}",
                story()
            ));
        }
        let patience = i64::try_from(self.patience.as_millis()).expect("minutes");
        // Redis was out, only its journal had the answer, and it was not there to say so before the patience
        // was over.
        if self.class == Class::R
            && refused.at_ms - at >= patience
            && let Some(since) = self.diary.away_since(node, at, refused.at_ms)
            && self.diary.redis_was_out(from, since)
        {
            return Ok(format!(
                "node {node} was away since {} ms after the provider's commit and still when its patience was \
                 over, and Redis was out before: {}",
                since - at,
                story()
            ));
        }
        match self.diary.halted(node, from, until) {
            Some(span) if span >= patience && self.class == Class::R => Ok(format!(
                "node {node} was halted for {span} ms, longer than the patience of {patience} ms: {}",
                story()
            )),
            _ => Err(story()),
        }
    }

    /// The time in which a presentation was under way.
    fn around(&self, event: &Event) -> (i64, i64) {
        let span = self.latency + SLACK;
        let span = i64::try_from(span.as_millis()).expect("seconds");
        (event.at_ms - span, event.at_ms + span)
    }
}

/// An event in a few words.
fn line(event: &Event) -> String {
    format!(
        "#{} {:?} by {} at {} ({:?}{})",
        event.sequence,
        event.outcome.expect("every presentation has an outcome"),
        event.from.as_deref().unwrap_or("?"),
        event.at_ms % 1_000_000,
        event.answer.expect("every presentation has an answer"),
        event.fault.as_deref().map(|fault| format!(", {fault}")).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokenhive::simulator::{Answer, Event, EventKind, Fingerprint, GroundTruth, Outcome};

    use super::{Run, Verdict};
    use crate::fleet::class::Class;
    use crate::fleet::diary::{Diary, Disturbance};

    /// A presentation of `token` by node a.
    fn presented(sequence: u64, token: &str, outcome: Outcome, answer: Answer) -> Event {
        Event {
            sequence,
            at_ms: i64::try_from(sequence).unwrap() * 10_000,
            kind: EventKind::RefreshPresented,
            user: Some("user-1".into()),
            family: Some(1),
            generation: Some(0),
            presented: Some(Fingerprint::of(token)),
            issued: None,
            outcome: Some(outcome),
            answer: Some(answer),
            from: Some("a".into()),
            reason: None,
            fault: (answer != Answer::Sent).then(|| "drop_after_commit".into()),
        }
    }

    fn judge(class: Class, events: Vec<Event>, diary: &Diary) -> Verdict {
        let truth = GroundTruth { events, ..GroundTruth::default() };
        let (latency, patience) = (Duration::from_millis(100), Duration::from_secs(3));
        let lost = vec!["user-1".to_owned()];
        Run { class, truth: &truth, diary, latency, patience, lost }.judge()
    }

    fn twice(answer: Answer) -> Vec<Event> {
        vec![
            presented(1, "t", Outcome::Redeemed, answer),
            presented(2, "t", Outcome::ReplayRevoked, Answer::Sent),
        ]
    }

    #[test]
    fn a_lost_answer_explains_a_lost_session() {
        let verdict = judge(Class::R, twice(Answer::Withheld), &Diary::default());

        assert_eq!(verdict.explained.len(), 1);
        assert!(verdict.unexplained.is_empty() && verdict.unexcused.is_empty());
    }

    #[test]
    fn a_replay_without_a_fault_is_called_out() {
        let verdict = judge(Class::R, twice(Answer::Sent), &Diary::default());

        assert_eq!((verdict.unexplained.len(), verdict.unexcused.len()), (1, 1));
    }

    #[test]
    fn an_answer_that_only_the_journal_has_is_lost_in_class_r_when_its_node_is_away_for_the_patience()
     {
        let judged = |class, is_redis_out: bool, away_until| {
            let mut diary = Diary::default();
            diary.note(Disturbance::Halted("a".into()), 12_000, away_until);
            if is_redis_out {
                diary.note(Disturbance::RedisKilled, 9_900, 12_100);
            }
            judge(class, twice(Answer::Sent), &diary).explained.len()
        };

        assert_eq!(judged(Class::R, true, 21_000), 1);
        assert_eq!(judged(Class::R, false, 21_000), 0, "Redis had it by then");
        assert_eq!(judged(Class::R, true, 19_000), 0, "it was there to say so");
        assert_eq!(judged(Class::S, true, 21_000), 0, "there it heals the session later");
    }

    #[test]
    fn what_ended_a_session_is_its_last_refusal_where_a_late_answer_healed_an_earlier_one() {
        let events = || {
            vec![
                presented(1, "t", Outcome::Redeemed, Answer::Sent),
                presented(2, "t", Outcome::ReplayRejected, Answer::Sent),
                presented(3, "u", Outcome::Redeemed, Answer::Withheld),
                presented(4, "u", Outcome::ReplayRejected, Answer::Sent),
            ]
        };

        assert_eq!(judge(Class::S, events(), &Diary::default()).explained.len(), 1);
        assert_eq!(judge(Class::R, events(), &Diary::default()).unexplained.len(), 1);
        let mut unhealed = events();
        unhealed.truncate(2);
        assert_eq!(judge(Class::S, unhealed, &Diary::default()).unexplained.len(), 1);
    }

    #[test]
    fn a_kill_explains_a_loss_only_while_the_request_is_under_way_and_of_the_node_that_asked() {
        let killed = |node: &str, at| {
            let mut diary = Diary::default();
            diary.note(Disturbance::Killed(node.into()), at, at + 500);
            judge(Class::S, twice(Answer::Sent), &diary)
        };

        assert_eq!(killed("a", 10_050).explained.len(), 1);
        assert_eq!(killed("a", 9_950).explained.len(), 1, "what is sent is worked on all the same");
        assert_eq!(killed("a", 5_000).unexplained.len(), 1);
        assert_eq!(killed("a", 9_000).unexplained.len(), 1, "that one was over before");
        assert_eq!(killed("b", 10_050).unexplained.len(), 1);
        assert_eq!(killed("a", 14_000).unexplained.len(), 1);
    }

    #[test]
    fn a_halt_explains_a_loss_only_beyond_the_patience_and_only_in_class_r() {
        let halted = |class, span: i64| {
            let mut diary = Diary::default();
            diary.note(Disturbance::Halted("a".into()), 10_020, 10_020 + span);
            judge(class, twice(Answer::Sent), &diary)
        };

        assert_eq!(halted(Class::R, 4_000).explained.len(), 1);
        assert_eq!(halted(Class::R, 2_000).unexplained.len(), 1);
        assert_eq!(halted(Class::S, 4_000).unexplained.len(), 1);
    }
}
