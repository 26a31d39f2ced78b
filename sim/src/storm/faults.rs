//! The faults of a seed: drawn, struck and healed, each in its own time.

use super::{Strikes, record::Recorder};
use crate::kernel::{Choices, Site, mix};
use squall_bus::{Cluster, Error, Fault, FaultKind, Strike, StruckFault, Time};
use squall_history::{
    events::Hit,
    history::{Observation, Struck},
};
use std::{sync::Arc, time::Duration};

const AT: Site = Site::new("storm.at");
const LASTS: Site = Site::new("storm.lasts");
/// How often the elections are asked for.
const TICK: Duration = Duration::from_secs(1);

/// The faults that these choices make of the strikes, in the order of their times.
///
/// The window is cut into as many slots as a fault strikes; in each it begins in the first half and lasts at most
/// half a slot. So a fault is over before the next of its kind begins, and no choice depends on other faults.
pub(super) fn draw(strikes: &[Strikes], window: Duration, choices: &Choices) -> Vec<Fault> {
    let mut faults = Vec::new();
    let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    for strike in strikes {
        let name = format!("{} {}", strike.kind.verb(), strike.role);
        let entity = name.bytes().fold(0, |hash, byte| mix(hash, u64::from(byte)));
        let slot = window / u64::from(strike.count.max(1));
        for ordinal in 0..u64::from(strike.count) {
            let at = slot * ordinal + choices.below(AT, entity, ordinal, slot / 2);
            let lasts = choices.between(LASTS, entity, ordinal, slot / 8, slot / 2);
            let (kind, role) = (strike.kind, strike.role.clone());
            faults.push(Fault { id: 0, kind, role, at: Time(at), lasts: Duration::from_nanos(lasts) });
        }
    }
    faults.sort_by_key(|fault| fault.at);
    for (id, fault) in (0..).zip(&mut faults) {
        fault.id = id;
    }
    faults
}

/// One fault, from its time to its healing.
pub(super) async fn fault(
    cluster: Arc<dyn Cluster>,
    fault: Fault,
    began: Time,
    recorder: Arc<Recorder>,
) -> Result<(), Error> {
    let clock = cluster.clock();
    let at = began + fault.at.since(Time::ZERO);
    clock.sleep_until(at).await;
    let strike = cluster.strike(&fault).await?;
    let hit = match &strike {
        Strike::Nobody => Hit::Nobody,
        Strike::Hit(StruckFault { client: Some(client), .. }) => Hit::Client(client.clone()),
        Strike::Hit(struck) => Hit::Nodes(struck.nodes.clone()),
    };
    if let (Hit::Client(name), FaultKind::Kill | FaultKind::Stop | FaultKind::Restart) = (&hit, fault.kind) {
        recorder.ended_process(name);
    }
    let (verb, role) = (fault.kind.verb().to_owned(), fault.role.to_string());
    recorder.harness(Observation::Fault(Struck { id: fault.id, verb, role, hit }));
    let Strike::Hit(struck) = strike else { return Ok(()) };
    if matches!(fault.kind, FaultKind::Restart | FaultKind::DropResponses(_)) {
        // Over at once, or healed with everything else.
        return Ok(());
    }
    clock.sleep_until(at + fault.lasts).await;
    cluster.heal(&struck).await?;
    recorder.harness(Observation::Heal { id: fault.id });
    Ok(())
}

/// Writes elections down, for ever.
pub(super) async fn elections(cluster: Arc<dyn Cluster>, recorder: Arc<Recorder>) {
    let clock = cluster.clock();
    loop {
        clock.sleep(TICK).await;
        recorder.elected(cluster.elections().await);
    }
}

#[cfg(test)]
mod tests {
    use super::{Strikes, draw};
    use crate::kernel::Choices;
    use squall_bus::{FaultKind, Role};
    use std::time::Duration;

    fn strikes(count: u32) -> Strikes {
        Strikes { kind: FaultKind::Kill, role: Role::Client("billing".to_owned()), count }
    }

    #[test]
    fn faults_of_one_kind_do_not_overlap_and_stay_in_the_window() {
        for seed in 0..200 {
            let faults = draw(&[strikes(4)], Duration::from_secs(8), &Choices::new(seed));
            assert_eq!(faults.len(), 4);
            for pair in faults.windows(2) {
                assert!(pair[0].at + pair[0].lasts <= pair[1].at, "seed {seed}: {faults:?}");
                assert!(!pair[0].lasts.is_zero());
            }
            let last = &faults[3];
            assert!((last.at + last.lasts).as_millis() <= 8_000, "seed {seed}: {faults:?}");
        }
    }

    #[test]
    fn a_further_kind_of_fault_changes_no_draw_of_the_others() {
        let pause = Strikes { kind: FaultKind::Pause, role: Role::Controller, count: 2 };
        let window = Duration::from_secs(8);
        let alone = draw(&[strikes(3)], window, &Choices::new(3));
        let both = draw(&[pause, strikes(3)], window, &Choices::new(3));
        let kills = both.iter().filter(|fault| fault.kind == FaultKind::Kill);
        assert!(
            kills.map(|fault| (fault.at, fault.lasts)).eq(alone.iter().map(|fault| (fault.at, fault.lasts)))
        );
    }
}
