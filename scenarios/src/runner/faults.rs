//! The faults of a plan in time: each strikes, lasts, and is healed, whatever the others do.

use super::{RunError, Sink, notebook::Notebook};
use squall_bus::{Cluster, Error, Fault, FaultKind, Role, Strike, StruckFault, Time};
use squall_history::{
    events::{FaultHealed, FaultResolved, Hit, RunEvent},
    history::{Observation, Struck},
};

/// One fault, from its time to its healing.
pub(super) async fn fault(
    cluster: &dyn Cluster,
    fault: &Fault,
    began: Time,
    notebook: &Notebook,
    sink: &Sink,
) -> Result<(), RunError> {
    let result = strike_and_heal(cluster, fault, began, notebook, sink).await;
    result.map_err(|error| RunError::new(&format!("the fault `{fault}`"), &error))
}

async fn strike_and_heal(
    cluster: &dyn Cluster,
    fault: &Fault,
    began: Time,
    notebook: &Notebook,
    sink: &Sink,
) -> Result<(), Error> {
    let clock = cluster.clock();
    clock.sleep_until(began + fault.at.since(Time::ZERO)).await;
    if let (Role::Client(client), true) = (&fault.role, ends_the_process(fault.kind)) {
        notebook.crashed(client);
    }
    let strike = cluster.strike(fault).await?;
    let hit = match &strike {
        Strike::Nobody => Hit::Nobody,
        Strike::Hit(StruckFault { client: Some(client), .. }) => Hit::Client(client.clone()),
        Strike::Hit(struck) => Hit::Nodes(struck.nodes.clone()),
    };
    let (verb, role) = (fault.kind.verb().to_owned(), fault.role.to_string());
    let struck = Struck { id: fault.id, verb: verb.clone(), role: role.clone(), hit: hit.clone() };
    let time = notebook.observe(Observation::Fault(struck));
    sink(RunEvent::FaultResolved(FaultResolved { id: fault.id, verb, role, hit, time }));
    let Strike::Hit(struck) = strike else { return Ok(()) };
    notebook.struck(fault.id);
    if is_over_at_once(fault.kind) {
        notebook.pages().in_force.remove(&fault.id);
        return Ok(());
    }
    clock.sleep_until(began + fault.at.since(Time::ZERO) + fault.lasts).await;
    cluster.heal(&struck).await?;
    notebook.pages().in_force.remove(&fault.id);
    healed(fault.id, notebook, sink);
    Ok(())
}

fn ends_the_process(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Kill | FaultKind::Stop | FaultKind::Restart | FaultKind::PowerFail)
}

/// A fault without an end of its own: what is left of it is healed with everything else.
fn is_over_at_once(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Restart | FaultKind::DropResponses(_))
}

fn healed(id: u32, notebook: &Notebook, sink: &Sink) {
    let time = notebook.observe(Observation::Heal { id });
    sink(RunEvent::FaultHealed(FaultHealed { id, time }));
}
