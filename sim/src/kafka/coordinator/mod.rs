//! The group coordinator of a broker: the groups whose `__consumer_offsets` partition it leads (rule E7).
//!
//! - A group lives in the partition that its name hashes to. Whoever leads that partition reads it (14 until it
//!   has) and coordinates; anybody else says 16.
//! - Offsets and new generations are appended at the leader (`CoordinatorPartitionWriter` asks for acks=1, so that too
//!   few replicas in sync refuse nothing) and answered, and shown, once they are committed; an append that fails or takes
//!   longer than `offsets_commit_timeout` is answered 15 (16 if the leadership was lost, -1 if the batch is too large), and
//!   may still take effect.
//! - A heartbeat, a leave or a question for stable positions is decided by what is written. What it has nothing to write
//!   for is answered once everything written before it is committed ([`Work::Answer`]); an error that is thrown at it
//!   is answered at once. A question for other positions is decided by what is committed, and answered at once
//!   (`CoordinatorRuntime`, `GroupCoordinatorService` of Apache Kafka 4.0 and 4.3).
//! - Every `offsets.retention.check.interval.ms` expired offsets and forgotten groups are put to rest: tombstones in
//!   the log.
//! - Groups are numbered work for the broker to do ([`Work`]), so that the coordinator touches no replica.

mod commits;
pub(super) mod loading;
mod pending;
mod retention;
mod timers;
mod transactions;

use super::{
    Touch,
    broker::{Broker, Env},
    conns::Busy,
    error::ErrorCode,
    group::{Effect, Group, consumer::ConsumerGroupRecord, consumer_refused, join_failed, sync_failed},
    metadata::Image,
    names::{Names, java_hash},
    protocol::{
        BATCH_OVERHEAD, Batch, Entry, GroupIx, MemberId, PartitionId, Payload, RequestBody, ResponseBody,
        TopicIx,
    },
    txn::{messages::Marker, offsets::TxnOffsets},
};
use crate::{
    kernel::{ConnId, Mark, Site, mix},
    model::{Note, Output},
};
use commits::{commit_answer, commit_answered};
use pending::{OnTheWay, Pending};
use squall_bus::{Acks, Time};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

const MEMBER_ID: Site = Site::new("kafka.group.member-id");
/// Bytes of one member in a group's record.
const MEMBER_BYTES: u32 = 160;

/// What the coordinator wants done by its broker.
#[derive(Debug)]
pub(super) enum Work {
    Reply(ConnId, ResponseBody),
    /// Answer once everything that is written to this partition now is committed.
    Answer(u32, ConnId, ResponseBody),
    /// Append to this partition, then say how it went.
    Append(u32, Arc<Batch>, u64),
    Appended(u32, u64, ErrorCode),
    /// Read this partition's log.
    Load(u32),
}

/// The groups of one partition.
#[derive(Debug)]
struct Shard {
    leader_epoch: u32,
    /// Still reading, until then.
    loading: Option<Time>,
    groups: BTreeMap<GroupIx, Group>,
    pending: OnTheWay,
    /// Offsets of transactions that are not over.
    unstable: TxnOffsets,
    /// Member ids given out under this leadership.
    ids: u64,
}

impl Shard {
    /// Whether a commit of this group is on its way.
    fn commits(&self, id: GroupIx) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Offsets { group, .. } if *group == id))
    }

    /// A transaction ended: its offsets count, or are dropped.
    fn ended(&mut self, marker: &Marker, at: Time) {
        for (id, offset) in self.unstable.ended(marker) {
            let group = self.groups.entry(id).or_insert_with(|| Group::new(id));
            group.offsets.keep(&[offset], at);
        }
    }
}

/// A broker's coordinator.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    shards: Vec<Option<Shard>>,
    work: VecDeque<Work>,
    tokens: u64,
    armed: Option<Time>,
    /// When offsets are next looked through for expired ones.
    retention_check: Option<Time>,
}

/// The partition of a group: Java's hash of its name.
pub(super) fn partition_of(name: &str, partitions: u32) -> u32 {
    partition_of_hash(java_hash(name), partitions)
}

/// The partition of a name with this hash.
pub(super) fn partition_of_hash(hash: u32, partitions: u32) -> u32 {
    (hash & i32::MAX as u32).checked_rem(partitions).unwrap_or(0)
}

fn offsets_partition(partition: u32) -> PartitionId {
    PartitionId::new(TopicIx::CONSUMER_OFFSETS, partition)
}

/// The partition of the offsets topic that keeps this group.
pub(super) fn offsets_partition_of(group: GroupIx, names: &Names, image: &Image) -> PartitionId {
    offsets_partition(partition_of_hash(names.group_hash(group), offsets_partitions(image)))
}

/// How many partitions the offsets topic has.
pub(super) fn offsets_partitions(image: &Image) -> u32 {
    image.topic(TopicIx::CONSUMER_OFFSETS).map_or(0, |topic| topic.partitions.len() as u32)
}

impl Coordinator {
    /// The next thing to do.
    pub(super) fn next_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    /// An append came through, or not.
    pub(super) fn appended(&mut self, partition: u32, token: u64, error: ErrorCode) {
        self.work.push_back(Work::Appended(partition, token, error));
    }

    /// A partition that is coordinated here, once its log was read.
    fn loaded(&self, partition: u32) -> Option<&Shard> {
        self.shards.get(partition as usize)?.as_ref().filter(|shard| shard.loading.is_none())
    }

    /// A group, if it is coordinated here.
    fn group(&self, partition: u32, group: GroupIx) -> Option<&Group> {
        self.loaded(partition)?.groups.get(&group)
    }

    /// Where a group goes on, if it is coordinated here.
    pub(super) fn position(&self, partition: u32, group: GroupIx, of: &PartitionId) -> Option<Option<u64>> {
        let group = self.loaded(partition)?.groups.get(&group);
        Some(group.and_then(|group| group.offsets.get(of)).map(|offset| offset.offset))
    }

    /// A group that is kept in this partition and coordinated here, loaded or not.
    pub(super) fn group_in(&self, partition: u32, group: GroupIx) -> Option<&Group> {
        self.shards.get(partition as usize)?.as_ref()?.groups.get(&group)
    }

    /// All groups coordinated here, with the epoch of the leadership that makes it so.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        let shards = self.shards.iter().flatten();
        shards.flat_map(|shard| shard.groups.values().map(|group| (shard.leader_epoch, group)))
    }

    fn shard(&mut self, partition: u32) -> Option<&mut Shard> {
        self.shards.get_mut(partition as usize)?.as_mut()
    }

    /// The leadership of an offsets partition changed.
    pub(super) fn partition_changed(&mut self, partition: u32, leads: bool, env: &mut Env<'_, '_>) {
        let index = partition as usize;
        if index >= self.shards.len() {
            self.shards.resize_with(index + 1, || None);
        }
        if let Some(shard) = self.shards[index].take() {
            if shard.groups.values().any(Group::has_members) {
                env.ctx.mark(Mark::CoordinatorMoved);
            }
            self.unload(shard);
        }
        if leads {
            let id = offsets_partition(partition);
            let leader_epoch = env.image.partition(id).map_or(0, |image| image.leader_epoch);
            let until = loading::read_at(id, leader_epoch, env);
            self.shards[index] = Some(Shard {
                leader_epoch,
                loading: Some(until),
                groups: BTreeMap::new(),
                pending: OnTheWay::default(),
                unstable: TxnOffsets::default(),
                ids: 0,
            });
            self.arm(until, env);
        }
    }

    fn unload(&mut self, shard: Shard) {
        for mut group in shard.groups.into_values() {
            for effect in group.unload() {
                if let Effect::Reply(conn, body) = effect {
                    self.work.push_back(Work::Reply(conn, body));
                }
            }
        }
        for mut pending in shard.pending.into_values() {
            self.work.extend(pending.give_up(ErrorCode::NotCoordinator));
        }
    }

    // Requests.

    pub(super) fn request(&mut self, conn: ConnId, body: RequestBody, env: &mut Env<'_, '_>) {
        let group = match &body {
            RequestBody::FindCoordinator(group)
            | RequestBody::Heartbeat(group, _)
            | RequestBody::LeaveGroup(group, ..) => *group,
            RequestBody::OffsetFetch(request) => request.group,
            RequestBody::ConsumerGroupHeartbeat(request) => request.group,
            RequestBody::JoinGroup(request) => request.group,
            RequestBody::SyncGroup(request) => request.group,
            RequestBody::OffsetCommit(request) => request.group,
            _ => return,
        };
        let partition = partition_of_hash(env.names.group_hash(group), offsets_partitions(env.image));
        if let RequestBody::FindCoordinator(_) = body {
            let leader = env.image.partition(offsets_partition(partition)).and_then(|image| image.leader);
            let error = if leader.is_some() { ErrorCode::None } else { ErrorCode::CoordinatorNotAvailable };
            self.work.push_back(Work::Reply(conn, ResponseBody::FindCoordinator(error, leader)));
            return;
        }
        let spoken = env.rules.consumer_protocol || !matches!(body, RequestBody::ConsumerGroupHeartbeat(_));
        let error = match self.shard(partition) {
            _ if !spoken => ErrorCode::UnsupportedVersion,
            None => ErrorCode::NotCoordinator,
            Some(shard) if shard.loading.is_some() => ErrorCode::CoordinatorLoadInProgress,
            Some(_) => return self.handle(partition, group, conn, body, env),
        };
        self.work.push_back(refusal(conn, &body, error));
    }

    fn handle(
        &mut self,
        partition: u32,
        id: GroupIx,
        conn: ConnId,
        body: RequestBody,
        env: &mut Env<'_, '_>,
    ) {
        let (rules, now) = (env.rules, env.ctx.now());
        if let RequestBody::OffsetFetch(request) = &body {
            return self.say_positions(partition, conn, request);
        }
        let Some(shard) = self.shard(partition) else { return };
        let commits = matches!(body, RequestBody::JoinGroup(_)) && shard.commits(id);
        let group = shard.groups.entry(id).or_insert_with(|| Group::new(id));
        let mut answer = None;
        let effects = match body {
            RequestBody::JoinGroup(request) => {
                if commits {
                    env.ctx.mark(Mark::RebalanceDuringCommit);
                }
                shard.ids += 1;
                let entity = mix(u64::from(id.0), u64::from(shard.leader_epoch));
                let fresh = MemberId(env.ctx.choices().draw(MEMBER_ID, entity, shard.ids));
                group.join(conn, request, fresh, rules, now)
            }
            RequestBody::SyncGroup(request) => group.sync(conn, request, now),
            RequestBody::Heartbeat(_, member) => {
                let error = group.heartbeat(&member, now);
                let body = ResponseBody::Heartbeat(error);
                if !matches!(error, ErrorCode::None | ErrorCode::RebalanceInProgress) {
                    return self.work.push_back(Work::Reply(conn, body));
                }
                answer = Some(body);
                Vec::new()
            }
            RequestBody::LeaveGroup(_, member, instance) => {
                let (error, effects) = group.leave(member, instance.as_ref(), rules, now);
                answer = Some(ResponseBody::LeaveGroup(error));
                effects
            }
            RequestBody::ConsumerGroupHeartbeat(request) => {
                let image = env.image;
                let partitions =
                    |topic: TopicIx| image.topic(topic).map_or(0, |topic| topic.partitions.len() as u32);
                group.consumer_heartbeat(conn, &request, &partitions, rules, now)
            }
            RequestBody::OffsetCommit(request) => {
                let allowed = group.check_commit(request.member.as_ref(), rules, now);
                self.take_commit(partition, conn, request, allowed, env);
                Vec::new()
            }
            _ => return,
        };
        self.carry_out(partition, id, effects, env);
        self.work.extend(answer.map(|body| Work::Answer(partition, conn, body)));
        self.arm_group(partition, id, env);
    }

    fn append(
        &mut self,
        partition: u32,
        payload: Payload,
        bytes: u32,
        pending: Pending,
        env: &mut Env<'_, '_>,
    ) {
        let timestamp = env.ctx.wall();
        let batch = Batch { payload, stamp: None, bytes, timestamp, intact: true };
        if let Some(token) = self.wait(partition, pending, env) {
            self.work.push_back(Work::Append(partition, Arc::new(batch), token));
        }
    }

    /// This waits for a commit in this partition, by the token that it gets.
    fn wait(&mut self, partition: u32, pending: Pending, env: &mut Env<'_, '_>) -> Option<u64> {
        let until = env.ctx.now() + env.rules.offsets_commit_timeout;
        self.tokens += 1;
        let token = self.tokens;
        self.shard(partition)?.pending.push(token, until, pending);
        self.arm(until, env);
        Some(token)
    }

    fn carry_out(&mut self, partition: u32, id: GroupIx, effects: Vec<Effect>, env: &mut Env<'_, '_>) {
        if effects.is_empty() {
            return;
        }
        env.ctx.touch(Touch::Group(id));
        let wall = env.ctx.wall();
        if let Some(group) = self.shard(partition).and_then(|shard| shard.groups.get_mut(&id)) {
            group.note_members(wall);
        }
        for effect in effects {
            match effect {
                Effect::Reply(conn, body) => self.work.push_back(Work::Reply(conn, body)),
                Effect::Answer(conn, body) => self.work.push_back(Work::Answer(partition, conn, body)),
                Effect::Persist(snapshot) => {
                    let bytes = BATCH_OVERHEAD + MEMBER_BYTES * snapshot.members.len() as u32;
                    let pending = Pending::Generation(id, snapshot.generation);
                    self.append(partition, Payload::Group(snapshot), bytes, pending, env);
                }
                Effect::Keep(record, answer) => {
                    let bytes = BATCH_OVERHEAD + MEMBER_BYTES * (1 + record.members.len() as u32);
                    let pending = Pending::Consumer(Arc::clone(&record), answer);
                    self.append(partition, Payload::ConsumerGroup(record), bytes, pending, env);
                }
                Effect::Rebalanced(generation, members) => {
                    let group = env.names.group(id).to_owned();
                    let generation = generation.unsigned_abs();
                    env.ctx.emit(Output::Note(Note::Rebalanced { group, generation, members }));
                }
            }
        }
    }

    /// An append is committed, or failed.
    fn settled(&mut self, partition: u32, token: u64, error: ErrorCode, env: &mut Env<'_, '_>) {
        let (rules, now) = (env.rules, env.ctx.now());
        let Some(shard) = self.shard(partition) else { return };
        let Some(pending) = shard.pending.take(token) else { return };
        let error = coordinator_error(error);
        match pending {
            Pending::Offsets { group: id, answer, offsets, at, .. } => {
                let kept = !error.is_error();
                if kept {
                    shard.groups.entry(id).or_insert_with(|| Group::new(id)).offsets.keep(&offsets, at);
                }
                self.work.extend(answer.map(|answer| commit_answered(answer, error)));
                if kept {
                    self.watch_retention(env);
                }
            }
            Pending::TxnOffsets { conn, producer, group, offsets } => {
                if !error.is_error() {
                    shard.unstable.wrote(producer, group, &offsets);
                }
                self.work.extend(conn.map(|conn| commit_answer(conn, &offsets, error)));
            }
            Pending::Consumer(record, answer) => {
                let id = record.group;
                let Shard { groups, pending, .. } = shard;
                let Some(group) = groups.get_mut(&id) else { return };
                match &mut group.consumer {
                    Some(group) if error.is_error() => {
                        group.undo(last_written(pending, id), answer.is_none(), rules, now);
                    }
                    Some(group) => group.persisted(record),
                    None => {}
                }
                self.work.extend(answer.map(|(conn, body)| {
                    if error.is_error() { heartbeat_refused(conn, error) } else { Work::Reply(conn, body) }
                }));
                env.ctx.touch(Touch::Group(id));
                self.arm_group(partition, id, env);
            }
            Pending::Tombstone => {}
            Pending::Answer(answer) => {
                self.work.extend(answer.map(|(conn, body)| Work::Reply(conn, body)));
            }
            Pending::Generation(id, generation) => {
                let Some(group) = shard.groups.get_mut(&id) else { return };
                let effects = group.persisted(generation, error, rules, now);
                env.ctx.touch(Touch::Group(id));
                self.carry_out(partition, id, effects, env);
                self.arm_group(partition, id, env);
            }
        }
    }
}

/// A group of the consumer protocol as the log has it last, if that is not committed yet.
fn last_written(pending: &OnTheWay, id: GroupIx) -> Option<&ConsumerGroupRecord> {
    pending.values().rev().find_map(|pending| match pending {
        Pending::Consumer(record, _) if record.group == id => Some(&**record),
        _ => None,
    })
}

/// What a failed append means for a group's client (`CoordinatorOperationExceptionHelper` of Kafka 4.0).
fn coordinator_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::None => ErrorCode::None,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}

fn heartbeat_refused(conn: ConnId, error: ErrorCode) -> Work {
    Work::Reply(conn, ResponseBody::ConsumerGroupHeartbeat(consumer_refused(error)))
}

fn refusal(conn: ConnId, body: &RequestBody, error: ErrorCode) -> Work {
    let effect = match body {
        RequestBody::JoinGroup(request) => join_failed(conn, error, request.member),
        RequestBody::SyncGroup(_) => sync_failed(conn, error),
        RequestBody::OffsetCommit(request) => return commit_answer(conn, &request.offsets, error),
        RequestBody::OffsetFetch(..) => {
            return Work::Reply(conn, ResponseBody::OffsetFetch(error, Vec::new()));
        }
        RequestBody::ConsumerGroupHeartbeat(_) => return heartbeat_refused(conn, error),
        RequestBody::LeaveGroup(..) => return Work::Reply(conn, ResponseBody::LeaveGroup(error)),
        _ => return Work::Reply(conn, ResponseBody::Heartbeat(error)),
    };
    match effect {
        Effect::Reply(conn, body) => Work::Reply(conn, body),
        _ => Work::Reply(conn, ResponseBody::Heartbeat(error)),
    }
}

impl Broker {
    /// Does what the coordinator wants done.
    pub(super) fn coordinate(&mut self, work: Work, env: &mut Env<'_, '_>) {
        match work {
            Work::Reply(conn, body) => {
                if let Some(Busy::Group(correlation)) = self.conns.get(conn).map(|known| &known.busy) {
                    let correlation = *correlation;
                    self.answer(conn, correlation, body, env);
                }
            }
            Work::Answer(partition, conn, body) => {
                let id = offsets_partition(partition);
                let end = self.replica(id).map_or(0, |replica| replica.log.end());
                if self.replica(id).is_none_or(|replica| replica.high_watermark >= end) {
                    return self.coordinate(Work::Reply(conn, body), env);
                }
                let pending = Pending::Answer(Some((conn, body)));
                if let Some(token) = self.coordinator.wait(partition, pending, env) {
                    self.wait_for(id, end, super::replica::Waiter::Coordinator(token));
                }
            }
            Work::Append(partition, batch, token) => {
                let id = offsets_partition(partition);
                let waiter = super::replica::Waiter::Coordinator(token);
                match self.append_as_leader(id, batch, Acks::One, env) {
                    Ok((_, end)) if self.wait_for(id, end, waiter) => {}
                    Ok(_) => self.coordinator.appended(partition, token, ErrorCode::None),
                    Err(error) => self.coordinator.appended(partition, token, error),
                }
            }
            Work::Appended(partition, token, error) => {
                self.coordinator.settled(partition, token, error, env);
            }
            Work::Load(partition) => {
                let entries = self.replica(offsets_partition(partition)).map(|replica| replica.log.entries());
                let entries = entries.map(<[Entry]>::to_vec).unwrap_or_default();
                self.coordinator.load(partition, &entries, env);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Coordinator {
        /// A group, to plant something in it.
        pub(in crate::kafka) fn group_mut(&mut self, partition: u32, group: GroupIx) -> Option<&mut Group> {
            self.shard(partition)?.groups.get_mut(&group)
        }
    }

    #[test]
    fn e7_groups_hash_to_partitions_as_in_java() {
        // "billing".hashCode() == -109829509; the sign bit is cleared.
        assert_eq!(partition_of("billing", 50), ((-109_829_509_i32) & i32::MAX) as u32 % 50);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("a", 0), 0);
    }
}
