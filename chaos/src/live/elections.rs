//! Elections: what two looks at the cluster differ in.

use super::broker::{Leadership, Look};
use squall_bus::{Election, Time};

/// The elections between the look before and the one now. What nobody could tell now is taken from before, and
/// stays in `seen`.
pub(super) fn between(seen: &mut Look, now: Look, time: Time) -> Vec<Election> {
    let mut elections = Vec::new();
    for (unit, now) in now {
        let Some(before) = seen.get_mut(&unit) else {
            seen.insert(unit, now);
            continue;
        };
        let (changed, unclean) = compare(before, &now);
        if changed {
            elections.push(Election { time, unit, leader: now.leader, unclean });
        }
        let term = if now.term.is_none() && !changed { before.term.take() } else { now.term };
        *before = Leadership { term, ..now };
    }
    elections
}

/// Whether there was an election, and whether it was an unclean one: the new leader was not in sync at the look
/// before and is alone in sync now.
fn compare(before: &Leadership, now: &Leadership) -> (bool, bool) {
    let other_term = matches!((&before.term, &now.term), (Some(before), Some(now)) if before != now);
    let unclean = now.may_be_unclean
        && now.leader.is_some_and(|leader| !before.insync.contains(&leader) && now.insync == [leader]);
    (other_term || before.leader != now.leader, unclean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_bus::{Topic, Unit};

    fn look(leader: Option<u32>, term: Option<&str>, insync: &[u32]) -> Look {
        let leadership = Leadership {
            leader,
            term: term.map(str::to_owned),
            insync: insync.to_vec(),
            may_be_unclean: true,
        };
        [(Unit::new(&Topic::new("orders"), 0), leadership)].into()
    }

    #[test]
    fn another_leader_or_another_term_is_an_election_and_silence_is_none() {
        let mut seen = Look::new();
        let mut elected = |leader, term, insync: &[u32]| {
            let elections = between(&mut seen, look(leader, term, insync), Time(7));
            elections.into_iter().map(|election| (election.leader, election.unclean)).collect::<Vec<_>>()
        };
        assert_eq!(elected(Some(1), Some("a"), &[1, 2]), []);
        assert_eq!(elected(Some(1), Some("a"), &[1, 2]), []);
        assert_eq!(elected(Some(1), None, &[]), [], "nobody could tell");
        assert_eq!(elected(Some(1), Some("a"), &[1, 2]), [], "it is the same as before");
        assert_eq!(elected(Some(1), Some("b"), &[1, 2]), [(Some(1), false)]);
        assert_eq!(elected(None, Some("c"), &[1, 2]), [(None, false)]);
        assert_eq!(elected(Some(2), Some("d"), &[2]), [(Some(2), false)]);
        assert_eq!(elected(Some(3), Some("e"), &[3]), [(Some(3), true)]);
    }
}
