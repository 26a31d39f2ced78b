//! A coordinator as a test plays it: one classic group, by the rules of Kafka's handlers (E1, E2).

use super::super::super::{
    error::ErrorCode,
    protocol::{
        Assignor, CommittedOffset, JoinGroupRequest, JoinGroupResponse, JoinedMember, MemberEpoch, MemberId,
        MemberSubscription, OffsetCommitRequest, PartitionId, RequestBody, ResponseBody, SyncGroupRequest,
    },
};
use crate::kernel::{ConnId, NodeId};
use squall_bus::Time;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

type Answer = (ConnId, u32, ResponseBody);

#[derive(Debug)]
struct Member {
    id: MemberId,
    wants: Arc<MemberSubscription>,
    /// The assignor it likes best.
    assignor: Assignor,
    session: Duration,
    seen: Time,
    joining: Option<(ConnId, u32)>,
    syncing: Option<(ConnId, u32)>,
    dealt: Vec<PartitionId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    Preparing,
    Completing,
    Stable,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    members: Vec<Member>,
    state: State,
    pub(super) generation: i32,
    next_id: u64,
    /// Ids given out and not used yet.
    given: Vec<MemberId>,
    pub(super) committed: BTreeMap<PartitionId, CommittedOffset>,
    /// The next so many commits are answered with this code.
    pub(super) refuse_commits: Option<(u32, ErrorCode)>,
    /// JoinGroups seen.
    pub(super) joins: u32,
    /// When heartbeats came.
    pub(super) beats: Vec<Time>,
}

impl Coordinator {
    /// How many members there are.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn request(&mut self, conn: ConnId, number: u32, body: RequestBody, now: Time) -> Vec<Answer> {
        let one = |body| vec![(conn, number, body)];
        match body {
            RequestBody::FindCoordinator(_) => {
                one(ResponseBody::FindCoordinator(ErrorCode::None, Some(NodeId(0))))
            }
            RequestBody::JoinGroup(request) => self.join(conn, number, request, now),
            RequestBody::SyncGroup(request) => self.sync(conn, number, request),
            RequestBody::Heartbeat(_, who) => {
                self.beats.push(now);
                let error = self.check(&who);
                if let Some(member) = self.member(who.id) {
                    member.seen = now;
                }
                let rebalance = error == ErrorCode::None && self.state == State::Preparing;
                one(ResponseBody::Heartbeat(if rebalance { ErrorCode::RebalanceInProgress } else { error }))
            }
            RequestBody::LeaveGroup(_, id, _) => {
                self.members.retain(|member| member.id != id);
                let mut answers = one(ResponseBody::LeaveGroup(ErrorCode::None));
                answers.extend(self.rebalance());
                answers
            }
            RequestBody::OffsetCommit(request) => one(self.commit(&request)),
            RequestBody::OffsetFetch(request) => {
                let found =
                    request.partitions.iter().map(|id| (*id, self.committed.get(id).copied())).collect();
                one(ResponseBody::OffsetFetch(ErrorCode::None, found))
            }
            other => panic!("no broker is asked for {other:?}"),
        }
    }

    fn member(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn check(&self, who: &MemberEpoch) -> ErrorCode {
        if self.members.iter().all(|member| member.id != who.id) {
            ErrorCode::UnknownMemberId
        } else if who.epoch != self.generation {
            ErrorCode::IllegalGeneration
        } else {
            ErrorCode::None
        }
    }

    fn join(&mut self, conn: ConnId, number: u32, request: JoinGroupRequest, now: Time) -> Vec<Answer> {
        self.joins += 1;
        let refusal = |error, member| {
            let response = JoinGroupResponse {
                error,
                member,
                generation: -1,
                assignor: Assignor::Range,
                leader: None,
                members: Vec::new(),
            };
            vec![(conn, number, ResponseBody::JoinGroup(response))]
        };
        let Some(id) = request.member else {
            self.next_id += 1;
            self.given.push(MemberId(self.next_id));
            return refusal(ErrorCode::MemberIdRequired, Some(MemberId(self.next_id)));
        };
        if self.member(id).is_none() {
            let Some(given) = self.given.iter().position(|given| *given == id) else {
                return refusal(ErrorCode::UnknownMemberId, None);
            };
            self.given.remove(given);
            self.members.push(Member {
                id,
                wants: Arc::clone(&request.subscription),
                assignor: request.assignors[0],
                session: request.session_timeout,
                seen: now,
                joining: None,
                syncing: None,
                dealt: Vec::new(),
            });
        }
        if let Some(member) = self.member(id) {
            member.seen = now;
            member.wants = request.subscription;
            member.joining = Some((conn, number));
        }
        self.rebalance()
    }

    /// Prepares a new generation; begins it when everybody has joined.
    fn rebalance(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.state = State::Preparing;
        for member in &mut self.members {
            if let Some((conn, number)) = member.syncing.take() {
                answers.push((
                    conn,
                    number,
                    ResponseBody::SyncGroup(ErrorCode::RebalanceInProgress, Vec::new()),
                ));
            }
        }
        if self.members.is_empty() {
            self.state = State::Empty;
        } else if self.members.iter().all(|member| member.joining.is_some()) {
            self.generation += 1;
            self.state = State::Completing;
            let leader = self.members[0].id;
            let joined =
                |m: &Member| JoinedMember { id: m.id, instance: None, subscription: Arc::clone(&m.wants) };
            let all: Vec<_> = self.members.iter().map(joined).collect();
            let assignor = self.members[0].assignor;
            for member in &mut self.members {
                let response = JoinGroupResponse {
                    error: ErrorCode::None,
                    member: Some(member.id),
                    generation: self.generation,
                    assignor,
                    leader: Some(leader),
                    members: if member.id == leader { all.clone() } else { Vec::new() },
                };
                let (conn, number) = member.joining.take().expect("everybody has joined");
                answers.push((conn, number, ResponseBody::JoinGroup(response)));
            }
        }
        answers
    }

    fn sync(&mut self, conn: ConnId, number: u32, request: SyncGroupRequest) -> Vec<Answer> {
        let mut error = self.check(&request.member);
        if error == ErrorCode::None && self.state == State::Preparing {
            error = ErrorCode::RebalanceInProgress;
        }
        if error.is_error() {
            return vec![(conn, number, ResponseBody::SyncGroup(error, Vec::new()))];
        }
        let is_leader = self.members[0].id == request.member.id;
        for (id, dealt) in request.assignments {
            if let Some(member) = self.member(id) {
                member.dealt = dealt;
            }
        }
        if let Some(member) = self.member(request.member.id) {
            member.syncing = Some((conn, number));
        }
        if is_leader {
            self.state = State::Stable;
        }
        if self.state != State::Stable {
            return Vec::new();
        }
        let synced = self.members.iter_mut().filter_map(|member| {
            let (conn, number) = member.syncing.take()?;
            Some((conn, number, ResponseBody::SyncGroup(ErrorCode::None, member.dealt.clone())))
        });
        synced.collect()
    }

    fn commit(&mut self, request: &OffsetCommitRequest) -> ResponseBody {
        let mut error = match &request.member {
            Some(who) => self.check(who),
            None if self.state == State::Empty => ErrorCode::None,
            None => ErrorCode::IllegalGeneration,
        };
        if error == ErrorCode::None && self.state == State::Completing {
            error = ErrorCode::RebalanceInProgress;
        }
        if let Some((left @ 1.., code)) = &mut self.refuse_commits {
            *left -= 1;
            error = *code;
        }
        if error == ErrorCode::None {
            for offset in &request.offsets {
                self.committed.insert(offset.partition, *offset);
            }
        }
        ResponseBody::OffsetCommit(request.offsets.iter().map(|offset| (offset.partition, error)).collect())
    }

    /// Evicts members that gave no sign of life for a session; one that waits for a JoinGroup is alive.
    pub(super) fn expire(&mut self, now: Time) -> Vec<Answer> {
        let before = self.members.len();
        self.members.retain(|member| member.joining.is_some() || now.since(member.seen) < member.session);
        if self.members.len() == before { Vec::new() } else { self.rebalance() }
    }
}
