//! What a live cluster needs to know of its broker: how its clients are made and ended, and who leads what.

use crate::protocol::Label;
use squall_adapters::{
    providers::{disks, running::Running},
    timer::RealClock,
};
use squall_bus::{Admin, BoxFuture, Bus, Capabilities, Capability, Error, Unit};
use std::{any::Any, collections::BTreeMap, sync::Arc, time::Duration};

/// What a live cluster can do besides what its bus and its client can.
const BESIDES: [Capability; 5] = [
    Capability::LinkFaults,
    Capability::DropResponses,
    Capability::ProcessFaults,
    Capability::ClientFaults,
    Capability::PowerFail,
];

/// What a live cluster can do here, by what its bus can do with some things besides.
pub(super) fn here(bus: impl Fn(&[Capability]) -> Capabilities) -> Capabilities {
    match disks::lacking() {
        None => bus(&BESIDES),
        Some(why) => bus(&BESIDES).without(Capability::PowerFail, why),
    }
}

/// What a cluster can do that was started with disks of the nodes' own, or without.
pub(super) fn started(own_disks: bool, bus: impl Fn(&[Capability]) -> Capabilities) -> Capabilities {
    let all = bus(&BESIDES);
    if own_disks {
        all
    } else {
        all.without(Capability::PowerFail, "its nodes were started without disks of their own")
    }
}

/// A bus of one client process, which can be ended with all that it opened.
pub(super) trait ProcessBus: Bus {
    /// Ends every client without ceremony.
    fn crash(&self);
    /// Keeps the clients that are open from ending with their last handles, until this is dropped.
    fn hold(&self) -> Box<dyn Any + Send>;
    /// Ends every client in good order, within `patience` as far as that goes.
    fn stop(&self, patience: Duration) -> BoxFuture<'_, ()>;
}

/// Who leads a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leadership {
    /// The node, if one does.
    pub(super) leader: Option<u32>,
    /// Names this term of office among all that the unit ever had; `None` where nobody could tell.
    pub(super) term: Option<String>,
    /// The nodes whose copies are in sync.
    pub(super) insync: Vec<u32>,
    /// Whether the term can have begun with a leader that was not in sync.
    pub(super) may_be_unclean: bool,
}

/// What a look at a cluster shows.
pub(super) type Look = BTreeMap<Unit, Leadership>;

/// A broker's own part.
pub(super) trait Broker: Send + Sync + 'static {
    /// A bus for a life of a process, whose connections carry that label.
    fn bus(&self, process: &str, life: u32) -> Arc<dyn ProcessBus>;
    /// The administrator, past every proxy.
    fn admin(&self) -> Arc<dyn Admin>;
    /// Who leads what, asked past every proxy.
    fn look(&self) -> BoxFuture<'static, Result<Look, Error>>;
    /// Whether a node's responses may come through a connection to another node.
    fn relays(&self) -> bool;
    /// The kind of requests whose responses `drop-responses` drops.
    fn produce(&self) -> i16;
}

/// A cluster that was started.
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) capabilities: Capabilities,
    pub(super) clock: RealClock,
    /// The harness' own bus.
    pub(super) bus: Arc<dyn ProcessBus>,
}

/// The name of a connection of a client of the process, by the client's name.
pub(super) fn client_id(process: &str, life: u32) -> Arc<dyn Fn(&str) -> String + Send + Sync> {
    let process = process.to_owned();
    Arc::new(move |client| Label::client_id(client, &process, life))
}
