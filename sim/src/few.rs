//! Lists that mostly have one element.

use smallvec::SmallVec;

/// A list whose one element takes no memory of its own. Batches of one record, requests for one partition and answers
/// about one are the rule where records are sent one by one, and there memory costs more than what is done with them.
pub type Few<T> = SmallVec<[T; 1]>;
