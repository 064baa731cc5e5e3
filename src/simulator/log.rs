//! Keeps the ground truth: events in total order up to a limit, and exact totals.

use std::collections::VecDeque;

use crate::model::Timestamp;
use crate::simulator::faults::{FaultAction, GrantFilter};
use crate::simulator::truth::{Answer, Event, EventKind, Outcome, Totals};

/// The running record.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: VecDeque<Event>,
    forgotten: u64,
    sequence: u64,
    pub totals: Totals,
}

impl Log {
    /// An event of `kind` with its place in the order; the caller completes it, then files it.
    pub(crate) fn event(&mut self, kind: EventKind, at: Timestamp) -> Event {
        self.sequence += 1;
        Event {
            sequence: self.sequence,
            at_ms: at.as_millis(),
            kind,
            user: None,
            family: None,
            generation: None,
            presented: None,
            issued: None,
            outcome: None,
            answer: None,
            from: None,
            reason: None,
            fault: None,
        }
    }

    /// Files an event, forgetting the oldest beyond `limit`, and counts it.
    pub(crate) fn file(&mut self, event: Event, limit: usize) {
        let totals = &mut self.totals;
        match event.kind {
            EventKind::CodeIssued => totals.codes_issued += 1,
            EventKind::SessionMinted => totals.families += 1,
            EventKind::FamilyRevoked => {
                if let Some(reason) = event.reason {
                    *totals.families_revoked.entry(reason).or_default() += 1;
                }
            }
            EventKind::CodePresented => count_code(totals, &event),
            EventKind::RefreshPresented => count_refresh(totals, &event),
            EventKind::LoginDenied | EventKind::AccessTokenRevoked => {}
        }
        self.events.push_back(event);
        while self.events.len() > limit {
            self.events.pop_front();
            self.forgotten += 1;
        }
    }

    /// Counts one more presentation of a refresh token that had been presented `before` times.
    pub(crate) fn count_presentation(&mut self, before: u32) {
        let histogram = &mut self.totals.presentations_per_generation;
        if let Some(tokens) = histogram.get_mut(&before) {
            *tokens -= 1;
            if *tokens == 0 {
                histogram.remove(&before);
            }
        }
        *histogram.entry(before + 1).or_default() += 1;
    }

    /// Counts a token request as it comes in.
    pub(crate) fn count_request(&mut self, grant: GrantFilter, fault: Option<&FaultAction>) {
        self.totals.token_requests += 1;
        match grant {
            GrantFilter::Code => self.totals.code_requests += 1,
            GrantFilter::Refresh => self.totals.refresh_requests += 1,
            GrantFilter::Any => {}
        }
        if let Some(fault) = fault {
            *self.totals.faults.entry(fault.name().to_owned()).or_default() += 1;
        }
    }

    /// The events kept, and how many are not.
    pub(crate) fn events(&self) -> (Vec<Event>, u64) {
        (self.events.iter().cloned().collect(), self.forgotten)
    }

    /// The totals, ratios worked out.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        if totals.redeemed_generations > 0 {
            totals.calls_per_refresh =
                totals.presentations as f64 / totals.redeemed_generations as f64;
        }
        totals
    }
}

fn count_code(totals: &mut Totals, event: &Event) {
    match event.outcome {
        Some(Outcome::Redeemed) => {
            totals.codes_exchanged += 1;
            totals.families += 1;
            count_answer(totals, event.answer);
        }
        Some(Outcome::ReplayRevoked) => totals.codes_replayed += 1,
        Some(Outcome::NotConsumed) => totals.not_consumed += 1,
        _ => {}
    }
}

fn count_refresh(totals: &mut Totals, event: &Event) {
    let Some(outcome) = event.outcome else { return };
    if event.family.is_some() {
        totals.presentations += 1;
    }
    if outcome == Outcome::Redeemed {
        totals.redeemed_generations += 1;
    }
    if outcome.is_success() {
        totals.redemptions += 1;
        count_answer(totals, event.answer);
    }
    if outcome.is_allowed_replay() {
        totals.replays_allowed += 1;
    }
    if outcome.is_detected_reuse() {
        totals.reuse_detected += 1;
    }
    if outcome == Outcome::NotConsumed {
        totals.not_consumed += 1;
    }
}

fn count_answer(totals: &mut Totals, answer: Option<Answer>) {
    if matches!(answer, Some(Answer::Spoiled | Answer::Withheld)) {
        totals.answers_lost += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Log;
    use crate::model::Timestamp;
    use crate::simulator::truth::{EventKind, Totals};

    #[test]
    fn old_events_go_and_totals_stay() {
        let mut log = Log::default();
        for _ in 0..5 {
            let event = log.event(EventKind::CodeIssued, Timestamp::from_millis(1));
            log.file(event, 2);
        }

        let (events, forgotten) = log.events();

        assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(forgotten, 3);
        assert_eq!(log.totals().codes_issued, 5);
    }

    #[test]
    fn the_histogram_moves_a_token_from_count_to_count() {
        let mut log = Log::default();

        log.count_presentation(0);
        log.count_presentation(0);
        log.count_presentation(1);

        let Totals { presentations_per_generation, .. } = log.totals();
        assert_eq!(presentations_per_generation.into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    }
}
