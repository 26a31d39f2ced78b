//! Simulated targets by the name of their bus, for callers that know no bus by name.

use crate::{
    cluster::Simulation,
    guard::Footprint,
    kafka::{self, Kafka, invariants, profile},
    kernel::{Choices, LinkSpec, LogLine, Marks, TraceEvent, mix},
    model::BusModel,
    nats::{self, Nats},
    runtime::{Broken, Options, ProcWarning},
};
use squall_bus::{BoxFuture, Capabilities, Cluster, ClusterSpec, Error, ErrorClass};
use std::sync::Arc;

/// The buses that there are models of.
pub const BUSES: [&str; 2] = ["kafka", "nats"];

/// A simulated cluster of any bus.
pub trait Simulated: Send {
    /// Runs `main` and everything that it starts until it is done, in virtual time. Once.
    ///
    /// # Errors
    /// When the run could not be finished, or an invariant of the model does not hold.
    fn run(&self, options: Options, main: SimulatedMain) -> Result<(), Broken>;
    /// The hash of all kernel events so far and of the resolved rules.
    fn hash(&self) -> u64;
    /// How many kernel events there were so far.
    fn events(&self) -> u64;
    /// The model's resolved rules, one `name: value` a line.
    fn rules(&self) -> String;
    /// Records every kernel event from now on.
    fn start_tracing(&self);
    /// The recorded events; empty unless tracing.
    fn trace(&self) -> Vec<TraceEvent>;
    /// Which marks were reached so far.
    fn marks(&self) -> Marks;
    /// The recorded events with names; empty unless tracing. Takes them, as [`trace`](Self::trace) does.
    fn log(&self) -> Vec<LogLine>;
    /// Handles that outlived their process' crash.
    fn warnings(&self) -> Vec<ProcWarning>;
    /// What the run left, to be compared with that of another run of the same plan.
    fn footprint(&self) -> Footprint;
}

/// The body of a simulated run.
pub type SimulatedMain = Box<dyn FnOnce(Arc<dyn Cluster>) -> BoxFuture<'static, ()> + Send>;

/// A simulated cluster of this bus with so many nodes. Refuses a bus that there is no model of, and a size that the
/// model cannot have.
///
/// # Errors
/// Of class `Unsupported` or `Refused`, with a sentence.
pub fn open(bus: &str, spec: ClusterSpec, choices: Choices) -> Result<Box<dyn Simulated>, Error> {
    match bus {
        "kafka" => Ok(Box::new(kafka(spec, choices)?)),
        "nats" => Ok(Box::new(nats(spec, choices)?)),
        _ => {
            let message = format!("there is no model of {bus}; there are models of {}", BUSES.join(", "));
            Err(Error::new(ErrorClass::Unsupported, "UNSUPPORTED", message))
        }
    }
}

/// A simulated Kafka as `local:kafka` would start it, all invariants on, unless it has a bug.
pub(crate) fn kafka(spec: ClusterSpec, choices: Choices) -> Result<Simulation<Kafka>, Error> {
    let model = Kafka::new(kafka::config::rules(&spec)?, spec.nodes, &choices)?;
    // With a bug the history has to show what happened.
    let invariants = if spec.bug.is_some() { Vec::new() } else { invariants::all() };
    Ok(Simulation::new(model, choices, LinkSpec::default(), invariants))
}

/// A simulated NATS with its own defaults, all invariants on.
pub(crate) fn nats(spec: ClusterSpec, choices: Choices) -> Result<Simulation<Nats>, Error> {
    let model = Nats::new(nats::profile::rules(&spec)?, spec.nodes, &choices)?;
    Ok(Simulation::new(model, choices, LinkSpec::default(), nats::invariants::all()))
}

/// What a bus and the faults on it can do, in the simulator; `None` if there is no model of it.
#[must_use]
pub fn capabilities(bus: &str) -> Option<Capabilities> {
    match bus {
        "kafka" => Kafka::new(profile::kafka_4_3_test_cluster(), 1, &Choices::default())
            .ok()
            .map(|model| model.capabilities().clone()),
        "nats" => Nats::new(nats::profile::nats_2_15(), 1, &Choices::default())
            .ok()
            .map(|model| model.capabilities().clone()),
        _ => None,
    }
}

impl<M: BusModel> Simulated for Simulation<M> {
    fn run(&self, options: Options, main: SimulatedMain) -> Result<(), Broken> {
        Self::run(self, options, move |cluster| main(cluster))
    }

    fn hash(&self) -> u64 {
        self.rules().bytes().fold(Self::hash(self), |hash, byte| mix(hash, u64::from(byte)))
    }

    fn events(&self) -> u64 {
        Self::events(self)
    }

    fn rules(&self) -> String {
        Self::rules(self)
    }

    fn start_tracing(&self) {
        self.record_trace();
    }

    fn trace(&self) -> Vec<TraceEvent> {
        Self::trace(self)
    }

    fn log(&self) -> Vec<LogLine> {
        Self::log(self)
    }

    fn marks(&self) -> Marks {
        Self::marks(self)
    }

    fn warnings(&self) -> Vec<ProcWarning> {
        Self::warnings(self)
    }

    fn footprint(&self) -> Footprint {
        Self::footprint(self)
    }
}
