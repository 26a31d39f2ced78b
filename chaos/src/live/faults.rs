//! Faults of a plan, lowered to what can be done to nodes, links and client processes.
//!
//! | fault | at nodes | at a client |
//! |---|---|---|
//! | kill | SIGKILL; healing starts them | crash; healing starts it |
//! | stop | SIGTERM; healing starts them | clients end in good order; healing starts it |
//! | restart | SIGTERM, then start | stop, then start |
//! | pause | SIGSTOP, SIGCONT | main not polled, connections held |
//! | partition | links with the other nodes cut | its connections cut |
//! | isolate | links with the other nodes and with clients cut | its connections cut |
//! | stall | what they send is held | what it sends is held |
//! | delay | each direction of each of their links | each direction of its connections |
//! | drop-responses | of the next produce requests to them (to any, where nodes relay) | of its next produce requests |
//! | power-fail | disks lose what was not synced, with SIGKILL, all at once; healing starts them | unsupported |

use super::{
    Inner, blocking,
    clients::is_for_clients,
    nodes::{Hold, Way},
    roles,
};
use crate::{
    links::Heal,
    rules::{Aim, Budget, Direction, FaultId, LinkFault},
};
use squall_adapters::providers::link::{Link, LinkKind};
use squall_bus::{Capability, Error, Fault, FaultKind, Role, Strike, StruckFault};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The faults in force, by their numbers in the plan.
#[derive(Default)]
pub(super) struct Faults(Mutex<BTreeMap<u32, Active>>);

/// What has to be undone.
#[derive(Clone)]
enum Active {
    Nodes(Vec<u32>, Hold),
    Links(FaultId),
    ClientDown(String),
    ClientFrozen(String),
}

impl Faults {
    fn insert(&self, fault: u32, active: Active) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(fault, active);
    }

    fn take(&self, fault: u32) -> Option<Active> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&fault)
    }

    fn all(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

/// Resolves the fault's role and breaks it.
pub(super) async fn strike(inner: &Arc<Inner>, fault: &Fault) -> Result<Strike, Error> {
    if fault.kind == FaultKind::PowerFail {
        power(inner, &fault.role)?;
    }
    if let Role::Client(client) = &fault.role {
        if !inner.clients.knows(client) {
            return Ok(Strike::Nobody);
        }
        at_client(inner, fault, client).await;
        return Ok(hit(fault, Vec::new(), Some(client.clone())));
    }
    let nodes = roles::resolve(inner, fault).await?;
    if nodes.is_empty() {
        return Ok(Strike::Nobody);
    }
    at_nodes(inner, fault, nodes.clone()).await?;
    Ok(hit(fault, nodes, None))
}

/// Refuses a loss of power where there is none to cut.
fn power(inner: &Inner, role: &Role) -> Result<(), Error> {
    let why = match role {
        Role::Client(_) => "a client has no disk",
        _ if inner.nodes.have_own_disks() => return Ok(()),
        _ => "what its nodes wrote lies in the page cache of this machine, which outlives them",
    };
    let mut error = Error::unsupported(Capability::PowerFail);
    error.message.push_str(": ");
    error.message.push_str(why);
    Err(error)
}

fn hit(fault: &Fault, nodes: Vec<u32>, client: Option<String>) -> Strike {
    Strike::Hit(StruckFault { id: fault.id, nodes, client })
}

async fn at_nodes(inner: &Arc<Inner>, fault: &Fault, nodes: Vec<u32>) -> Result<(), Error> {
    let (id, kind, own) = (fault.id, fault.kind, Arc::clone(inner));
    match kind {
        FaultKind::Kill | FaultKind::Stop => {
            let way = if kind == FaultKind::Kill { Way::Kill } else { Way::Stop };
            inner.faults.insert(id, Active::Nodes(nodes.clone(), Hold::Down));
            blocking(move || own.nodes.bring_down(id, &nodes, way)).await
        }
        FaultKind::PowerFail => {
            inner.faults.insert(id, Active::Nodes(nodes.clone(), Hold::Down));
            blocking(move || own.nodes.cut_power(id, &nodes)).await
        }
        FaultKind::Restart => blocking(move || own.nodes.restart(&nodes)).await,
        FaultKind::Pause => {
            inner.faults.insert(id, Active::Nodes(nodes.clone(), Hold::Frozen));
            blocking(move || own.nodes.freeze(id, &nodes)).await
        }
        FaultKind::Partition
        | FaultKind::Isolate
        | FaultKind::Stall
        | FaultKind::Delay(_)
        | FaultKind::DropResponses(_) => {
            let broken = inner.links.new_fault();
            inner.faults.insert(id, Active::Links(broken));
            break_links(inner, broken, kind, &nodes);
            Ok(())
        }
    }
}

/// A link's ends as a fault on some nodes sees them.
fn ends(link: &Link, nodes: &[u32]) -> (bool, bool) {
    (link.from.is_some_and(|from| nodes.contains(&from)), nodes.contains(&link.to))
}

fn break_links(inner: &Inner, id: FaultId, kind: FaultKind, nodes: &[u32]) {
    let (links, everyone) = (&inner.links, Aim::Everyone);
    let crosses = |link: &Link| {
        let (from, to) = ends(link, nodes);
        from != to
    };
    let between_nodes = |link: &Link| link.kind != LinkKind::Client && crosses(link);
    match kind {
        FaultKind::Partition => {
            links.strike(id, between_nodes, &everyone, &LinkFault::Cut);
        }
        FaultKind::Isolate => {
            links.strike(id, crosses, &everyone, &LinkFault::Cut);
        }
        FaultKind::Stall => {
            let opened = |link: &Link| ends(link, nodes) == (true, false);
            let accepted = |link: &Link| ends(link, nodes) == (false, true);
            links.strike(id, opened, &everyone, &LinkFault::Stall(Direction::Requests));
            links.strike(id, accepted, &everyone, &LinkFault::Stall(Direction::Responses));
        }
        FaultKind::Delay(delay) => {
            let touches = |link: &Link| link.from != Some(link.to) && ends(link, nodes) != (false, false);
            links.strike(id, touches, &everyone, &LinkFault::Delay(delay));
        }
        FaultKind::DropResponses(count) => {
            let fault = LinkFault::DropResponses { kind: inner.broker.produce(), budget: Budget::new(count) };
            // Where any node relays, a request to one of these may have been sent to any.
            let answers = |link: &Link| inner.broker.relays() || nodes.contains(&link.to);
            links.strike(id, |link| is_for_clients(link) && answers(link), &everyone, &fault);
        }
        FaultKind::Kill | FaultKind::Stop | FaultKind::Restart | FaultKind::Pause | FaultKind::PowerFail => {}
    }
}

async fn at_client(inner: &Arc<Inner>, fault: &Fault, client: &str) {
    let (id, name) = (fault.id, client.to_owned());
    let link_fault = match fault.kind {
        FaultKind::Kill => {
            inner.faults.insert(id, Active::ClientDown(name));
            return inner.clients.kill(id, client);
        }
        FaultKind::Stop => {
            inner.faults.insert(id, Active::ClientDown(name));
            return inner.clients.stop(id, client).await;
        }
        FaultKind::Restart => {
            inner.clients.stop(id, client).await;
            return inner.clients.revive(id, client);
        }
        FaultKind::Pause => {
            inner.faults.insert(id, Active::ClientFrozen(name));
            return inner.clients.freeze(id, client);
        }
        FaultKind::Partition | FaultKind::Isolate => LinkFault::Cut,
        FaultKind::Stall => LinkFault::Stall(Direction::Requests),
        FaultKind::Delay(delay) => LinkFault::Delay(delay),
        FaultKind::DropResponses(count) => {
            LinkFault::DropResponses { kind: inner.broker.produce(), budget: Budget::new(count) }
        }
        FaultKind::PowerFail => return,
    };
    let broken = inner.links.new_fault();
    inner.faults.insert(id, Active::Links(broken));
    inner.links.strike(broken, is_for_clients, &Aim::Client(name), &link_fault);
}

/// Heals one fault; does nothing if it is not in force.
pub(super) async fn heal(inner: &Arc<Inner>, fault: u32) -> Result<(), Error> {
    match inner.faults.take(fault) {
        Some(Active::Nodes(nodes, hold)) => {
            let own = Arc::clone(inner);
            blocking(move || own.nodes.release(fault, &nodes, hold)).await?;
        }
        Some(Active::Links(broken)) => inner.links.heal(broken, Heal::Resume),
        Some(Active::ClientDown(client)) => inner.clients.revive(fault, &client),
        Some(Active::ClientFrozen(client)) => inner.clients.thaw(fault, &client),
        None => {}
    }
    Ok(())
}

/// Heals every fault in force, also when one of them cannot be healed; answers with the first error.
pub(super) async fn heal_all(inner: &Arc<Inner>) -> Result<(), Error> {
    let mut first = Ok(());
    for fault in inner.faults.all() {
        first = first.and(heal(inner, fault).await);
    }
    first
}
