//! Runs as they could have happened: what the tests of all exporters and the sample page are made from.

// Each of its users needs a part of it.
#![allow(dead_code)]

use squall_bus::Time;
use squall_history::{
    Anomaly, Example, Kind, Moment, Neighbour, Report, Ruling, RunEvent, Verdict, What,
    events::{
        FaultHealed, FaultResolved, Finished, Hit, Judged, Plan, PlannedFault, Progress, Stage, Started,
    },
    verdict::Counts,
};
use squall_reports::{AfterFault, Doubt, Measured, Percentiles, Point, Run, Runs, Series};
use std::{collections::BTreeMap, time::Duration};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const RATE: u64 = 500;

/// Both targets of one scenario: the simulated one valid, the real one with a lost write.
pub(crate) fn leader_failover() -> Runs {
    let mut runs = Runs::new(
        "leader-failover",
        "Acknowledged orders survive the loss of the partition leader, and consumers go on where they were.",
    );
    runs.runs.push(with_measurements(valid("sim:kafka", 1), 3));
    let mut bad = with_measurements(invalid("local:kafka", 1), 11);
    if let Some(measured) = &mut bad.measured {
        measured.doubts = vec![
            Doubt {
                what: "the generator woke late: p99 is 20.512 ms, the limit 10.000 ms".to_owned(),
                remedy: "quiet the machine, give the generator a core of its own, or lower the rate"
                    .to_owned(),
                distorts: true,
            },
            Doubt {
                what: "clients took records late: p99 of the schedule lag is 212.000 ms, the limit 10.000 ms"
                    .to_owned(),
                remedy: "nothing is hidden, since latency counts from the intended send".to_owned(),
                distorts: false,
            },
        ];
    }
    runs.runs.push(bad);
    runs
}

/// A sweep: of `count` seeds on one target every third loses a write, and the last one never ends.
pub(crate) fn sweep(count: u64) -> Runs {
    let mut runs = Runs::new("lone-leader-acks1", "Shows the loss that acks=1 permits.");
    for seed in 1..=count {
        runs.runs.push(if seed == count {
            unfinished("sim:kafka", seed)
        } else if seed % 3 == 0 {
            invalid("sim:kafka", seed)
        } else {
            valid("sim:kafka", seed)
        });
    }
    runs
}

/// A run whose every text from outside tries to become part of the page, the terminal or the XML.
pub(crate) fn hostile() -> Runs {
    const EVIL: &str =
        "</script></style><script>alert(1)</script><img src=x onerror=\"alert(2)\">'\"&\u{1b}[31m\0";
    let mut events = events(EVIL, 7, lost(EVIL));
    for event in &mut events {
        match event {
            RunEvent::Started(started) => {
                started.reproduce = EVIL.to_owned();
                started.about = EVIL.to_owned();
                started.warnings = vec![EVIL.to_owned()];
                started.options = BTreeMap::from([(format!("expect.{EVIL}"), EVIL.to_owned())]);
            }
            RunEvent::FaultResolved(fault) => {
                fault.verb = EVIL.to_owned();
                fault.role = EVIL.to_owned();
                fault.hit = Hit::Client(EVIL.to_owned());
            }
            RunEvent::Finished(finished) => {
                finished.hash = Some(EVIL.to_owned());
                finished.report.counts.worst_unit = Some(EVIL.to_owned());
            }
            _ => {}
        }
    }
    let mut run = with_measurements(Run::fold(events).expect("it starts"), 5);
    run.measured.as_mut().expect("it was measured").doubts =
        vec![Doubt { what: EVIL.to_owned(), remedy: EVIL.to_owned(), distorts: true }];
    let mut runs = Runs::new(EVIL, EVIL);
    runs.runs.push(run);
    runs
}

/// A run that a target could not do.
pub(crate) fn unsupported() -> Runs {
    let mut runs = Runs::new("isolated-leader", "");
    let mut run = Run::new(started("local:nats", 4));
    let reason =
        "local:nats lacks the capability power-fail, which the fault `power-fail leader(orders/0)` needs";
    run.on(RunEvent::Verdict(Judged { verdict: Verdict::Unsupported, reason: reason.to_owned() }));
    runs.runs.push(run);
    runs
}

/// The events of a run that lost a write.
pub(crate) fn events_of_invalid() -> Vec<RunEvent> {
    events("sim:kafka", 7, lost("order-events/0"))
}

pub(crate) fn valid(target: &str, seed: u64) -> Run {
    Run::fold(events(target, seed, Vec::new())).expect("it starts")
}

pub(crate) fn invalid(target: &str, seed: u64) -> Run {
    Run::fold(events(target, seed, lost("order-events/0"))).expect("it starts")
}

pub(crate) fn unfinished(target: &str, seed: u64) -> Run {
    Run::fold(events(target, seed, Vec::new()).into_iter().take(8)).expect("it starts")
}

fn started(target: &str, seed: u64) -> Started {
    let options = [
        ("expect.delivery", "at-least-once"),
        ("expect.order", "per-key"),
        ("expect.unavailable", "< 20s"),
        ("topology.nodes", "3"),
        ("topology.topics.order-events.min_insync", "2"),
        ("topology.topics.order-events.partitions", "12"),
        ("topology.topics.order-events.replicas", "3"),
        ("workload.for", "60s"),
        ("workload.producers.acks", "all"),
        ("workload.producers.rate", "500/s"),
    ];
    Started {
        scenario: "leader-failover".to_owned(),
        about: "Acknowledged orders survive the loss of the partition leader.".to_owned(),
        target: target.to_owned(),
        seed,
        reproduce: format!("squall run leader-failover --on {target} --seed {seed}"),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        warnings: Vec::new(),
    }
}

fn events(target: &str, seed: u64, anomalies: Vec<Anomaly>) -> Vec<RunEvent> {
    let valid = anomalies.iter().all(|anomaly| !anomaly.forbidden());
    let (verdict, reason) = if valid {
        (Verdict::Valid, "every acknowledged record was delivered, in order per key")
    } else {
        (Verdict::Invalid, "3 acknowledged records were lost, which acks=all with min_insync=2 forbids")
    };
    let judged = Judged { verdict, reason: reason.to_owned() };
    let mut events = vec![RunEvent::Started(started(target, seed)), RunEvent::Plan(plan())];
    events.push(progress(9, Stage::Working));
    events.extend(fault_events());
    events.push(progress(63, Stage::Draining));
    events.extend(anomalies.iter().cloned().map(RunEvent::Anomaly));
    events.push(RunEvent::Verdict(judged.clone()));
    events.push(RunEvent::Finished(Finished {
        report: Report { verdict, reason: judged.reason, anomalies, counts: counts(valid) },
        time: Time(66 * SECOND),
        real_ms: if target.starts_with("sim:") { 412 } else { 66_180 },
        hash: target
            .starts_with("sim:")
            .then(|| format!("{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed))),
        latency: None,
    }));
    events
}

/// In the order of their times: two faults overlap, and the one that struck first is healed last.
fn fault_events() -> Vec<RunEvent> {
    let mut timed = Vec::new();
    for (id, verb, role, hit, from, to) in strikes() {
        let (verb, role) = (verb.to_owned(), role.to_owned());
        let healed = (hit != Hit::Nobody).then_some((to, FaultHealed { id, time: Time(to) }));
        let struck = FaultResolved { id, verb, role, hit, time: Time(from) };
        timed.push((from, RunEvent::FaultResolved(struck)));
        timed.extend(healed.map(|(to, healed)| (to, RunEvent::FaultHealed(healed))));
    }
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, event)| event).collect()
}

/// (id, verb, role, hit, struck, healed), in the run's time: the workload begins after two seconds.
fn strikes() -> [(u32, &'static str, &'static str, Hit, u64, u64); 4] {
    [
        (
            0,
            "kill",
            "leader(order-events/0)",
            Hit::Nodes(vec![2]),
            12 * SECOND + 4 * MS,
            22 * SECOND + 11 * MS,
        ),
        (1, "partition", "minority", Hit::Nodes(vec![1]), 32 * SECOND, 37 * SECOND + 400 * MS),
        (2, "pause", "client(consumer-1)", Hit::Client("consumer-1".to_owned()), 31 * SECOND, 44 * SECOND),
        (3, "kill", "coordinator(order-processing)", Hit::Nobody, 52 * SECOND, 55 * SECOND),
    ]
}

fn plan() -> Plan {
    let faults = strikes().map(|(id, verb, role, _, from, to)| PlannedFault {
        id,
        verb: verb.to_owned(),
        role: role.to_owned(),
        at: Time(from - 2 * SECOND),
        lasts: Time(to - from),
    });
    Plan { operations: 60 * RATE, lasts: Time(60 * SECOND), faults: faults.to_vec() }
}

fn progress(second: u64, stage: Stage) -> RunEvent {
    let sent = second.saturating_sub(2).min(60) * RATE;
    RunEvent::Progress(Progress {
        time: Time(second * SECOND),
        real_ms: second * 6,
        stage,
        sent,
        acked: sent - 20,
        failed: 0,
        unknown: 2,
        delivered: sent - 60,
        latency: None,
    })
}

fn counts(valid: bool) -> Counts {
    Counts {
        sent: 30_000,
        acked: 29_981,
        failed: 4,
        unknown: 15,
        delivered: 30_412,
        redelivered: 431,
        handled: 30_258,
        duplicates: if valid { 0 } else { 6 },
        poison: 154,
        dead_lettered: 154,
        drained: 29_990,
        faults: 3,
        unavailable: Some(Duration::from_millis(6_412)),
        worst_unit: Some("order-events/0".to_owned()),
    }
}

fn lost(unit: &str) -> Vec<Anomaly> {
    let neighbour = |position, values: &[u64], acked| Neighbour {
        position,
        values: values.to_vec(),
        writers: values.iter().map(|_| "producer-2".to_owned()).collect(),
        acked,
        delivered: acked && values.len() == 1,
        drained: !values.is_empty(),
        moments: values
            .iter()
            .flat_map(|value| {
                let moment = |after: u64, what| Moment {
                    event: u32::try_from(value % 1_000 * 4 + after).expect("small"),
                    time: 10 * SECOND + value % 1_000 * 2 * MS + after * MS,
                    process: "producer-2".to_owned(),
                    what,
                };
                [moment(0, What::Sent), moment(1, What::Acked), moment(2, What::Drained)]
            })
            .collect(),
    };
    let example = |record: u64| Example {
        lines: Vec::new(),
        unit: Some(unit.to_owned()),
        position: Some(record),
        ops: vec![1_204, 1_377, 9_981],
        story: [
            format!(
                "producer-2 sent record {record} to {unit}; acks=all promised it at 10.004 s, position {record}"
            ),
            format!("the final drain read {unit} to position 2,611 and found another record there"),
        ],
        neighbourhood: vec![
            neighbour(record - 1, &[record - 1], true),
            neighbour(record, &[], true),
            neighbour(record + 1, &[record + 1, 7_001], false),
        ],
    };
    vec![
        Anomaly {
            kind: Kind::LostWrite,
            count: 3,
            ruling: Ruling::ForbiddenBy("acks=all with min_insync=2 keeps an acknowledged record".to_owned()),
            examples: vec![example(812), example(813), example(814)],
        },
        Anomaly {
            kind: Kind::Duplicate,
            count: 6,
            ruling: Ruling::AllowedBy(
                "a producer that retries without idempotence may write twice".to_owned(),
            ),
            examples: vec![Example { neighbourhood: Vec::new(), ..example(90) }],
        },
    ]
}

/// Adds measurements of a run with these faults: a saw tooth while the leader is gone, and so on.
fn with_measurements(mut run: Run, noise: u64) -> Run {
    let mut draw = noise;
    let points: Vec<Point> = (0..64).map(|second| point(second, &mut draw)).collect();
    let some = |p50, p95, p99, p999, max| Percentiles {
        count: 30_000,
        p50: Some(p50),
        p95: Some(p95),
        p99: Some(p99),
        p999: Some(p999),
        max: Some(max),
    };
    let publish = some(1_810_000, 3_204 * MS, 5_770 * MS, 6_340 * MS, 6_412 * MS);
    let end_to_end = some(4_120_000, 5_904 * MS, 7_911 * MS, 8_020 * MS, 8_112 * MS);
    run.measured = Some(Measured {
        offered: 30_000,
        publish,
        publish_with_losses: Percentiles { count: 30_019, max: None, ..publish },
        service: some(1_790_000, 2_900_000, 41 * MS, 310 * MS, 6_400 * MS),
        end_to_end,
        end_to_end_with_losses: Percentiles { max: None, p999: None, ..end_to_end },
        handling: some(2_000_000, 2_100_000, 2_300_000, 4_000_000, 9_100_000),
        lag: some(31_000, 120_000, 212 * MS, 300 * MS, 341 * MS),
        doubts: Vec::new(),
        acked_per_s: 488,
        delivered_per_s: 481,
        after_faults: vec![
            AfterFault {
                id: 0,
                from: 12 * SECOND,
                to: 32 * SECOND,
                unavailable: Some(6_412 * MS),
                worst_unit: Some("order-events/0".to_owned()),
                duplicates: 0,
                acked_per_s: 402 + noise,
                delivered_per_s: 398,
                publish,
                end_to_end,
            },
            AfterFault { id: 1, from: 32 * SECOND, to: 62 * SECOND, publish, ..AfterFault::default() },
        ],
        series: Series { origin: 2 * SECOND, width: SECOND, points },
    });
    run
}

fn point(second: u64, draw: &mut u64) -> Point {
    *draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let jitter = *draw >> 59;
    let working = second < 60;
    let stalled = (10..16).contains(&second);
    let behind = (29..42).contains(&second);
    let acked = match second {
        10..16 => 330 + jitter,
        16 => RATE + 6 * 160,
        _ if working => RATE - jitter / 8,
        _ => 0,
    };
    let delivered = match second {
        _ if (10..16).contains(&second) => 320 + jitter,
        _ if behind => 350 + jitter,
        17 => RATE + 6 * 150,
        42..46 => RATE + 2 * 148,
        _ if working => RATE - jitter / 4,
        60 => 84,
        _ => 0,
    };
    let base = 1_700_000 + jitter * 20_000;
    let wait = if stalled { (16 - second) * SECOND + 412 * MS } else { 0 };
    let lag = if behind { (42 - second) * SECOND } else { wait };
    let spread = |base: u64, wait: u64| Percentiles {
        count: if working { RATE } else { 0 },
        p50: working.then_some(base),
        p95: working.then_some(base * 2),
        p99: working.then_some(base * 3 + wait),
        p999: working.then_some(base * 4 + wait),
        max: working.then_some(base * 5 + wait + jitter * MS),
    };
    Point {
        offered: if working { RATE } else { 0 },
        sent: if working { RATE } else { 0 },
        acked,
        unacked: if second == 15 { 19 } else { 0 },
        delivered,
        publish: spread(base, wait),
        end_to_end: spread(base * 2 + 400_000, lag),
    }
}
