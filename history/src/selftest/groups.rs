//! The tests of the checks of groups.

use super::{Agree, Key, Row, clean, naive, planted_in_groups as plant, script::Script};
use crate::{
    History, Kind,
    checks::Case,
    guarantees::{CommitPolicy, Delivery, Reading},
    history::{
        CommitRow, DeliverRow, GroupId, Handling, Observation, OpId, Phase, ProcessId, SendRow, Status,
        UnitId,
    },
    selftest::Dice,
};
use squall_bus::Time;

pub(super) const ROWS: &[Row] = &[
    row(Kind::GroupJump, group_jump, &[plant::leave_the_first_out]),
    row(Kind::StaleCommitRead, stale_commit_read, &[plant::begin_at_the_beginning]),
    row(Kind::CommitBeyondPosition, commit_beyond_position, &[plant::commit_the_end]),
    row(Kind::CommittedTooFar, committed_too_far, &[plant::forget_the_handling]),
    row(Kind::AbortPosition, abort_position, &[plant::go_on_after_an_abort]),
    row(Kind::ConsumedUnassigned, consumed_unassigned, &[plant::read_what_was_given_back]),
    row(Kind::DoubleOwner, double_owner, &[plant::assign_twice]),
    Row { forbidden: false, ..row(Kind::EosConsumeCount, eos_consume_count, &[plant::consume_twice]) },
    row(Kind::SpuriousRebalance, spurious_rebalance, &[plant::shuffle_again]),
    row(Kind::StuckConsumer, stuck_consumer, &[plant::never_deliver]),
    row(Kind::StuckProducer, stuck_producer, &[plant::never_answer]),
];

const fn row(
    kind: Kind,
    naive: fn(&History) -> Vec<Key>,
    plant: &'static [fn(&mut Script, &mut Dice) -> bool],
) -> Row {
    Row { kind, naive, agree: Agree::Exactly, clean: clean::groups, plant, forbidden: true }
}

/// The first record that anybody read at a place in a range: its position and send.
fn first_read(history: &History, unit: UnitId, from: u64, to: u64) -> Option<(u64, Option<u32>)> {
    let reads = history.delivers().iter();
    let inside = reads.filter(|read| read.unit == unit && (from..to).contains(&read.position));
    let first = inside.min_by_key(|read| (read.position, read.value().unwrap_or(u64::MAX)))?;
    let send = first.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
    Some((first.position, send))
}

/// What a client learned before an event, the latest first: (event, note).
fn learned(history: &History, process: ProcessId, before: u32) -> impl Iterator<Item = (u32, &Observation)> {
    let notes = history.notes().iter().rev().map(|(event, note)| (*event, note));
    notes.filter(move |(event, _)| *event < before && history.process_of(*event) == process)
}

fn assigns(note: &Observation, unit: UnitId) -> bool {
    matches!(note, Observation::Assigned { units, .. } if units.iter().any(|(one, _)| *one == unit))
}

fn gives_up(note: &Observation, unit: UnitId) -> bool {
    match note {
        Observation::Revoked(units) | Observation::Lost(units) => units.contains(&unit),
        Observation::Crashed => true,
        _ => false,
    }
}

fn txn_status(history: &History, txn: OpId) -> (Status, Option<u32>) {
    let txn = history.txns().iter().find(|other| other.invoke == txn).expect("the transaction is there");
    (txn.status, txn.completion())
}

/// A commit that may have happened: where it goes on, when it began, and when it took effect for certain.
fn effective(history: &History, commit: &CommitRow) -> Option<(u32, Option<u32>)> {
    let txn = commit.txn().map(|txn| txn_status(history, txn));
    if commit.status == Status::Fail || txn.is_some_and(|(status, _)| status == Status::Fail) {
        return None;
    }
    let done = commit.status == Status::Ok && txn.is_none_or(|(status, _)| status == Status::Ok);
    let end = txn.map_or(commit.completion(), |(_, end)| end);
    Some((commit.invoke.0, end.filter(|_| done)))
}

/// Each first delivery after an assignment, with the lowest and the highest place where it could go on.
fn starts(history: &History) -> Vec<(&DeliverRow, u64, u64)> {
    let configuration = &history.meta.configuration;
    if configuration.commit == CommitPolicy::Auto || configuration.reading == Reading::Share {
        return Vec::new();
    }
    let start = |read: &'_ DeliverRow| {
        let group = read.group()?;
        let moves = |note: &Observation| {
            let sought = matches!(note, Observation::Sought { unit, .. } if *unit == read.unit);
            let assigned = assigns(note, read.unit) && group_of(note) == Some(group);
            assigned || sought || gives_up(note, read.unit)
        };
        let (assigned, note) = learned(history, read.process, read.event).find(|(_, note)| moves(note))?;
        let earlier = |other: &DeliverRow| {
            let same = (other.process, other.unit, other.group()) == (read.process, read.unit, Some(group));
            same && (assigned..read.event).contains(&other.event)
        };
        if !assigns(note, read.unit) || history.delivers().iter().any(earlier) {
            return None;
        }
        let commits = history.commits().iter().filter(|one| one.group == group && one.invoke.0 < read.event);
        let commits: Vec<(u32, Option<u32>, u64)> = commits
            .filter_map(|one| effective(history, one).map(|(start, end)| (one, start, end)))
            .flat_map(|(one, start, end)| {
                let here = one.positions.iter().filter(|(unit, _)| *unit == read.unit);
                here.map(move |(_, position)| (start, end, *position))
            })
            .collect();
        let ended = commits.iter().filter(|(_, end, _)| end.is_some_and(|end| end < assigned));
        let latest = ended.map(|(start, ..)| *start).max();
        let log_start = naive::drain(history, read.unit).map_or(0, |(_, drain)| drain.from);
        let legal =
            commits.iter().filter(|(_, end, _)| end.zip(latest).is_none_or(|(end, latest)| end >= latest));
        let places = || legal.clone().map(|one| one.2).chain(latest.is_none().then_some(log_start));
        Some((places().min()?, places().max()?))
    };
    let reads = history.delivers().iter();
    reads.filter_map(|read| start(read).map(|(lowest, highest)| (read, lowest, highest))).collect()
}

fn group_of(note: &Observation) -> Option<GroupId> {
    match note {
        Observation::Assigned { group, .. } => *group,
        _ => None,
    }
}

fn group_jump(history: &History) -> Vec<Key> {
    let jump = |(read, _, highest): (&DeliverRow, u64, u64)| {
        let (position, send) = first_read(history, read.unit, highest, read.position)?;
        Some(Key { unit: Some(read.unit), position: Some(position), send, case: Case::Plain })
    };
    starts(history).into_iter().filter_map(jump).collect()
}

fn stale_commit_read(history: &History) -> Vec<Key> {
    let stale = starts(history).into_iter().filter(|(read, lowest, _)| read.position < *lowest);
    let key = |(read, ..): (&DeliverRow, u64, u64)| Key {
        unit: Some(read.unit),
        position: Some(read.position),
        send: None,
        case: Case::Plain,
    };
    stale.map(key).collect()
}

/// The commits that did not fail, one for each unit: (commit, unit, place).
fn commits(history: &History) -> impl Iterator<Item = (&CommitRow, UnitId, u64)> {
    let list = history.commits().iter().filter(|commit| commit.status != Status::Fail);
    list.flat_map(|commit| commit.positions.iter().map(move |(unit, to)| (commit, *unit, *to)))
}

fn commit_beyond_position(history: &History) -> Vec<Key> {
    let beyond = |(commit, unit, to): (&CommitRow, UnitId, u64)| {
        let put = learned(history, commit.process, commit.invoke.0).find_map(|(event, note)| match note {
            Observation::Assigned { units, .. } => {
                units.iter().rev().find(|(one, _)| *one == unit).map(|(_, at)| (event, *at))
            }
            Observation::Sought { unit: one, to } | Observation::Reset { unit: one, to, .. } => {
                (*one == unit).then_some((event, Some(*to)))
            }
            Observation::Crashed => Some((event, None)),
            _ => None,
        });
        let since = put.map_or(0, |(event, _)| event);
        let reads = history.delivers().iter().filter(|read| {
            (read.process, read.unit) == (commit.process, unit)
                && (since..commit.invoke.0).contains(&read.event)
        });
        let position = reads.map(|read| read.position + 1).chain(put.and_then(|(_, at)| at)).max()?;
        let (position, send) = first_read(history, unit, position, to)?;
        Some(Key { unit: Some(unit), position: Some(position), send, case: Case::Plain })
    };
    commits(history).filter_map(beyond).collect()
}

/// Whether a group's handlers are recorded.
fn handles(history: &History, group: GroupId) -> bool {
    let own = Some(group);
    let handled = history.handled().iter().any(|one| one.group == own);
    let named = history.meta.configuration.groups.iter().any(|name| name == history.group_name(group));
    let delivered = history.delivers().iter().any(|read| !read.drained() && read.group() == own);
    let committed = history.commits().iter().any(|commit| {
        let done = effective(history, commit).is_some_and(|(_, end)| end.is_some());
        commit.group == group && done
    });
    let noted = history.notes().iter().any(|(_, note)| match note {
        Observation::Acked { group, .. } => *group == own,
        note => group_of(note) == own,
    });
    handled || (named && (delivered || committed || noted))
}

/// Whether a handler of the group was done with a record before an event.
fn done_before(history: &History, group: GroupId, value: u64, event: u32) -> bool {
    let finished = |how: Handling| matches!(how, Handling::Ok | Handling::Poison);
    let mut handled = history.handled().iter().filter(|one| one.group == Some(group) && finished(one.how));
    handled.any(|one| one.value == value && one.event < event)
}

fn committed_too_far(history: &History) -> Vec<Key> {
    let by_design = history.meta.configuration.commit == CommitPolicy::BeforeProcessing;
    if by_design || history.meta.expect.delivery == Some(Delivery::AtMostOnce) {
        return Vec::new();
    }
    let judged = |commit: &CommitRow| handles(history, commit.group);
    let passed = |(commit, unit, to): (&CommitRow, UnitId, u64)| {
        let begins = |note: &Observation| assigns(note, unit) || *note == Observation::Crashed;
        let since = learned(history, commit.process, commit.invoke.0).find(|(_, note)| begins(note));
        let since = since.map_or(0, |(event, _)| event);
        let told_before = |read: &DeliverRow| {
            commits(history).any(|(other, one, place)| {
                judged(other)
                    && (other.process, one) == (commit.process, unit)
                    && place > read.position
                    && (read.event..commit.invoke.0).contains(&other.invoke.0)
            })
        };
        let open = history.delivers().iter().filter(|read| {
            (read.process, read.unit) == (commit.process, unit)
                && read.group().is_some()
                && (since..commit.invoke.0).contains(&read.event)
                && read.position < to
                && !told_before(read)
        });
        let rows = open.filter_map(|read| {
            let (row, send) = naive::writer(history, read.value()?)?;
            let done = done_before(history, commit.group, send.value, commit.invoke.0);
            (!done).then_some((read.position, row))
        });
        rows.min().map(|(position, row)| Key::new(unit, position, row, Case::Plain))
    };
    commits(history).filter(|(commit, ..)| judged(commit)).filter_map(passed).collect()
}

fn poll_txn(history: &History, read: &DeliverRow) -> Option<OpId> {
    history.polls().iter().find(|poll| Some(poll.invoke) == read.poll())?.txn()
}

fn abort_position(history: &History) -> Vec<Key> {
    let next = |read: &DeliverRow| {
        let mine = |other: &&DeliverRow| {
            (other.process, other.unit) == (read.process, read.unit) && !naive::unwatched(history, other)
        };
        if naive::unwatched(history, read) {
            return None;
        }
        let before: Vec<&DeliverRow> =
            history.delivers().iter().filter(mine).take_while(|other| other.event < read.event).collect();
        let moved = |from: u32| {
            learned(history, read.process, read.event).take_while(|(event, _)| *event > from).any(
                |(_, note)| {
                    let reset = matches!(note, Observation::Reset { unit, .. } if *unit == read.unit);
                    reset || assigns(note, read.unit) || gives_up(note, read.unit)
                },
            )
        };
        let txn = poll_txn(history, before.last()?)?;
        if poll_txn(history, read) == Some(txn) {
            return None;
        }
        // Where the transaction's reads begin, of those right before this one that no rebalance parts from it.
        let own = before
            .iter()
            .rev()
            .take_while(|other| poll_txn(history, other) == Some(txn) && !moved(other.event));
        let first = own.last()?;
        let (status, end) = txn_status(history, txn);
        end.filter(|end| status == Status::Fail && *end < read.event)?;
        let case = match read.position.checked_sub(first.position) {
            None => Case::Further,
            Some(0) => return None,
            Some(_) => Case::Advanced,
        };
        let send = read.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
        Some(Key { unit: Some(read.unit), position: Some(first.position), send, case })
    };
    history.delivers().iter().filter_map(next).collect()
}

fn consumed_unassigned(history: &History) -> Vec<Key> {
    let strange = |read: &&DeliverRow| {
        let all = learned(history, read.process, u32::MAX);
        let judged =
            read.group().is_some() && history.meta.configuration.reading != Reading::Share && { all }
                .any(|(_, note)| group_of(note).is_some());
        let last = learned(history, read.process, read.event)
            .find(|(_, note)| assigns(note, read.unit) || gives_up(note, read.unit));
        judged && last.is_none_or(|(_, note)| !assigns(note, read.unit))
    };
    let reads = history.delivers().iter().filter(strange);
    let key = |read: &DeliverRow| {
        let send = read.value().and_then(|value| naive::writer(history, value)).map(|(row, _)| row);
        Key { unit: Some(read.unit), position: Some(read.position), send, case: Case::Plain }
    };
    reads.map(key).collect()
}

fn double_owner(history: &History) -> Vec<Key> {
    if history.meta.configuration.reading == Reading::Share {
        return Vec::new();
    }
    let of = |note: &Observation, group: GroupId| match note {
        Observation::Assigned { group: Some(one), generation, .. } if *one == group => *generation,
        _ => None,
    };
    // What is so right after an event.
    let generation = |group: GroupId, process: ProcessId, now: u32| {
        learned(history, process, now + 1).find_map(|(_, note)| of(note, group))
    };
    let owns = |group: GroupId, process: ProcessId, unit: UnitId, now: u32| {
        let told = |note: &Observation| of(note, group).is_some() && assigns(note, unit);
        let last = learned(history, process, now + 1).find(|(_, note)| told(note) || gives_up(note, unit));
        last.is_some_and(|(_, note)| told(note))
    };
    let rivals = |group: GroupId, process: ProcessId, unit: UnitId, now: u32| {
        let others =
            (0..history.process_count() as u32).map(ProcessId::from).filter(|other| *other != process);
        let same = |other: &ProcessId| {
            owns(group, process, unit, now)
                && owns(group, *other, unit, now)
                && generation(group, *other, now) == generation(group, process, now)
        };
        others.filter(same).count()
    };
    let mut found = Vec::new();
    for (event, note) in history.notes() {
        let Observation::Assigned { group: Some(group), generation: Some(_), .. } = note else { continue };
        let process = history.process_of(*event);
        for unit in naive::units(history) {
            let known = event
                .checked_sub(1)
                .filter(|before| generation(*group, process, *before) == generation(*group, process, *event));
            let known = known.map_or(0, |before| rivals(*group, process, unit, before));
            let new = rivals(*group, process, unit, *event) - known;
            let key = Key { unit: Some(unit), position: None, send: None, case: Case::Plain };
            found.extend(std::iter::repeat_n(key, new));
        }
    }
    found
}

fn eos_consume_count(history: &History) -> Vec<Key> {
    let of = |read: &DeliverRow| {
        let poll = history.polls().iter().find(|poll| Some(poll.invoke) == read.poll())?;
        let (row, _) = naive::writer(history, read.value()?)?;
        let done = poll.status == Status::Ok && txn_status(history, poll.txn()?).0 == Status::Ok;
        done.then_some((poll.group()?, row))
    };
    let reads = history.delivers();
    let last = (0..reads.len()).filter_map(|index| {
        let (group, row) = of(&reads[index])?;
        let same = |read: &DeliverRow| of(read) == Some((group, row));
        let twice = reads[..index].iter().any(same) && !reads[index + 1..].iter().any(same);
        twice.then(|| Key::new(reads[index].unit, reads[index].position, row, Case::Plain))
    });
    last.collect()
}

fn spurious_rebalance(history: &History) -> Vec<Key> {
    let sorted = |note: &Observation, of: GroupId| match note {
        Observation::Rebalanced { group, members, .. } if *group == of => {
            let mut members = members.clone();
            members.sort_unstable();
            Some(members)
        }
        _ => None,
    };
    let mut found = Vec::new();
    for (event, note) in history.notes() {
        let Observation::Rebalanced { group, .. } = note else { continue };
        let mut before = history.notes().iter().rev().filter(|(one, _)| one < event);
        let last = before.find_map(|(one, note)| Some((*one, sorted(note, *group)?)));
        let Some((last, members)) =
            last.filter(|(_, members)| Some(members) == sorted(note, *group).as_ref())
        else {
            continue;
        };
        let reason =
            history.notes().iter().filter(|(one, _)| (last..*event).contains(one)).any(|(one, note)| {
                let process = history.process_of(*one);
                let changed = match note {
                    Observation::Crashed => true,
                    Observation::Subscribed { topics, .. } => {
                        let last = learned(history, process, *one).find_map(|(_, note)| match note {
                            Observation::Subscribed { topics, .. } => Some(topics),
                            _ => None,
                        });
                        last != Some(topics)
                    }
                    _ => false,
                };
                changed && members.contains(&process)
            });
        if !reason {
            found.push(Key { unit: None, position: None, send: None, case: Case::Plain });
        }
    }
    let bound = history.meta.expect.spurious_rebalances.map_or(usize::MAX, |bound| bound as usize);
    found.iter_mut().skip(bound).for_each(|key| key.case = Case::Beyond);
    found
}

/// From when on nothing is broken.
fn healed(history: &History) -> Option<Time> {
    let phase = |note: &Observation| *note == Observation::Phase(Phase::Healed);
    let healed =
        history.notes().iter().rev().find(|(_, note)| phase(note)).map(|(event, _)| history.time(*event));
    let struck = |note: &Observation| match note {
        Observation::Fault(fault) => match &fault.hit {
            crate::events::Hit::Nodes(nodes) => !nodes.is_empty(),
            crate::events::Hit::Client(_) => true,
            crate::events::Hit::Nobody => false,
        },
        _ => false,
    };
    let broken = history.notes().iter().any(|(_, note)| struck(note));
    healed.or((!broken).then_some(Time(0)))
}

/// The longest time within a window without progress while there is work: each piece of work has an event with which
/// it begins and one with which it ends, and the end may be progress.
fn longest(history: &History, work: &[(u32, u32, bool)], window: (Time, Time)) -> Option<u64> {
    let time = |event: u32| if event == u32::MAX { window.1 } else { history.time(event).min(window.1) };
    let at_work = |event: u32| work.iter().any(|(begin, end, _)| (*begin..*end).contains(&event));
    let stops = |event: u32| !at_work(event) || work.iter().any(|one| (one.1, one.2) == (event, true));
    let events = work.iter().flat_map(|(begin, end, _)| [*begin, *end]);
    let starts = events.clone().filter(|event| *event != u32::MAX && at_work(*event));
    let lasts = starts.map(|start| {
        let end =
            events.clone().filter(|event| *event > start && (*event == u32::MAX || stops(*event))).min();
        let start = time(start).max(window.0).min(window.1);
        time(end.unwrap_or(u32::MAX)).since(start).as_nanos() as u64
    });
    lasts.max()
}

fn stuck_consumer(history: &History) -> Vec<Key> {
    let (Some(bound), Some(from)) = (history.meta.expect.progress, healed(history)) else {
        return Vec::new();
    };
    let over = |note: &Observation| {
        matches!(note, Observation::Phase(Phase::CaughtUp | Phase::Drained) | Observation::Drain(_))
    };
    let noted = history.notes().iter().filter(|(_, note)| over(note)).map(|(event, _)| *event);
    let drained = history.delivers().iter().filter(|read| read.drained()).map(|read| read.event);
    let until = noted.chain(drained).min().map_or(history.end(), |event| history.time(event));
    let mut readers: Vec<Option<GroupId>> =
        (0..history.group_count() as u32).map(|id| Some(id.into())).collect();
    readers.push(None);
    let mut found = Vec::new();
    for reader in readers {
        for unit in naive::units(history) {
            let work: Vec<(u32, u32, bool)> = history
                .sends()
                .iter()
                .filter(|send| send.acked() && send.unit() == Some(unit) && naive::seen(history, send))
                .filter(|send| reads_topic(history, reader, send))
                .filter_map(|send| {
                    let mut reads = history.delivers().iter().filter(|read| {
                        read.value() == Some(send.value) && !read.drained() && read.group() == reader
                    });
                    let first = reads.next().map_or(u32::MAX, |read| read.event);
                    send.completion().filter(|ack| *ack < first).map(|ack| (ack, first, true))
                })
                .collect();
            let longest = longest(history, &work, (from, until));
            if longest.is_some_and(|longest| u128::from(longest) >= bound.as_nanos()) {
                found.push(Key { unit: Some(unit), position: None, send: None, case: Case::Plain });
            }
        }
    }
    found
}

/// Whether a group (or the readers without one) reads the topic of a send.
fn reads_topic(history: &History, reader: Option<GroupId>, send: &SendRow) -> bool {
    let here = |unit: UnitId| history.unit_topic(unit) == send.topic;
    let delivered =
        history.delivers().iter().any(|read| !read.drained() && read.group() == reader && here(read.unit));
    let committed = history.commits().iter().any(|commit| {
        let done = effective(history, commit).is_some_and(|(_, end)| end.is_some());
        done && Some(commit.group) == reader && commit.positions.iter().any(|(unit, _)| here(*unit))
    });
    let assigned = history.notes().iter().any(|(_, note)| match note {
        Observation::Assigned { group: Some(group), units, .. } => {
            Some(*group) == reader && units.iter().any(|(unit, _)| here(*unit))
        }
        _ => false,
    });
    delivered || committed || assigned
}

fn stuck_producer(history: &History) -> Vec<Key> {
    let (Some(bound), Some(from)) = (history.meta.expect.progress, healed(history)) else {
        return Vec::new();
    };
    let stuck = (0..history.process_count() as u32).map(ProcessId::from).filter(|process| {
        let own: Vec<&SendRow> = history.sends().iter().filter(|send| send.process == *process).collect();
        let work: Vec<(u32, u32, bool)> = own
            .iter()
            .enumerate()
            // A send of a session that is over when it begins is nobody's work.
            .filter(|(index, send)| own[..*index].iter().all(|other| other.session <= send.session))
            .map(|(index, send)| {
                let newer = own[index..]
                    .iter()
                    .find(|other| other.session > send.session)
                    .map(|other| other.invoke.0);
                let crash = history.notes().iter().find(|(event, note)| {
                    *note == Observation::Crashed
                        && *event > send.invoke.0
                        && history.process_of(*event) == *process
                });
                let gone = newer.into_iter().chain(crash.map(|(event, _)| *event)).min().unwrap_or(u32::MAX);
                match send.completion().filter(|end| *end < gone) {
                    Some(end) => (send.invoke.0, end, send.acked()),
                    None => (send.invoke.0, gone, true),
                }
            })
            .collect();
        let longest = longest(history, &work, (from, history.end()));
        longest.is_some_and(|longest| u128::from(longest) >= bound.as_nanos())
    });
    stuck.map(|_| Key { unit: None, position: None, send: None, case: Case::Plain }).collect()
}
