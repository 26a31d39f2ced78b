//! Roles, resolved to nodes at the moment a fault strikes.

use super::Inner;
use squall_bus::{Error, ErrorClass, Fault, Role, Unit};

/// The nodes that have the fault's role now, from 1; none if nobody has it. The role of a client is not
/// resolved here.
pub(super) async fn resolve(inner: &Inner, fault: &Fault) -> Result<Vec<u32>, Error> {
    let count = inner.nodes.count();
    Ok(match &fault.role {
        Role::Leader(unit) => leader_and_copies(inner, unit).await?.0.into_iter().collect(),
        Role::Follower(unit) => {
            let (leader, copies) = leader_and_copies(inner, unit).await?;
            let follower = |node: &u32| Some(*node) != leader && inner.nodes.is_alive(*node);
            copies.into_iter().filter(follower).min().into_iter().collect()
        }
        Role::Followers(unit) => {
            let (leader, mut copies) = leader_and_copies(inner, unit).await?;
            copies.retain(|node| Some(*node) != leader);
            copies.sort_unstable();
            copies
        }
        Role::Coordinator(group) => inner.broker.admin().coordinator(group).await?.into_iter().collect(),
        Role::Controller => inner.broker.admin().controller().await?.into_iter().collect(),
        Role::Minority => minority(count, fault.id),
        Role::Node(node) if (1..=count).contains(node) => vec![*node],
        Role::Node(node) => {
            let says = format!("there is no node {node}: the cluster has {count}");
            return Err(Error::new(ErrorClass::Refused, "CHAOS", says));
        }
        Role::All => (1..=count).collect(),
        Role::Client(_) => Vec::new(),
    })
}

async fn leader_and_copies(inner: &Inner, unit: &Unit) -> Result<(Option<u32>, Vec<u32>), Error> {
    let units = inner.broker.admin().describe(&unit.topic).await?;
    match units.into_iter().find(|state| state.unit == *unit) {
        Some(state) => Ok((state.leader, state.replicas)),
        None => Err(Error::new(ErrorClass::Refused, "CHAOS", format!("there is no unit {unit}"))),
    }
}

/// The largest number of nodes that is no majority; which ones follows from the fault's number.
fn minority(count: u32, fault: u32) -> Vec<u32> {
    let size = count.saturating_sub(1) / 2;
    let mut nodes: Vec<u32> = (1..=count).map(|node| (node + fault.wrapping_mul(7)) % count + 1).collect();
    nodes.truncate(size as usize);
    nodes.sort_unstable();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_is_the_largest_set_that_is_none_and_not_always_the_same() {
        for (count, size) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 3)] {
            let nodes = minority(count, 0);
            assert_eq!(nodes.len(), size);
            assert!(nodes.iter().all(|node| (1..=count).contains(node)));
        }
        let drawn: std::collections::BTreeSet<_> = (0..10).map(|fault| minority(3, fault)).collect();
        assert_eq!(drawn.len(), 3);
    }
}
