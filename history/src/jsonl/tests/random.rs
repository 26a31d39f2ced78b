//! Histories of every kind of event, decided by random steps.

use crate::{
    History, Meta,
    events::Hit,
    history::{
        Advice, Completion, Deliver, DeliverExtra, Drain, Ends, GroupId, Handling, Invoke, Observation, OpId,
        Phase, ProcessId, Send, SendExtra, Settlement, Struck, UnitId,
    },
};
use proptest::prelude::*;
use squall_bus::{Time, Topic, Unit};
use std::time::Duration;

/// One step: what, and numbers that it picks its parts by.
pub(in crate::jsonl) type Step = (u8, u64, u8, bool);

/// How many kinds of steps there are.
const KINDS: u8 = 30;

pub(in crate::jsonl) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..KINDS, 0u64..1 << 50, any::<u8>(), any::<bool>()), 0..120)
}

/// One of every kind.
pub(in crate::jsonl) fn sample() -> History {
    let steps: Vec<Step> =
        (0..KINDS).flat_map(|what| (0..6).map(move |n| (what, n + 10, n as u8 + 1, n % 2 == 0))).collect();
    // Completions once more, now that everything is open.
    let ends = (0..40).map(|n| (1, n, n as u8, n % 2 == 0));
    build(&steps.into_iter().chain(ends).collect::<Vec<_>>())
}

/// What a step picks its parts by.
#[derive(Clone, Copy)]
struct Pick {
    what: u8,
    number: u64,
    pick: u8,
    flag: bool,
    unit: UnitId,
    group: Option<GroupId>,
}

#[derive(Default)]
struct Open {
    ops: Vec<(OpId, bool)>,
    /// The last transaction of each process, and the last poll and delivery.
    txns: Vec<(ProcessId, OpId)>,
    poll: Option<OpId>,
    delivery: Option<u32>,
}

/// A history decided by the steps.
pub(in crate::jsonl) fn build(steps: &[Step]) -> History {
    let mut meta = Meta {
        scenario: "a \"scenario\"\n".into(),
        target: "sim:kafka".into(),
        seed: u64::MAX,
        ..Meta::default()
    };
    meta.configuration.dlq = Some("dead".into());
    let mut history = History::new(meta);
    let mut open = Open::default();
    for ((what, number, pick, flag), step) in steps.iter().copied().zip(0u64..) {
        let time = Time(step * 1000 + number % 7);
        let process = history.process(&format!("client-{}", pick % 3));
        let topic = Topic::new(if flag { "orders" } else { "dead" });
        let unit = history.unit(&Unit::new(&topic, u32::from(pick % 4)));
        let group = Some(history.group(if flag { "billing" } else { "mail" }));
        let pick = Pick { what, number, pick, flag, unit, group };
        if what == 1 {
            if !open.ops.is_empty() {
                let (op, is_send) = open.ops.swap_remove(pick.pick as usize % open.ops.len());
                history.complete(time, op, complete(is_send, pick));
            }
        } else if let Some(invoke) = invoke(&mut history, &open, process, step, pick) {
            let is_txn = matches!(invoke, Invoke::Txn { .. });
            let is_poll = matches!(invoke, Invoke::Poll { .. });
            let is_send = matches!(invoke, Invoke::Send(_));
            let op = history.invoke(time, process, invoke);
            open.ops.push((op, is_send));
            open.txns.extend(is_txn.then_some((process, op)));
            open.poll = open.poll.filter(|_| !is_poll).or(is_poll.then_some(op));
        } else {
            let process = if what == 3 { ProcessId::DRAIN } else { process };
            let observation = observe(&mut history, &open, pick);
            let is_delivery = matches!(observation, Observation::Deliver(_));
            let event = history.observe(time, process, observation);
            open.delivery = open.delivery.filter(|_| !is_delivery).or(is_delivery.then_some(event));
        }
    }
    history
}

fn complete(is_send: bool, Pick { number, flag, unit, .. }: Pick) -> Completion {
    let error = "_MSG_TIMED_OUT".to_owned();
    match (number % 4, is_send) {
        (0, true) => Completion::Sent { unit, position: flag.then_some(number), duplicate: !flag },
        (0, false) => Completion::Ends(Ends {
            high: number,
            stable: flag.then_some(1),
            start: Some(0).filter(|_| flag),
        }),
        (3, false) => Completion::Epoch(7),
        (3, true) => Completion::Ok,
        (1, _) => Completion::Fail { error },
        (_, true) => Completion::Unknown { error, place: flag.then_some((unit, number)) },
        (_, false) => Completion::Unknown { error, place: None },
    }
}

fn invoke(history: &mut History, open: &Open, process: ProcessId, step: u64, pick: Pick) -> Option<Invoke> {
    let Pick { what, number, pick, flag, unit, group } = pick;
    let own = |(owner, op): &(ProcessId, OpId)| (*owner == process && flag).then_some(*op);
    let txn = open.txns.iter().rev().find_map(own);
    Some(match what {
        0 => {
            let topic = history.unit_topic(unit);
            let key = flag.then(|| history.key(format!("key-{pick}")));
            let extra = SendExtra {
                message_id: flag.then(|| history.message_id(&format!("id-{}", pick % 8))),
                expected_position: (pick % 4 == 1).then_some(number),
                expected_value: (pick % 4 == 2).then_some(number % 50),
                ttl: (pick % 4 == 3).then_some(Duration::from_nanos(number)),
                timestamp: flag.then_some(Time(number)),
                tombstone: pick.is_multiple_of(6),
                amount: (pick % 5 == 1).then_some(-(i64::from(pick))),
            };
            Invoke::Send(Send {
                partition: (pick % 5 == 0).then_some(u32::from(pick)),
                session: u32::from(pick % 2),
                intended: flag.then_some(Time(number)),
                cause: (!flag).then_some(number % 50),
                poison: pick % 11 == 0,
                txn,
                extra: if pick.is_multiple_of(3) { extra } else { SendExtra::NONE },
                ..Send::new(topic, key, if flag { step } else { (1 << 62) + step })
            })
        }
        2 => Invoke::Commit { group: group?, positions: vec![(unit, number)], txn },
        18 => Invoke::Init { id: history.transactional_id("billing-1") },
        19 => Invoke::Txn {
            id: flag.then(|| history.transactional_id(&format!("billing-{}", pick % 2))),
            epoch: (!flag).then_some(3),
        },
        20 => Invoke::Poll { group: group.filter(|_| flag), txn },
        21 => Invoke::Settle { delivery: open.delivery?, how: settlement(number, pick, flag) },
        22 => Invoke::End { unit, node: flag.then_some(2) },
        _ => return None,
    })
}

fn settlement(number: u64, pick: u8, flag: bool) -> Settlement {
    match pick % 4 {
        0 => Settlement::Ack,
        1 => Settlement::Nak { delay: flag.then_some(Duration::from_nanos(number)) },
        2 => Settlement::Term,
        _ => Settlement::Extend,
    }
}

fn observe(history: &mut History, open: &Open, pick: Pick) -> Observation {
    let Pick { what, number, pick, flag, unit, group } = pick;
    match what {
        3 | 4 => {
            let extra = DeliverExtra {
                deadline: flag.then_some(Time(number)),
                node: (what == 3).then_some(1),
                epoch: (!flag).then_some(4),
                timestamp: flag.then_some(Time(number / 2)),
            };
            Observation::Deliver(Deliver {
                group: group.filter(|_| what != 3),
                unit,
                position: number % 64,
                value: (!pick.is_multiple_of(9)).then_some(number % 50),
                corrupt: pick % 9 == 1,
                attempt: flag.then_some(u32::from(pick)),
                poll: open.poll.filter(|_| what == 4),
                extra: if pick.is_multiple_of(3) { extra } else { DeliverExtra::NONE },
            })
        }
        5 => {
            let how = match pick % 3 {
                0 => Handling::Ok,
                1 => Handling::Poison,
                _ => Handling::Retry(u32::from(pick)),
            };
            Observation::Handled { group, value: number % 50, how }
        }
        6 => Observation::Assigned {
            group,
            units: vec![(unit, flag.then_some(number))],
            generation: (!flag).then_some(u32::from(pick)),
        },
        7 => Observation::Revoked(vec![unit]),
        8 => Observation::Lost(vec![unit, unit]),
        9 => Observation::Reset {
            unit,
            from: flag.then_some(number),
            to: number / 2,
            error: (!flag).then(|| "OFFSET_OUT_OF_RANGE".into()),
        },
        10 => Observation::ClientError {
            error: "ILLEGAL_GENERATION".into(),
            message: "ä\u{1}\"".repeat(flag.into()),
        },
        _ => harness(history, Pick { what, number, pick, flag, unit, group }),
    }
}

fn harness(history: &mut History, Pick { what, number, pick, flag, unit, group }: Pick) -> Observation {
    match (what, group) {
        (11, _) => {
            let hit = match pick % 3 {
                0 => Hit::Nodes(vec![1, 3]),
                1 => Hit::Client("client-1".into()),
                _ => Hit::Nobody,
            };
            Observation::Fault(Struck {
                id: u32::from(pick),
                verb: "power-fail".into(),
                role: "minority".into(),
                hit,
            })
        }
        (12, _) => Observation::Heal { id: u32::from(pick) },
        (13, _) => Observation::Elected {
            unit,
            leader: flag.then_some(2),
            unclean: pick.is_multiple_of(2),
            epoch: flag.then_some(9),
        },
        (14, _) => Observation::Phase(if flag { Phase::CaughtUp } else { Phase::WorkloadOver }),
        (15, _) => {
            let node = (!flag).then_some(1);
            Observation::Drain(Drain { unit, from: number / 4, to: number, complete: flag, node })
        }
        (16, _) => Observation::Acked { group, value: number % 50 },
        (23, _) => Observation::Subscribed { group, topics: vec![history.topic("orders")] },
        (24, Some(group)) => {
            let members = vec![history.process("client-0"), history.process("client-9")];
            Observation::Rebalanced { group, generation: u32::from(pick), members }
        }
        (25, _) => Observation::Crashed,
        (26, _) => Observation::Sought { unit, to: number },
        (27, _) => {
            let what = match pick % 3 {
                0 => Advice::MaxDeliveries,
                1 => Advice::Terminated,
                _ => Advice::Expired,
            };
            Observation::Advisory { group, unit, position: number % 64, what }
        }
        (28, _) => Observation::ClockBound(Duration::from_nanos(number)),
        (29, _) => Observation::Changed {
            what: format!("orders grows to {pick} partitions"),
            deleted: vec![(unit, flag.then_some(number)); usize::from(pick % 3)],
        },
        _ => Observation::Other,
    }
}
