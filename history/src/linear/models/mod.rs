//! What can be searched: a log with conditional appends, and a fence.

mod fencing;
mod log;

pub use fencing::{FenceOp, Fencing, Reign};
pub use log::{Answer, Append, Expected, Log, LogState};
