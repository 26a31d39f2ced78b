//! The tests of the checks of transactions.

use super::{
    Agree, Dice, Key, Row, circles, clean, log, naive, planted_in_transactions as plant, script::Script,
};
use crate::{
    History, Kind,
    checks::Case,
    events::Hit,
    guarantees::Pipeline,
    history::{DeliverRow, Observation, OpId, PollRow, ProcessId, SendRow, Status, TxnRow, UnitId},
    linear::{Answer, Append, Call, Expected, FenceOp, Fencing, Log, Model},
};
use squall_bus::Time;

pub(super) const ROWS: &[Row] = &[
    row(Kind::AbortedRead, Agree::Exactly, g1a, &[plant::read_what_failed, plant::read_what_was_aborted]),
    row(Kind::PrecommittedRead, Agree::Exactly, precommitted_read, &[plant::poll_what_it_sent]),
    row(Kind::TornTransaction, Agree::Exactly, g1b, &[plant::tear, plant::tear_for_a_reader]),
    row(Kind::WriteCycle, Agree::ByCase, circles::g0, &[plant::interleave]),
    row(Kind::WriteCycleProcess, Agree::ByCase, circles::g0_process, &[plant::turn_a_process_round]),
    row(Kind::WriteCycleRealtime, Agree::ByCase, circles::g0_realtime, &[plant::turn_time_round]),
    row(Kind::ReadCycle, Agree::ByCase, circles::g1c, &[plant::read_each_other, plant::read_and_write_round]),
    row(Kind::ReadCycleProcess, Agree::ByCase, circles::g1c_process, &[plant::read_ahead]),
    row(Kind::ReadCycleRealtime, Agree::ByCase, circles::g1c_realtime, &[plant::read_ahead_of_time]),
    row(Kind::Internal, Agree::ByCase, circles::internal, &[plant::miss_ones_own]),
    row(Kind::ReadSkew, Agree::ByCase, circles::g_single, &[plant::skew_a_read]),
    row(Kind::AntiCycle, Agree::ByCase, circles::g2, &[plant::skew_writes]),
    row(Kind::EosDuplicate, Agree::Exactly, eos_duplicate, &[plant::compute_twice]),
    row(Kind::EosLoss, Agree::Exactly, eos_loss, &[plant::commit_without_a_result]),
    row(Kind::Conservation, Agree::Exactly, conservation, &[plant::take_and_not_give]),
    row(Kind::HangingTxn, Agree::Exactly, hanging_txn, &[plant::stand_still]),
    row(Kind::ZombieNotFenced, Agree::Exactly, zombie_not_fenced, &[plant::send_as_a_zombie]),
    row(
        Kind::Nonlinearizable,
        Agree::ByCase,
        nonlinearizable,
        &[plant::accept_both, plant::give_an_epoch_twice],
    ),
];

const fn row(
    kind: Kind,
    agree: Agree,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree, clean: clean::groups, plant, forbidden: true }
}

fn sends(history: &History) -> impl Iterator<Item = (u32, &SendRow)> {
    (0u32..).zip(history.sends())
}

fn txn(history: &History, op: OpId) -> &TxnRow {
    history.txns().iter().find(|txn| txn.invoke == op).expect("the transaction is there")
}

fn poll<'h>(history: &'h History, read: &DeliverRow) -> Option<&'h PollRow> {
    history.polls().iter().find(|poll| Some(poll.invoke) == read.poll())
}

/// In the log, as far as anybody knows.
fn there(history: &History, send: &SendRow) -> bool {
    match naive::outcome(history, send) {
        Status::Ok => true,
        Status::Unknown => naive::seen(history, send),
        Status::Fail => false,
    }
}

fn g1a(history: &History) -> Vec<Key> {
    let read = |(row, send): (u32, &SendRow)| {
        let failed = naive::outcome(history, send) == Status::Fail;
        let case = if send.status == Status::Fail { Case::Plain } else { Case::Aborted };
        let of = |read: &&DeliverRow| read.value() == Some(send.value) && naive::read_ok(history, read);
        let first = history.delivers().iter().find(of).filter(|_| failed)?;
        Some(Key::new(first.unit, first.position, row, case))
    };
    sends(history).filter_map(read).collect()
}

fn precommitted_read(history: &History) -> Vec<Key> {
    let own = |read: &DeliverRow| {
        let (row, send) = naive::writer(history, read.value()?)?;
        let same = send.txn().is_some() && poll(history, read)?.txn() == send.txn();
        (same && !history.meta.configuration.whole_reads)
            .then(|| Key::new(read.unit, read.position, row, Case::Plain))
    };
    history.delivers().iter().filter_map(own).collect()
}

fn g1b(history: &History) -> Vec<Key> {
    if history.meta.configuration.whole_reads {
        return intermediate(history);
    }
    let lost: Vec<Option<u32>> = log::lost_write(history).into_iter().map(|key| key.send).collect();
    let mut found = Vec::new();
    let readers: std::collections::BTreeSet<ProcessId> =
        history.delivers().iter().map(|read| read.process).collect();
    for reader in readers {
        let reads = || history.delivers().iter().filter(move |read| read.process == reader);
        for (row, send) in sends(history) {
            let Some(op) = send.txn() else { continue };
            let handed = |value: u64| move |read: &&DeliverRow| read.value() == Some(value);
            let part = sends(history).any(|(other, one)| {
                let mut handed = reads().filter(handed(one.value));
                one.txn() == Some(op) && other != row && handed.any(|read| naive::read_ok(history, read))
            });
            let committed = naive::outcome(history, send) == Status::Ok;
            if !part || !committed || reads().any(|read| read.value() == Some(send.value)) {
                continue;
            }
            for unit in naive::units(history) {
                for (position, value) in naive::places(history, unit) {
                    if value == Some(send.value) && went_past(history, reader, unit, position) {
                        let case = if lost.contains(&Some(row)) { Case::Lost } else { Case::Plain };
                        found.push(Key::new(unit, position, row, case));
                    }
                }
            }
        }
    }
    found
}

/// Whether a reader read right before and right behind a place, without being moved in between; or drained it.
fn went_past(history: &History, reader: ProcessId, unit: UnitId, position: u64) -> bool {
    let reads: Vec<&DeliverRow> = (history.delivers().iter())
        .filter(|read| read.process == reader && read.unit == unit && naive::read_ok(history, read))
        .filter(|read| !naive::unwatched(history, read))
        .collect();
    let moved = |from: u32, to: u32| {
        history.notes().iter().any(|(event, note)| {
            note.moves_its_reader() && history.process_of(*event) == reader && (from..to).contains(event)
        })
    };
    let stepped = reads.windows(2).any(|pair| {
        (pair[0].position..pair[1].position).contains(&position)
            && pair[0].position != position
            && !moved(pair[0].event, pair[1].event)
    });
    let drained = naive::finished(history, unit)
        .is_some_and(|drain| reader == ProcessId::DRAIN && (drain.from..drain.to).contains(&position));
    stepped || drained
}

/// Whole reads whose last record is not the last one that its transaction wrote there.
fn intermediate(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for (index, read) in history.delivers().iter().enumerate() {
        let next = history.delivers().get(index + 1);
        let last = next.is_none_or(|next| (next.poll(), next.unit) != (read.poll(), read.unit));
        let writer = read.value().and_then(|value| naive::writer(history, value));
        let (Some((part, send)), Some(poll)) = (writer, poll(history, read)) else { continue };
        let later = sends(history)
            .filter(|(row, one)| one.txn() == send.txn() && naive::unit_of(history, *row) == Some(read.unit))
            .map(|(row, _)| row)
            .max();
        let own = poll.txn() == send.txn();
        if let (Some(row), true) =
            (later, last && send.txn().is_some() && !own && naive::read_ok(history, read))
            && row > part
        {
            found.push(Key::new(read.unit, read.position, row, Case::Plain));
        }
    }
    found
}

fn pipelines(history: &History) -> &[Pipeline] {
    &history.meta.configuration.pipelines
}

fn outputs<'h>(history: &'h History, pipeline: &Pipeline) -> Vec<(u32, &'h SendRow)> {
    sends(history).filter(|(_, send)| history.topic_name(send.topic) == pipeline.to).collect()
}

fn eos_duplicate(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for pipeline in pipelines(history) {
        for (row, send) in outputs(history, pipeline) {
            let Some(cause) = send.cause().filter(|_| there(history, send)) else { continue };
            let place = naive::first_place(history, send);
            let same = |(other, one): &(u32, &SendRow)| {
                *other < row && one.cause() == Some(cause) && there(history, one)
            };
            if outputs(history, pipeline).iter().any(same) {
                let (unit, position) = (place.map(|(unit, _)| unit), place.map(|(_, at)| at));
                found.push(Key { unit, position, send: Some(row), case: Case::Plain });
            }
            for unit in naive::units(history) {
                let own = history.topic_name(history.unit_topic(unit)) == pipeline.to;
                let mut again: Vec<u64> = (history.delivers().iter())
                    .filter(|read| own && read.unit == unit && read.value() == Some(send.value))
                    .map(|read| read.position)
                    .filter(|position| place != Some((unit, *position)))
                    .collect();
                again.sort_unstable();
                again.dedup();
                found.extend(again.into_iter().map(|at| Key::new(unit, at, row, Case::Plain)));
            }
        }
    }
    found
}

fn eos_loss(history: &History) -> Vec<Key> {
    let mut found = Vec::new();
    for pipeline in pipelines(history) {
        for (row, send) in sends(history) {
            let input = history.topic_name(send.topic) == pipeline.from && there(history, send);
            let Some((unit, position)) = naive::first_place(history, send).filter(|_| input) else {
                continue;
            };
            if committed(history, &pipeline.group, unit).is_none_or(|next| next <= position) {
                continue;
            }
            let results: Vec<&SendRow> = (outputs(history, pipeline).into_iter())
                .map(|(_, one)| one)
                .filter(|one| one.cause() == Some(send.value))
                .collect();
            let perhaps = results.iter().any(|one| naive::outcome(history, one) == Status::Unknown);
            let units: Vec<UnitId> = (naive::units(history).into_iter())
                .filter(|unit| history.topic_name(history.unit_topic(*unit)) == pipeline.to)
                .collect();
            let drained = units.iter().all(|unit| naive::finished(history, *unit).is_some());
            if !results.iter().any(|one| there(history, one)) {
                let case = if perhaps && !drained { Case::Undrained } else { Case::Plain };
                found.push(Key::new(unit, position, row, case));
            }
        }
    }
    found
}

/// Where the group's last commit that happened ends in a unit.
fn committed(history: &History, group: &str, unit: UnitId) -> Option<u64> {
    let mut last: Option<(u32, u64)> = None;
    for commit in history.commits() {
        let happened = commit.status == Status::Ok
            && commit.txn().is_none_or(|op| naive::txn_outcome(history, op) == Status::Ok);
        let txn_end = commit.txn().and_then(|op| txn(history, op).completion());
        let event = txn_end.or(commit.completion()).unwrap_or_default();
        for (_, position) in commit.positions.iter().filter(|(other, _)| *other == unit) {
            let newer = last.is_none_or(|(known, _)| event >= known);
            if happened && newer && history.group_name(commit.group) == group {
                last = Some((event, *position));
            }
        }
    }
    last.map(|(_, position)| position)
}

fn conservation(history: &History) -> Vec<Key> {
    let conserved = |send: &SendRow| {
        history.meta.configuration.conserved.iter().any(|name| name == history.topic_name(send.topic))
    };
    let units: Vec<UnitId> = (naive::units(history).into_iter())
        .filter(|unit| {
            let topic = history.unit_topic(*unit);
            history.meta.configuration.conserved.iter().any(|name| name == history.topic_name(topic))
        })
        .collect();
    if units.is_empty() || units.iter().any(|unit| naive::finished(history, *unit).is_none()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for one in history.txns() {
        let own = || sends(history).filter(|(_, send)| send.txn() == Some(one.invoke));
        let amount = |row: u32| history.send_extra(row).amount.unwrap_or_default();
        let sent: i64 = own().filter(|(_, send)| conserved(send)).map(|(row, _)| amount(row)).sum();
        let mut stands = 0;
        for unit in &units {
            let mut drained: Vec<(u64, u64)> = (history.delivers().iter())
                .filter(|read| read.unit == *unit && read.drained())
                .filter_map(|read| Some((read.position, read.value()?)))
                .collect();
            drained.sort_unstable();
            drained.dedup();
            for (_, value) in drained {
                stands +=
                    own().filter(|(_, send)| send.value == value).map(|(row, _)| amount(row)).sum::<i64>();
            }
        }
        if sent == 0 && stands != 0 {
            let first = own().find_map(|(row, send)| Some((row, naive::first_place(history, send)?)));
            let aborted = naive::txn_outcome(history, one.invoke) == Status::Fail;
            found.push(Key {
                unit: first.map(|(_, (unit, _))| unit),
                position: first.map(|(_, (_, position))| position),
                send: first.map(|(row, _)| row),
                case: if aborted { Case::Aborted } else { Case::Plain },
            });
        }
    }
    found
}

fn hanging_txn(history: &History) -> Vec<Key> {
    let Some(timeout) = history.meta.configuration.txn_timeout else { return Vec::new() };
    let timeout = timeout.as_nanos() as u64;
    let mut found: Vec<Key> = Vec::new();
    let samples: Vec<_> =
        history.ends().iter().filter(|one| one.ends.is_some_and(|ends| ends.stable.is_some())).collect();
    for (index, sample) in samples.iter().enumerate() {
        let open = |one: &crate::history::EndRow| {
            one.ends.and_then(|ends| ends.stable.filter(|stable| *stable < ends.high))
        };
        let now = history.time(sample.invoke.0);
        let (Some(stable), Some(start)) = (open(sample), now.0.checked_sub(timeout)) else { continue };
        let before = samples[..=index].iter().rev().filter(|one| one.unit == sample.unit);
        let still = before.take_while(|one| open(one) == Some(stable));
        let since = still.last().and_then(|one| one.completion()).map(|event| history.time(event).0);
        let quiet = !history.txns().iter().any(|one| {
            let moments = [Some(one.invoke.0), one.completion()];
            moments.into_iter().flatten().any(|event| (start..=now.0).contains(&history.time(event).0))
        });
        let proved = since.is_some_and(|since| since <= start) || quiet;
        if proved && calm(history, Time(start), now) && !found.iter().any(|key| key.unit == Some(sample.unit))
        {
            let (unit, position) = (Some(sample.unit), Some(stable));
            found.push(Key { unit, position, send: None, case: Case::Plain });
        }
    }
    found
}

/// Whether no node was broken at any moment of a time.
fn calm(history: &History, from: Time, to: Time) -> bool {
    !history.notes().iter().any(|(event, note)| {
        let Observation::Fault(fault) = note else { return false };
        let heal = |(later, note): &&(u32, Observation)| {
            later > event && matches!(note, Observation::Heal { id } if *id == fault.id)
        };
        let healed = history.notes().iter().find(heal).map(|(event, _)| history.time(*event));
        let node = matches!(&fault.hit, Hit::Nodes(nodes) if !nodes.is_empty());
        node && history.time(*event) <= to && healed.is_none_or(|healed| healed >= from)
    })
}

/// The epoch of a transaction: its own word, or that of its process' last claim.
fn epoch(history: &History, txn: &TxnRow) -> Option<u32> {
    let own = history.inits().iter().rev().find(|init| {
        let told = init.status == Status::Ok && init.completion().is_some_and(|ack| ack < txn.invoke.0);
        told && Some(init.id) == txn.id() && init.process == txn.process
    });
    txn.epoch().or_else(|| own?.epoch())
}

fn zombie_not_fenced(history: &History) -> Vec<Key> {
    let newer = |txn: &TxnRow, event: u32| {
        history.inits().iter().any(|init| {
            let told = init.status == Status::Ok && init.completion().is_some_and(|ack| ack < event);
            let newer = init.epoch().zip(epoch(history, txn)).is_some_and(|(new, old)| new > old);
            told && newer && Some(init.id) == txn.id()
        })
    };
    let mut found = Vec::new();
    for txn in history.txns() {
        if txn.status == Status::Ok && newer(txn, txn.invoke.0) {
            found.push(Key { unit: None, position: None, send: None, case: Case::Plain });
        }
    }
    for (row, send) in sends(history).filter(|(_, send)| send.status == Status::Ok) {
        if send.txn().is_some_and(|op| newer(txn(history, op), send.invoke.0)) {
            let (unit, position) = (send.unit(), send.position());
            found.push(Key { unit, position, send: Some(row), case: Case::Plain });
        }
    }
    found
}

fn nonlinearizable(history: &History) -> Vec<Key> {
    let units = naive::units(history).into_iter().filter(|unit| !some_order(&Log, &appends(history, *unit)));
    let ids: std::collections::BTreeSet<_> = history.inits().iter().map(|init| init.id).collect();
    let ids = ids.into_iter().filter(|id| !some_order(&Fencing, &fences(history, *id)));
    let key = Key { unit: None, position: None, send: None, case: Case::Plain };
    units.map(|_| key).chain(ids.map(|_| key)).collect()
}

/// The sends to a unit; none if no send to it has a condition.
fn appends(history: &History, unit: UnitId) -> Vec<Call<Append>> {
    let own: Vec<(u32, &SendRow)> =
        sends(history).filter(|(row, _)| naive::unit_of(history, *row) == Some(unit)).collect();
    let condition = |row: u32| {
        let extra = history.send_extra(row);
        extra.expected_position.map(Expected::Position).or(extra.expected_value.map(Expected::Value))
    };
    if !own.iter().any(|(row, _)| condition(*row).is_some()) {
        return Vec::new();
    }
    let call = |(row, send): (u32, &SendRow)| {
        let expected = condition(row);
        let place = naive::first_place(history, send);
        let read = history
            .delivers()
            .iter()
            .filter(|read| place == Some((read.unit, read.position)) && read.value() == Some(send.value));
        // A read of the final drain counts only where nobody else read the place; either way the first event does.
        let read = read.map(|read| read.event).min();
        let accepted = Answer::Accepted(place.map(|(_, position)| position));
        let (answer, end) = match naive::outcome(history, send) {
            _ if send.duplicate => return None,
            Status::Ok => (accepted, send.completion().into_iter().chain(read).min()),
            Status::Unknown => (accepted, read),
            Status::Fail => {
                let rejected = history.send_error(send) == Some("WRONG_LAST_SEQUENCE") && expected.is_some();
                (Answer::Rejected, Some(send.completion().filter(|_| rejected)?))
            }
        };
        let op = Append { value: send.value, expected, answer };
        Some(Call { op, begin: u64::from(send.invoke.0), end: end.map(u64::from) })
    };
    own.into_iter().filter_map(call).collect()
}

fn fences(history: &History, id: crate::history::TransactionalId) -> Vec<Call<FenceOp>> {
    let inits = history.inits().iter().filter(|init| init.id == id && init.status != Status::Fail);
    let claims = inits.map(|init| {
        let end = init.completion().filter(|_| init.status == Status::Ok).map(u64::from);
        Call { op: FenceOp::TakeOver(init.epoch()), begin: u64::from(init.invoke.0), end }
    });
    let sends = sends(history).filter_map(|(_, send)| {
        let txn = txn(history, send.txn()?);
        let epoch = epoch(history, txn).filter(|_| txn.id() == Some(id))?;
        let op = match (send.status, history.send_error(send)) {
            (Status::Ok, _) => FenceOp::Accepted(epoch),
            (Status::Fail, Some("FENCED")) => FenceOp::Fenced(epoch),
            _ => return None,
        };
        Some(Call { op, begin: u64::from(send.invoke.0), end: send.completion().map(u64::from) })
    });
    claims.chain(sends).collect()
}

/// Whether some order explains all answers: every one is tried.
fn some_order<M: Model>(model: &M, calls: &[Call<M::Op>]) -> bool {
    fn go<M: Model>(model: &M, calls: &[Call<M::Op>], left: &[usize], state: &M::State) -> bool {
        left.iter().all(|call| calls[*call].end.is_none())
            || left.iter().any(|call| {
                let late = |other: &usize| calls[*other].end.is_some_and(|end| end < calls[*call].begin);
                let after = model.step(state, &calls[*call].op).filter(|_| !left.iter().any(late));
                let rest: Vec<usize> = left.iter().copied().filter(|other| other != call).collect();
                after.is_some_and(|after| go(model, calls, &rest, &after))
            })
    }
    go(model, calls, &(0..calls.len()).collect::<Vec<_>>(), &model.start())
}
