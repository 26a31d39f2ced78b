//! The metadata quorum (KRaft): a log that followers replicate by pulling (rule A5; KIP-595, KIP-996).
//!
//! - A follower fetches from the leader without pause; the leader holds an answer back while there is nothing
//!   to say. A batch is committed once a majority of voters has it and it is of the leader's epoch.
//! - A voter that hears nothing for `quorum_fetch_timeout` asks whether it would be elected (pre-vote) and stands
//!   for election if a majority says yes. Nobody says yes who has a leader. If nobody else misses the leader,
//!   it follows on.
//! - A leader that a majority has not fetched from for one and a half fetch timeouts resigns, so an isolated
//!   leader commits nothing and stops being one.
//! - Whoever does not know the leader asks one voter after the other.
//! - The log is synced with each append, as Kafka syncs it: a loss of power loses nothing of it.

mod election;
mod following;
mod leading;

use super::{
    Kafka, Timer,
    links::{Lane, Links, ReplyTo},
    lull::{Lull, Proposal},
    metadata::MetadataRecord,
    protocol::{RequestBody, ResponseBody},
    quorum::{MetadataBatch, QuorumRequest, QuorumResponse},
    rules::Rules,
};
use crate::kernel::{Ctx, Digest, NodeId, Site};
use crate::nodes::NodeSet;
use squall_bus::Time;
use std::time::Duration;

const NOTICE: Site = Site::new("kafka.quorum.notice");

/// A timer of the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumTimer {
    /// Stand for election, unless a leader was heard of.
    Election,
    /// Look for the leader, or fetch again.
    Retry,
    /// Answer fetches that waited long enough.
    Parked,
    /// Resign, unless a majority fetched.
    Majority,
}

impl Digest for QuorumTimer {
    fn digest(&self) -> u64 {
        *self as u64
    }
}

#[derive(Clone, Copy, Debug)]
struct Parked {
    node: NodeId,
    to: ReplyTo,
    end: u64,
    committed: u64,
    /// It may be answered from then on: a request of a lull that is over may still be on its way.
    from: Time,
    until: Time,
    /// It is answered and comes back in silence.
    lull: Option<Lull>,
}

impl Parked {
    /// When it has to be looked at.
    fn due(&self, now: Time) -> Option<Time> {
        match self.lull {
            Some(_) => None,
            None if self.from > now => Some(self.from),
            None => Some(self.until),
        }
    }

    /// Ends its lull, if there is one: when its node was heard of last.
    fn wake(&mut self, now: Time) -> Option<Time> {
        let lull = self.lull.take()?;
        let wait = self.until.since(self.from);
        self.from = lull.arrives(now);
        self.until = self.from + wait;
        Some(lull.fetched(now))
    }
}

#[derive(Debug)]
struct Leading {
    /// The offset of the batch that begins the epoch.
    begin: u64,
    /// How far each node's log is known to reach.
    ends: Vec<u64>,
    /// When each node fetched last.
    fetched: Vec<Time>,
    parked: Vec<Parked>,
}

impl Leading {
    /// When a node was last heard of, in silence too.
    fn heard_of(&self, node: NodeId, now: Time) -> Time {
        let fetched = self.fetched[node.index()];
        let silent = self.parked.iter().find(|parked| parked.node == node).and_then(|parked| parked.lull);
        silent.map_or(fetched, |lull| fetched.max(lull.fetched(now)))
    }
}

#[derive(Debug)]
enum Role {
    Follower {
        leader: Option<NodeId>,
    },
    /// With whom it followed until it heard nothing any more.
    Prospective {
        votes: NodeSet,
        rejected: NodeSet,
        silent: Option<NodeId>,
    },
    Candidate {
        votes: NodeSet,
    },
    Leader(Leading),
}

/// A voter or observer of the metadata quorum.
#[derive(Debug)]
pub(super) struct Voter {
    me: NodeId,
    servers: u32,
    voters: NodeSet,
    /// It led and resigned for good: its process ends.
    retired: bool,
    /// The log; an offset is an index. Survives the process.
    log: Vec<MetadataBatch>,
    /// Survives the process.
    epoch: u32,
    /// Whom this node voted for in its epoch. Survives the process.
    voted: Option<NodeId>,
    role: Role,
    /// It has heard the leader that it follows, since it follows it.
    has_fetched: bool,
    committed: u64,
    /// When the leader was last heard of, or the role began.
    heard: Time,
    election_after: Duration,
    /// How often this node drew an election timeout: the ordinal of the next draw. Survives the process.
    draws: u64,
    /// Timers that are under way.
    election_armed: bool,
    retry_armed: bool,
    parked_armed: Option<Time>,
    majority_armed: bool,
    /// Whom the last unanswered fetch went to, and its correlation id: an older one's answer does not fit the
    /// log any more.
    fetching: Option<(NodeId, u32)>,
    /// That fetch is answered and comes back in silence.
    lull: Option<Lull>,
    /// Lulls that this event proposes.
    pub(super) lulls: Vec<Proposal>,
    /// Within this event it turned away from who counts on its silence.
    pub(super) roused: bool,
    next_guess: u32,
}

impl Voter {
    pub(super) fn new(me: NodeId, servers: u32, voters: NodeSet) -> Self {
        Self {
            me,
            servers,
            voters,
            retired: false,
            log: Vec::new(),
            epoch: 0,
            voted: None,
            role: Role::Follower { leader: None },
            has_fetched: false,
            committed: 0,
            heard: Time::ZERO,
            election_after: Duration::ZERO,
            draws: 0,
            election_armed: false,
            retry_armed: false,
            parked_armed: None,
            majority_armed: false,
            fetching: None,
            lull: None,
            lulls: Vec::new(),
            roused: false,
            next_guess: me.0,
        }
    }

    /// The log.
    pub(super) fn log(&self) -> &[MetadataBatch] {
        &self.log
    }

    /// How far the log is known to be committed.
    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// The epoch.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Who leads, as far as this node knows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader } => *leader,
            Role::Leader(_) => Some(self.me),
            Role::Prospective { .. } | Role::Candidate { .. } => None,
        }
    }

    /// Whether this node leads and the beginning of its epoch is committed: it may control the cluster.
    pub(super) fn is_active(&self) -> bool {
        matches!(&self.role, Role::Leader(leading) if self.committed > leading.begin)
    }

    fn is_voter(&self) -> bool {
        self.voters.contains(self.me)
    }

    fn last_epoch(&self) -> u32 {
        self.log.last().map_or(0, |batch| batch.epoch)
    }

    fn end(&self) -> u64 {
        self.log.len() as u64
    }

    /// Puts a batch into the log as if it had been committed long ago, before the cluster starts.
    pub(super) fn settle(&mut self, batch: MetadataBatch) {
        self.epoch = batch.epoch;
        self.log.push(batch);
        self.committed = self.end();
    }

    /// Begins as the leader or a follower of a cluster that has been running.
    pub(super) fn start_settled(
        &mut self,
        leader: NodeId,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        if leader == self.me {
            self.lead(0, rules, ctx);
        } else {
            self.follow(self.epoch, Some(leader), rules, links, ctx);
            self.has_fetched = true;
        }
    }

    /// The process begins: only the log, the epoch and the vote are left of the one before.
    pub(super) fn start(&mut self, rules: &Rules, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        self.committed = 0;
        self.retired = false;
        (self.election_armed, self.retry_armed, self.majority_armed) = (false, false, false);
        self.parked_armed = None;
        self.fetching = None;
        self.lulls.clear();
        self.follow(self.epoch, None, rules, links, ctx);
    }

    /// The disk is empty.
    pub(super) fn wipe(&mut self) {
        *self = Self { draws: self.draws, ..Self::new(self.me, self.servers, self.voters) };
    }

    /// The process ends in good order: a leader asks for a successor, and stands no more. Whether it is to wait for one.
    pub(super) fn resign(&mut self, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) -> bool {
        if !matches!(self.role, Role::Leader(_)) {
            return false;
        }
        let others = self.voters.without(self.me);
        for voter in others.iter() {
            let end = QuorumRequest::EndEpoch { epoch: self.epoch };
            links.ask(voter, Lane::Quorum, RequestBody::Quorum(end), ctx);
        }
        self.role = Role::Follower { leader: None };
        self.retired = true;
        others.iter().next().is_some()
    }

    /// Appends to the log; the leader's. Returns the batch's offset.
    pub(super) fn append(&mut self, records: Vec<MetadataRecord>) -> u64 {
        self.log.push(MetadataBatch { epoch: self.epoch, records: records.into() });
        self.end() - 1
    }

    /// Answers and commits what can be after an append.
    pub(super) fn appended(&mut self, links: &mut Links, ctx: &mut Ctx<'_, Kafka>) {
        self.advance_commit();
        self.answer_parked(links, ctx);
    }

    fn follow(
        &mut self,
        epoch: u32,
        leader: Option<NodeId>,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        let known = matches!(self.role, Role::Follower { leader: Some(known) } if Some(known) == leader);
        self.refuse_parked(links, ctx);
        self.become_follower(epoch, leader, rules, ctx);
        if !known || self.fetching.is_none() {
            self.fetch(rules, links, ctx);
        }
    }

    fn become_follower(
        &mut self,
        epoch: u32,
        leader: Option<NodeId>,
        rules: &Rules,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.voted = None;
        }
        self.role = Role::Follower { leader };
        self.has_fetched = false;
        if leader.is_some() {
            self.heard = ctx.now();
            self.draws += 1;
            let late = rules.quorum_notice.as_nanos() as u64;
            let late = ctx.between(NOTICE, u64::from(self.me.0), self.draws, 0, late);
            self.election_after = rules.quorum_fetch_timeout + Duration::from_nanos(late);
        } else {
            self.draw_election(rules, ctx);
        }
        self.arm_election(ctx);
    }

    fn lead(&mut self, begin: u64, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        let nodes = self.servers as usize;
        self.role = Role::Leader(Leading {
            begin,
            ends: vec![0; nodes],
            fetched: vec![ctx.now(); nodes],
            parked: Vec::new(),
        });
        if !self.majority_armed && self.voters.len() > 1 {
            self.majority_armed = true;
            ctx.timer(rules.quorum_fetch_timeout * 3 / 2, Timer::Quorum(QuorumTimer::Majority));
        }
    }

    // Events.

    pub(super) fn on_timer(
        &mut self,
        timer: QuorumTimer,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        match timer {
            QuorumTimer::Election => {
                self.election_armed = false;
                if matches!(self.role, Role::Leader(_)) || self.retired {
                    return;
                }
                if self.heard_by(ctx.now()) + self.election_after > ctx.now() {
                    self.arm_election(ctx);
                    return;
                }
                // Whoever did not answer is asked again over a new connection.
                for voter in self.voters.without(self.me).iter() {
                    links.hang_up(voter, Lane::Quorum, ctx);
                }
                self.fetching = None;
                match self.role {
                    // Nobody wanted another leader: perhaps it is there after all.
                    Role::Prospective { silent: Some(leader), .. } => {
                        self.follow(self.epoch, Some(leader), rules, links, ctx);
                    }
                    _ => self.stand(true, rules, links, ctx),
                }
            }
            QuorumTimer::Retry => {
                self.retry_armed = false;
                let lost = matches!(self.role, Role::Follower { leader: None });
                let heard = self.heard_by(ctx.now());
                let silent = !self.is_voter() && heard + rules.quorum_fetch_timeout <= ctx.now();
                if let Some((to, _)) = self.fetching
                    && (lost || silent)
                {
                    links.hang_up(to, Lane::Quorum, ctx);
                    self.fetching = None;
                }
                if silent {
                    self.follow(self.epoch, None, rules, links, ctx);
                } else if self.fetching.is_none() {
                    self.fetch(rules, links, ctx);
                } else if !self.is_voter() {
                    self.arm_retry(rules.quorum_request_timeout, ctx);
                }
            }
            QuorumTimer::Parked => {
                self.parked_armed = None;
                self.answer_parked(links, ctx);
            }
            QuorumTimer::Majority => self.check_majority(rules, links, ctx),
        }
    }

    pub(super) fn on_closed(&mut self, peer: NodeId, rules: &Rules, ctx: &mut Ctx<'_, Kafka>) {
        if self.fetching.is_some_and(|(to, _)| to == peer) {
            self.fetching = None;
            self.arm_retry(rules.controller_retry, ctx);
        }
    }

    pub(super) fn on_request(
        &mut self,
        from: NodeId,
        request: QuorumRequest,
        to: ReplyTo,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        let answer = match request {
            QuorumRequest::Vote { pre, epoch, last_epoch, end } => {
                let granted = self.vote(from, pre, epoch, (last_epoch, end), rules, links, ctx);
                QuorumResponse::Vote { epoch: self.epoch, leader: self.leader(), pre, granted }
            }
            QuorumRequest::BeginEpoch { epoch } => {
                if epoch >= self.epoch && self.leader() != Some(from) {
                    self.follow(epoch, Some(from), rules, links, ctx);
                }
                QuorumResponse::Epoch { epoch: self.epoch, leader: self.leader() }
            }
            QuorumRequest::EndEpoch { epoch } => {
                if epoch >= self.epoch && self.is_voter() {
                    self.follow(epoch, None, rules, links, ctx);
                    self.stand(true, rules, links, ctx);
                }
                QuorumResponse::Epoch { epoch: self.epoch, leader: self.leader() }
            }
            QuorumRequest::Fetch { epoch, end, last_epoch, committed } => {
                if epoch > self.epoch {
                    self.follow(epoch, None, rules, links, ctx);
                }
                if epoch == self.epoch && matches!(self.role, Role::Leader(_)) {
                    let until = ctx.now() + rules.quorum_fetch_wait;
                    let parked =
                        Parked { node: from, to, end, committed, from: ctx.now(), until, lull: None };
                    self.fetched(parked, last_epoch, links, ctx);
                    return;
                }
                QuorumResponse::Epoch { epoch: self.epoch, leader: self.leader() }
            }
        };
        links.reply(to, ResponseBody::Quorum(answer), ctx);
    }

    pub(super) fn on_response(
        &mut self,
        from: NodeId,
        correlation: u32,
        response: QuorumResponse,
        rules: &Rules,
        links: &mut Links,
        ctx: &mut Ctx<'_, Kafka>,
    ) {
        match response {
            QuorumResponse::Vote { epoch, leader, pre, granted } => {
                let silent = match self.role {
                    Role::Prospective { silent, .. } => silent,
                    _ => None,
                };
                let found = leader.is_some() && leader != silent && self.leader().is_none();
                if epoch > self.epoch || (found && epoch == self.epoch) {
                    self.follow(epoch, leader.filter(|leader| *leader != self.me), rules, links, ctx);
                    return;
                }
                let majority = self.voters.len() / 2 + 1;
                match &mut self.role {
                    Role::Prospective { votes, .. } if pre && granted => *votes = votes.with(from),
                    Role::Prospective { rejected, silent: Some(leader), .. } if pre => {
                        *rejected = rejected.with(from);
                        if self.voters.len() - rejected.len() < majority {
                            // The others hear the leader: so will this node.
                            let leader = *leader;
                            self.follow(self.epoch, Some(leader), rules, links, ctx);
                        }
                        return;
                    }
                    Role::Candidate { votes } if !pre && granted && epoch == self.epoch => {
                        *votes = votes.with(from);
                    }
                    _ => return,
                }
                self.count(rules, links, ctx);
            }
            QuorumResponse::Epoch { epoch, leader } => {
                let leader = leader.filter(|leader| *leader != self.me);
                let answered = self.fetching == Some((from, correlation));
                if answered {
                    (self.fetching, self.lull) = (None, None);
                }
                if epoch > self.epoch || (epoch == self.epoch && leader.is_some() && self.leader().is_none())
                {
                    self.follow(epoch, leader, rules, links, ctx);
                } else if answered {
                    if matches!(self.role, Role::Follower { leader: Some(known) } if known == from) {
                        // It says that it does not lead any more.
                        self.follow(self.epoch, None, rules, links, ctx);
                    }
                    self.arm_retry(rules.controller_retry, ctx);
                }
            }
            QuorumResponse::Fetch { epoch, batches, committed, diverging } => {
                if self.fetching != Some((from, correlation)) {
                    return;
                }
                (self.fetching, self.lull) = (None, None);
                if epoch >= self.epoch && matches!(self.role, Role::Follower { leader: None }) {
                    // Whoever answers leads.
                    self.become_follower(epoch, Some(from), rules, ctx);
                }
                if epoch == self.epoch {
                    self.accept(from, batches, committed, diverging, ctx);
                }
                self.fetch(rules, links, ctx);
            }
        }
    }
}
