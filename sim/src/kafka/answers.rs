//! Lists for answers to Fetches, kept for their memory when who reads them is done: leaders fill one after the other,
//! followers and consumers empty them, all on one thread.

use super::protocol::FetchedPartition;
use std::cell::RefCell;

/// So many are kept.
const MOST: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<FetchedPartition>>> = const { RefCell::new(Vec::new()) };
}

/// An empty list.
pub(super) fn spare() -> Vec<FetchedPartition> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps the memory of a list.
pub(super) fn keep(mut said: Vec<FetchedPartition>) {
    said.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST && said.capacity() > 0 {
            spare.push(said);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{
        error::ErrorCode,
        protocol::{PartitionId, TopicIx},
    };

    #[test]
    fn what_is_kept_comes_back_empty() {
        let mut said = spare();
        said.push(FetchedPartition::refused(PartitionId::new(TopicIx(1), 0), ErrorCode::UnknownTopicId));
        keep(said);
        let again = spare();
        assert!(again.is_empty() && again.capacity() > 0);
        (0..2 * MOST).for_each(|_| keep(Vec::with_capacity(1)));
        assert_eq!(SPARE.with_borrow(Vec::len), MOST);
    }
}
