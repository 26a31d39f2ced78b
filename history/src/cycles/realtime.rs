//! The order of time: which transaction was over before which other one began, and which one its process did next.
//!
//! Writing an edge for every such pair would be quadratic. It is enough to link a beginning to the *latest* ends:
//! a buffer holds every transaction that is over and that no later one, itself over, has begun behind. All of the
//! buffer came before the next one to begin. When a transaction ends, those that ended before it began leave the
//! buffer, for they come before it, and it before whatever begins from now on. These are the edges of the
//! transitive reduction; each costs constant time.

use super::{Dependency, Links};
use std::collections::VecDeque;

/// A moment in the life of a transaction. Moments come in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It begins.
    Begin(u32),
    /// It is over, and everybody can know. One whose outcome is unknown never is.
    End(u32),
}

/// Links every transaction to those that began after its end, as far as no other link implies it. The order of real time
/// is that of the moments of all; the order of a process is that of its own ([`Dependency::Process`]). The reason of
/// an edge is 0: its two ends say it all.
pub fn link_time(links: &mut Links, dependency: Dependency, moments: impl IntoIterator<Item = Moment>) {
    // Moments of ends, of the transactions whose end was not followed by the end of a later one; in order.
    let mut over: VecDeque<(u64, u32)> = VecDeque::new();
    let mut open: Vec<(u32, u64)> = Vec::new();
    for (moment, now) in moments.into_iter().zip(0u64..) {
        match moment {
            Moment::Begin(node) => {
                open.push((node, now));
                for (_, before) in &over {
                    links.link(*before, node, dependency, 0);
                }
            }
            Moment::End(node) => {
                let at = open.iter().rposition(|(other, _)| *other == node);
                let began = at.map_or(now, |at| open.swap_remove(at).1);
                while over.front().is_some_and(|(ended, _)| *ended < began) {
                    over.pop_front();
                }
                over.push_back((now, node));
            }
        }
    }
}
