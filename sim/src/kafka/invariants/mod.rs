//! What must hold after every event, one file each, named with its source. What must come true in the end is in
//! `liveness`, and is watched with them.

mod committed;
mod compaction;
mod controller_isr;
mod group_assignment;
mod group_commits;
mod group_epochs;
mod high_watermark;
mod idempotence;
mod last_stable;
mod log_matching;
mod maximal_isr;
mod metadata_matching;
mod strong_isr;
mod transactions;

use super::Kafka;
use crate::kernel::Invariant;
pub(super) use committed::{CommittedLogs, replica};

/// Every invariant of the model, and what must come true in the end.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant<Kafka>>> {
    let mut all = after_every_event();
    all.extend(super::liveness::all());
    all
}

fn after_every_event() -> Vec<Box<dyn Invariant<Kafka>>> {
    vec![
        // The first one takes in what is committed and looks up what is touched, others look at that.
        Box::<log_matching::LogMatching>::default(),
        Box::<strong_isr::StrongIsr>::default(),
        Box::<compaction::Compaction>::default(),
        Box::<high_watermark::HighWatermark>::default(),
        Box::<controller_isr::ControllerIsr>::default(),
        Box::<maximal_isr::MaximalIsr>::default(),
        Box::<idempotence::Idempotence>::default(),
        Box::<metadata_matching::MetadataMatching>::default(),
        Box::<group_assignment::GroupAssignment>::default(),
        Box::<group_commits::GroupCommits>::default(),
        Box::<group_epochs::GroupEpochs>::default(),
        Box::<last_stable::LastStableOffset>::default(),
        Box::<transactions::Transactions>::default(),
    ]
}
