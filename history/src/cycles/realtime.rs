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

/// Links every transaction to those that began after its end, as far as no other link implies it. The reason of an
/// edge is 0: its two ends say it all.
pub fn link_real_time(links: &mut Links, moments: impl IntoIterator<Item = Moment>) {
    let mut begun: Vec<u64> = Vec::new();
    // Each with the moment of its end; in the order of their ends.
    let mut over: VecDeque<(u64, u32)> = VecDeque::new();
    for (moment, now) in moments.into_iter().zip(0u64..) {
        match moment {
            Moment::Begin(node) => {
                let slot = node as usize;
                if begun.len() <= slot {
                    begun.resize(slot + 1, 0);
                }
                begun[slot] = now;
                for (_, before) in &over {
                    links.link(*before, node, Dependency::Realtime, 0);
                }
            }
            Moment::End(node) => {
                let began = begun.get(node as usize).copied().unwrap_or(now);
                while over.front().is_some_and(|(ended, _)| *ended < began) {
                    over.pop_front();
                }
                over.push_back((now, node));
            }
        }
    }
}

/// Links the transactions of each process in the order in which they began. `order` gives process and transaction.
pub fn link_processes(links: &mut Links, order: impl IntoIterator<Item = (u32, u32)>) {
    let mut last: Vec<Option<u32>> = Vec::new();
    for (process, node) in order {
        let process = process as usize;
        if last.len() <= process {
            last.resize(process + 1, None);
        }
        if let Some(before) = last[process].replace(node) {
            links.link(before, node, Dependency::Process, 0);
        }
    }
}
