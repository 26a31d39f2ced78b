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

pub(super) use committed::replica;

/// Every invariant of the model, and what must come true in the end.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant<Kafka>>> {
    let mut all = after_every_event();
    all.extend(super::liveness::all());
    all
}

fn after_every_event() -> Vec<Box<dyn Invariant<Kafka>>> {
    let logs = committed::SharedLogs::default();
    vec![
        // The first one takes in what is committed and looks up what is touched, others look at that.
        Box::new(log_matching::LogMatching::over(logs.clone())),
        Box::new(strong_isr::StrongIsr::over(logs.clone())),
        Box::new(compaction::Compaction::over(logs.clone())),
        Box::new(high_watermark::HighWatermark::over(logs.clone())),
        Box::new(controller_isr::ControllerIsr::default()),
        Box::new(maximal_isr::MaximalIsr::over(logs.clone())),
        Box::new(idempotence::Idempotence::over(logs)),
        Box::new(metadata_matching::MetadataMatching::default()),
        Box::new(group_assignment::GroupAssignment::default()),
        Box::new(group_commits::GroupCommits),
        Box::new(group_epochs::GroupEpochs::default()),
        Box::new(last_stable::LastStableOffset::default()),
        Box::new(transactions::Transactions::default()),
    ]
}
