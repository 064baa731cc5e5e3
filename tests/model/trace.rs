//! A way to a finding as text: one line a step, and what stands after it.

use std::fmt::Write;

use crate::model::Model;
use crate::provider::Class;
use crate::record::{Record, Standing};
use crate::setup::Setup;
use crate::state::{AttemptNo, State, Token};

/// Tells the steps of `way` from the start, by their place among the steps of each state.
pub(crate) fn tell(setup: Setup, way: &[u8]) -> String {
    let mut model = Model::new(setup);
    let mut state = State::logged_in();
    let mut text = line(0, "a session has logged in", setup.class, &state);
    for (number, place) in (1..).zip(way) {
        model.expand(&state);
        let edge = model.edges[usize::from(*place)];
        state = edge.to;
        text.push_str(&line(number, &edge.step.to_string(), setup.class, &state));
    }
    text
}

fn line(number: usize, what: &str, class: Class, state: &State) -> String {
    let mut line = format!("{number:>3}. {what:<44} store {}", stored(state.store.as_ref()));
    let good: Vec<String> = (0..state.provider.next)
        .map(Token)
        .filter(|token| state.provider.accepts(class, *token))
        .map(|token| token.to_string())
        .collect();
    let good = if good.is_empty() { "nothing".to_owned() } else { good.join(" ") };
    writeln!(line, " | provider accepts {good}").expect("text takes everything");
    line
}

fn stored(record: Option<&Record>) -> String {
    let Some(record) = record else { return "empty".to_owned() };
    let standing = match record.standing {
        Standing::Active => "",
        Standing::Suspect => " SUSPECT",
        Standing::Dead => " DEAD",
    };
    let spare = record.spare.map_or_else(String::new, |spare| format!(" spare {spare}"));
    let slot = record.slot.map_or_else(String::new, |slot| format!(" slot {slot}"));
    format!("g{} {}{spare}{slot}{standing}", record.generation, record.token)
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl std::fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::search;
    use crate::faults::Faults;
    use crate::provider::Class;
    use crate::setup::{Protocol, Setup, World};
    use crate::verdict::Finding;

    #[test]
    fn the_way_to_a_loss_is_told_step_by_step() {
        let setup = Setup {
            class: Class::Revoking,
            nodes: 2,
            generations: 2,
            faults: Faults { takeovers: 1, ..Faults::NONE },
            world: World::SOUND,
            protocol: Protocol { confirmed_begin: false, ..Protocol::SOUND },
        };

        let report = search(setup);
        let told = super::tell(setup, &report.findings[&Finding::Loss]);

        let steps: Vec<&str> = told.lines().filter_map(|line| line.get(5..50)).collect();
        let steps: Vec<&str> = steps.into_iter().map(str::trim).collect();
        assert_eq!(
            steps,
            [
                "a session has logged in",
                "A begins #1",
                "A sends request #1",
                "the provider works on #1",
                "B TAKES #1 OVER as #2",
                "B sends request #2",
                "the provider works on #2",
            ]
        );
        assert!(told.ends_with("store g1 t0 slot #2 | provider accepts nothing\n"), "{told}");
    }
}
