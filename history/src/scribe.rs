//! A history that is written event by event, on a clock that goes on by 1 ms with each: for histories that are made up.

use crate::history::{Completion, History, Invoke, Observation, OpId, Phase};
use squall_bus::Time;

/// How far the clock goes on with each event, in ns.
pub(crate) const TICK: u64 = 1_000_000;

/// Writes a history.
pub(crate) struct Scribe {
    pub(crate) history: History,
    /// The time of the last event, in ns.
    pub(crate) now: u64,
}

impl Scribe {
    pub(crate) const fn new(history: History) -> Self {
        Self { history, now: 0 }
    }

    pub(crate) fn tick(&mut self) -> Time {
        self.now += TICK;
        Time(self.now)
    }

    pub(crate) fn observe(&mut self, process: &str, observation: Observation) -> u32 {
        let (now, process) = (self.tick(), self.history.process(process));
        self.history.observe(now, process, observation)
    }

    pub(crate) fn invoke(&mut self, process: &str, invoke: Invoke) -> OpId {
        let (now, process) = (self.tick(), self.history.process(process));
        self.history.invoke(now, process, invoke)
    }

    pub(crate) fn complete(&mut self, op: OpId, completion: Completion) {
        let now = self.tick();
        self.history.complete(now, op, completion);
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        self.observe("harness", Observation::Phase(phase));
    }
}
