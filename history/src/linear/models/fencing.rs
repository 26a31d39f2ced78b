//! A fence: one transactional id, or one lock, whose holder is known by an epoch.
//!
//! Taking the id over answers with an epoch greater than every one before. From then on whatever carries an older
//! epoch is fenced, and only what carries the newest is accepted. A takeover of unknown outcome makes the epoch greater by
//! an unknown amount. Before the first takeover nothing is known, and whatever is accepted first says what the
//! epoch is.
//!
//! **Source.** Apache Kafka's producer epochs (KIP-98, KIP-360); fencing tokens as in Kleppmann's "How to do distributed
//! locking" (2016).

use crate::linear::Model;

/// A call with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FenceOp {
    /// Took the id over, and has this epoch now; `None` if the answer is not known.
    TakeOver(Option<u32>),
    /// Something with this epoch was accepted.
    Accepted(u32),
    /// Something with this epoch was fenced.
    Fenced(u32),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reign {
    /// Nobody knows.
    Unknown,
    /// That of this epoch.
    Of(u32),
    /// That of an epoch beyond this one.
    Beyond(u32),
}

/// The model. It starts without any knowledge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fencing;

impl Model for Fencing {
    type State = Reign;
    type Op = FenceOp;

    fn start(&self) -> Reign {
        Reign::Unknown
    }

    fn step(&self, state: &Reign, op: &FenceOp) -> Option<Reign> {
        match (*op, *state) {
            (FenceOp::TakeOver(Some(epoch)), Reign::Unknown) => Some(Reign::Of(epoch)),
            (FenceOp::TakeOver(Some(epoch)), Reign::Of(last) | Reign::Beyond(last)) => {
                (epoch > last).then_some(Reign::Of(epoch))
            }
            (FenceOp::TakeOver(None), Reign::Unknown) => Some(Reign::Unknown),
            (FenceOp::TakeOver(None), Reign::Of(last)) => Some(Reign::Beyond(last)),
            (FenceOp::TakeOver(None), Reign::Beyond(last)) => Some(Reign::Beyond(last.saturating_add(1))),
            (FenceOp::Accepted(epoch), Reign::Unknown) => Some(Reign::Of(epoch)),
            (FenceOp::Accepted(epoch), Reign::Of(last)) => (epoch == last).then_some(*state),
            (FenceOp::Accepted(epoch), Reign::Beyond(last)) => (epoch > last).then_some(Reign::Of(epoch)),
            (FenceOp::Fenced(_), Reign::Unknown | Reign::Beyond(_)) => Some(*state),
            (FenceOp::Fenced(epoch), Reign::Of(last)) => (epoch < last).then_some(*state),
        }
    }

    fn describe(&self, state: &Reign) -> String {
        match state {
            Reign::Unknown => "no epoch is known".to_owned(),
            Reign::Of(epoch) => format!("epoch {epoch} is the newest"),
            Reign::Beyond(epoch) => format!("an epoch beyond {epoch} is the newest"),
        }
    }
}
