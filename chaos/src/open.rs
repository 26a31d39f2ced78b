//! Live clusters by the names of their buses.

use crate::{
    error::ChaosError,
    live::{LiveKafka, live_capabilities},
};
use squall_adapters::providers::kafka::KafkaOptions;
use squall_bus::Capabilities;
use std::{sync::Arc, thread};
use tokio::sync::mpsc::unbounded_channel;

/// The buses of which a live cluster can be started here.
pub const BUSES: [&str; 1] = ["kafka"];

/// What a bus and the faults on a live cluster of it can do; `None` if none can be started here.
#[must_use]
pub fn capabilities(bus: &str) -> Option<Capabilities> {
    BUSES.contains(&bus).then(live_capabilities)
}

/// Starts a live cluster of so many nodes. `note` gets one line about each thing that takes long.
pub async fn open(bus: &str, nodes: u32, note: &(dyn Fn(&str) + Sync)) -> Result<Arc<LiveKafka>, ChaosError> {
    if !BUSES.contains(&bus) {
        return Err(ChaosError::NoBus { bus: bus.to_owned(), known: BUSES.join(", ") });
    }
    let options = KafkaOptions { nodes, ..KafkaOptions::default() };
    let (lines, mut said) = unbounded_channel();
    let starting = thread::spawn(move || {
        // Nobody listens any more when the caller gave up.
        LiveKafka::start(options, &|line| drop(lines.send(line.to_owned())))
    });
    while let Some(line) = said.recv().await {
        note(&line);
    }
    // The lines end when the start does, so this does not wait.
    starting.join().unwrap_or(Err(ChaosError::Ended)).map(Arc::new)
}
