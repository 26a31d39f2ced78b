//! What is broken on one link: rules as plain data, and what they mean for a connection.

use crate::protocol::Label;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Names a fault on links, so that it can be healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u64);

/// Whose connections a fault hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// All, except those of the harness itself.
    Everyone,
    /// Those of one client process.
    Client(String),
    /// Those of one life of a client process.
    Life(String, u32),
}

impl Aim {
    /// Whether it hits the connection with this label; `None` is a connection that nobody in particular owns.
    #[must_use]
    pub fn hits(&self, label: Option<&Label>) -> bool {
        match self {
            Self::Everyone => !label.is_some_and(Label::is_harness),
            Self::Client(client) => label.is_some_and(|label| label.client == *client),
            Self::Life(client, life) => {
                label.is_some_and(|label| label.client == *client && label.life == Some(*life))
            }
        }
    }
}

/// A direction on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the side that opened the connection sends.
    Requests,
    /// What the other side sends.
    Responses,
}

/// What is broken.
#[derive(Clone, Debug)]
pub enum LinkFault {
    /// Nothing gets through, in either direction. Connections stay; bytes wait. New ones wait too.
    Cut,
    /// Nothing gets through in this direction.
    Stall(Direction),
    /// Everything takes this much longer, in each direction.
    Delay(Duration),
    /// Connections are broken, new ones as soon as they are known.
    Refuse,
    /// The responses of the next requests of a kind never arrive; their connections break.
    DropResponses {
        /// The kind of request, as the protocol counts them.
        kind: i16,
        /// How many.
        budget: Arc<Budget>,
    },
}

/// How many more times something may happen.
#[derive(Debug)]
pub struct Budget(AtomicU32);

impl Budget {
    /// So many times.
    #[must_use]
    pub fn new(times: u32) -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(times)))
    }

    /// How many times are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    pub(crate) fn give_back(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A fault on one link.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: FaultId,
    pub(crate) aim: Aim,
    pub(crate) fault: LinkFault,
}

/// All faults on one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(pub(crate) Vec<Rule>);

/// What the rules mean for one direction of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Nothing moves.
    pub(crate) held: bool,
    /// The connection breaks.
    pub(crate) refused: bool,
    /// What moves takes this much longer.
    pub(crate) delay: Duration,
}

impl Rules {
    pub(crate) fn verdict(&self, label: Option<&Label>, direction: Direction) -> Verdict {
        let hitting = self.0.iter().filter(|rule| rule.aim.hits(label));
        hitting.fold(Verdict::default(), |mut verdict, rule| {
            match &rule.fault {
                LinkFault::Cut => verdict.held = true,
                LinkFault::Stall(stalled) => verdict.held |= *stalled == direction,
                LinkFault::Delay(delay) => verdict.delay += *delay,
                LinkFault::Refuse => verdict.refused = true,
                LinkFault::DropResponses { .. } => {}
            }
            verdict
        })
    }

    /// Whether the response of a request of this kind shall be dropped; takes that from the budget.
    pub(crate) fn doom(&self, label: Option<&Label>, kind: i16) -> Option<Arc<Budget>> {
        self.0.iter().filter(|rule| rule.aim.hits(label)).find_map(|rule| match &rule.fault {
            LinkFault::DropResponses { kind: doomed, budget } if *doomed == kind && budget.take() => {
                Some(Arc::clone(budget))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(faults: &[(Aim, LinkFault)]) -> Rules {
        let rule = |(id, (aim, fault)): (u64, &(Aim, LinkFault))| Rule {
            id: FaultId(id),
            aim: aim.clone(),
            fault: fault.clone(),
        };
        Rules((0..).zip(faults).map(rule).collect())
    }

    fn label(client: &str, life: u32) -> Label {
        Label { client: client.to_owned(), life: Some(life) }
    }

    #[test]
    fn faults_add_up_and_the_harness_is_spared() {
        let ms = Duration::from_millis;
        let rules = rules(&[
            (Aim::Everyone, LinkFault::Delay(ms(5))),
            (Aim::Client("a".to_owned()), LinkFault::Delay(ms(7))),
            (Aim::Everyone, LinkFault::Stall(Direction::Responses)),
        ]);
        let verdict = |label: Option<&Label>, direction| rules.verdict(label, direction);
        assert_eq!(verdict(Some(&label("a", 0)), Direction::Requests).delay, ms(12));
        assert_eq!(verdict(None, Direction::Requests).delay, ms(5));
        assert!(verdict(None, Direction::Responses).held && !verdict(None, Direction::Requests).held);
        assert_eq!(verdict(Some(&label("squall", 0)), Direction::Responses), Verdict::default());
    }

    #[test]
    fn one_life_can_be_refused_while_the_next_one_lives() {
        let rules = rules(&[(Aim::Life("a".to_owned(), 0), LinkFault::Refuse)]);
        assert!(rules.verdict(Some(&label("a", 0)), Direction::Requests).refused);
        assert!(!rules.verdict(Some(&label("a", 1)), Direction::Requests).refused);
    }

    #[test]
    fn a_budget_is_spent_on_its_kind_only() {
        let budget = Budget::new(1);
        let rules =
            rules(&[(Aim::Everyone, LinkFault::DropResponses { kind: 0, budget: Arc::clone(&budget) })]);
        assert!(rules.doom(None, 1).is_none());
        assert!(rules.doom(None, 0).is_some());
        assert!(rules.doom(None, 0).is_none());
        assert_eq!(budget.left(), 0);
    }
}
