//! What befalls the bus, and what it says of itself.

use super::Tale;
use crate::{
    events::Hit,
    history::{Completion, Ends, Invoke, Observation, Phase, ProcessId, Struck},
};
use std::time::Duration;

impl Tale {
    pub(crate) fn phase(&mut self, phase: Phase) -> &mut Self {
        self.observe(ProcessId::HARNESS, Observation::Phase(phase))
    }

    pub(crate) fn fault(&mut self, verb: &str, nodes: &[u32]) -> &mut Self {
        let (role, hit) = ("leader(orders/0)".to_owned(), Hit::Nodes(nodes.to_vec()));
        let struck = Struck { id: 0, verb: verb.into(), role, hit };
        self.observe(ProcessId::HARNESS, Observation::Fault(struck))
    }

    /// The fault is healed.
    pub(crate) fn heal(&mut self) -> &mut Self {
        self.observe(ProcessId::HARNESS, Observation::Heal { id: 0 })
    }

    /// The unit has a new leader in a new epoch.
    pub(crate) fn elected(&mut self, leader: u32, epoch: u32) -> &mut Self {
        let elected = Observation::Elected {
            unit: self.orders,
            leader: Some(leader),
            unclean: false,
            epoch: Some(epoch),
        };
        self.observe(ProcessId::HARNESS, elected)
    }

    /// From here on clocks agree within so many milliseconds.
    pub(crate) fn clock_bound(&mut self, ms: u64) -> &mut Self {
        self.observe(ProcessId::HARNESS, Observation::ClockBound(Duration::from_millis(ms)))
    }

    /// An administrator deletes the records in front of a position, or without one the unit itself.
    pub(crate) fn deleted(&mut self, before: Option<u64>) -> &mut Self {
        let deleted = vec![(self.orders, before)];
        self.observe(
            ProcessId::HARNESS,
            Observation::Changed { what: "orders loses records".into(), deleted },
        )
    }

    /// Somebody asks where the unit ends: at `high`, with `stable` and `start` if the bus says so.
    pub(crate) fn ends(&mut self, high: u64, stable: Option<u64>, start: Option<u64>) -> &mut Self {
        let process = self.history.process(&self.consumer);
        let (now, invoke) = (self.tick(), Invoke::End { unit: self.orders, node: None });
        let op = self.history.invoke(now, process, invoke);
        let now = self.tick();
        self.history.complete(now, op, Completion::Ends(Ends { high, stable, start }));
        self
    }

    /// What is drained from here on is drained through this node.
    pub(crate) fn node(&mut self, node: u32) -> &mut Self {
        self.node = Some(node);
        self
    }
}
