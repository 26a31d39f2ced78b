//! `stuck_consumer`: a group stood still although there was something to read and nothing was broken.
//!
//! **Definition.** In a unit of a topic that the group reads there is work while an acknowledged record that somebody
//! read has not been delivered to the group for the first time; a first delivery is progress. From when everything was
//! healed until the consumers had caught up (or the final drain began) the group must not stand still with work for as
//! long as the bound of `progress` says. One finding per group and unit: its longest stall.
//!
//! **Algorithm.** One walk over the events per group, with a meter per unit. **Cost.** Linear.
//!
//! **Forbidden** by `progress`; without it nothing is looked for ([`Rules::progress`]).
//!
//! **Evidence limit.** Where faults struck, the history must say when everything was healed.
//!
//! **Source.** redpanda/chaos `progress_during_fault`; kafkatest.

use super::{
    Case, Check, Found, proof,
    stall::{self, Meter, Stall},
};
use crate::{
    Kind,
    analysis::{Analysis, Consumer, span},
    guarantees::Rules,
    history::{GroupId, Status, UnitId, What},
};

pub(super) const CHECK: Check = Check {
    kind: Kind::StuckConsumer,
    about: "a group stood still although there was something to read and nothing was broken",
    forbidden: "the bound of `progress`",
    source: "redpanda chaos: progress_during_fault",
    find,
    tell,
    rule: |rules, _| Rules::progress(rules),
};

fn find(analysis: &Analysis<'_>) -> Vec<Found> {
    stalls(analysis).into_iter().map(|(_, unit, stall)| finding(unit, &stall)).collect()
}

fn finding(unit: UnitId, stall: &Stall) -> Found {
    Found {
        unit: Some(unit),
        ops: proof([Some(stall.began), stall.ended]),
        other: stall.ended,
        case: Case::Plain,
        ..Found::default()
    }
}

/// The stalls that are too long, by group and unit.
fn stalls(analysis: &Analysis<'_>) -> Vec<(Option<GroupId>, UnitId, Stall)> {
    let bound = analysis.history.meta.expect.progress;
    let (Some(bound), Some(from)) = (bound, stall::healed(analysis)) else { return Vec::new() };
    let meter = Meter::new(from, stall::consumers_end(analysis));
    let mut list = Vec::new();
    for consumer in &analysis.consumers {
        let meters = watch(analysis, consumer, &meter);
        for unit in &analysis.order {
            let stall = meters[unit.index()].clone().finish();
            list.extend(
                stall.filter(|stall| stall.lasts >= bound).map(|stall| (consumer.group, *unit, stall)),
            );
        }
    }
    list
}

fn watch(analysis: &Analysis<'_>, consumer: &Consumer, meter: &Meter) -> Vec<Meter> {
    let history = analysis.history;
    let mut meters = vec![meter.clone(); history.unit_count()];
    let mut delivered = vec![false; history.sends().len()];
    let mut waits: Vec<Option<UnitId>> = vec![None; history.sends().len()];
    for index in 0..history.len() as u32 {
        let event = history.event(index);
        match event.what {
            What::SendDone => {
                let row = event.row as usize;
                let send = &history.sends()[row];
                let due = send.status == Status::Ok && analysis.seen[row] && !delivered[row];
                if let Some(unit) = send.unit().filter(|_| due && consumer.reads[send.topic.index()]) {
                    waits[row] = Some(unit);
                    meters[unit.index()].add(event.time, index);
                }
            }
            What::Deliver => {
                let read = &history.delivers()[event.row as usize];
                let row = read.value().and_then(|value| analysis.writer(value)).map(|row| row as usize);
                if let Some(row) = row.filter(|_| !read.drained() && read.group() == consumer.group) {
                    if let Some(unit) = waits[row].take() {
                        meters[unit.index()].remove(event.time, index, true);
                    }
                    delivered[row] = true;
                }
            }
            _ => {}
        }
    }
    meters
}

fn tell(analysis: &Analysis<'_>, found: &Found) -> [String; 2] {
    let all = stalls(analysis);
    let Some((group, unit, stall)) = all.iter().find(|(_, unit, stall)| finding(*unit, stall) == *found)
    else {
        return Default::default();
    };
    let group = group.map_or("the readers", |group| analysis.history.group_name(group));
    let unit = analysis.unit(*unit);
    let end = match stall.ended {
        Some(event) => {
            format!("Only {} later was it handed one, {}.", span(stall.lasts), analysis.when(event))
        }
        None => format!("It was handed none in the {} until the consumers stopped.", span(stall.lasts)),
    };
    [
        format!(
            "Acknowledged records of {unit} waited for {group} {}, and nothing was broken.",
            analysis.when(stall.began)
        ),
        end,
    ]
}

#[cfg(test)]
mod tests {
    use super::CHECK;
    use crate::{checks::testing::tale, history::Phase};
    use std::time::Duration;

    fn bound(ms: u64) -> impl FnOnce(&mut crate::Meta) {
        move |meta| meta.expect.progress = Some(Duration::from_millis(ms))
    }

    #[test]
    fn a_group_does_not_come_back_after_the_fault_is_healed() {
        // Everything is healed at 10 ms; record 2 waits for the group to the end.
        let mut tale = tale();
        tale.configure(bound(100))
            .fault("kill", &[1])
            .sent(1, 0)
            .assigned(0)
            .read(1, 0)
            .at(10)
            .phase(Phase::Healed);
        tale.at(20).sent(2, 1).at(200).drain(1, 0).drain(2, 1).drained(2).finds_units(CHECK, &["orders/0"]);
    }

    #[test]
    fn slow_is_not_stuck() {
        let mut tale = tale();
        tale.configure(bound(100))
            .sent(1, 0)
            .sent(2, 1)
            .at(60)
            .read(1, 0)
            .at(120)
            .read(2, 1)
            .at(500)
            .sent(3, 2);
        tale.at(510).phase(Phase::CaughtUp).at(900).drain(3, 2).finds_units(CHECK, &[]);
    }

    #[test]
    fn what_is_lost_is_not_waited_for() {
        let mut tale = tale();
        tale.configure(bound(100)).sent(1, 0).sent(2, 1).read(2, 1).at(300).drain(2, 1).drained(2);
        tale.finds_units(CHECK, &[]);
    }

    #[test]
    fn while_something_is_broken_nothing_is_stuck() {
        let mut tale = tale();
        tale.configure(bound(100)).fault("kill", &[1]).sent(1, 0).sent(2, 1).read(1, 0).at(300).drain(2, 1);
        tale.finds_units(CHECK, &[]);
    }
}
