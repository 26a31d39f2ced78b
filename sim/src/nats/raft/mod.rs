//! One member of a Raft group, as NATS has it (`server/raft.go`), whatever its entries do.
//!
//! - A member without a sign of life from its leader for an election timeout (4 to 9 s, drawn) campaigns: term and
//!   vote are on disk before anybody hears of them. A member whose log is longer than the candidate's, and that has
//!   not voted yet, campaigns soon itself.
//! - **Empty logs**: a vote of a member with an empty log counts only if all members answered, so that a replica
//!   that lost its disk and a stale one elect nobody.
//! - A new leader's first entry does nothing; it takes office ([`Raft::is_active`]) when that entry is applied, and
//!   everything before it with it.
//! - Live entries go to all members at once. A member that lacks the one before asks to be caught up, and is sent
//!   everything it lacks; those are never counted. A member that differs cuts its log back and answers nothing: the
//!   next sign of life tells.
//! - An entry is committed when a majority has its index with a last entry of the leader's own term. The leader says
//!   so at once with an empty append.
//! - A leader that heard of no majority for `lost_quorum` steps down when it looks, every `lost_quorum_check`; until
//!   then it takes proposals that will not be committed.
//! - With `sync_interval: always` an entry counts, for a leader or a follower, when it is synced.

mod log;
pub mod message;

pub use log::Log;

use super::{
    Env, Timer,
    protocol::RouteMsg,
    rules::{CommitBy, Sync},
    server::ServerTimer,
};
use crate::kernel::{Boot, FileId, Mark, NodeId, Site, mix};
use crate::nodes::NodeSet;
use message::{Entry, Fit, GroupId, Op, RaftMsg};
use squall_bus::Time;
use std::{sync::Arc, time::Duration};

const ELECTION: Site = Site::new("nats.raft.election-timeout");
const CAMPAIGN: Site = Site::new("nats.raft.campaign-delay");
/// How long a member that was told to take over waits.
const TRANSFER_DELAY: Duration = Duration::from_millis(10);
/// How long a preferred member of a new group waits.
const PREFERRED_DELAY: Duration = Duration::from_millis(50);
/// A catch-up that brought nothing for so long is asked for again.
const CATCHUP_STALLED: Duration = Duration::from_secs(2);

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftRole {
    /// It follows.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// A catch-up that a follower asked for.
#[derive(Clone, Copy, Debug)]
struct Catchup {
    /// Done when the log ends here or behind.
    upto: (u64, u64),
    /// Where the log ended when it last grew.
    last: u64,
    since: Time,
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Raft {
    /// The group.
    pub group: GroupId,
    /// Which group of this name it is.
    pub incarnation: u64,
    me: NodeId,
    peers: NodeSet,

    // On disk.
    term: u64,
    vote: Option<NodeId>,
    log: Log,

    // In memory.
    role: RaftRole,
    leader: Option<NodeId>,
    commit: u64,
    applied: u64,
    votes: NodeSet,
    empty_votes: NodeSet,
    /// By node: the last index that it confirmed in this term.
    confirmed: Vec<u64>,
    /// By node: when it was last heard of.
    heard: Vec<Time>,
    catchup: Option<Catchup>,
    /// It was told to take over: signs of life of the old leader do not stop it.
    taking_over: bool,
    /// It stands for election then.
    deadline: Time,
    /// When the latest election timer fires, if one runs.
    timer_at: Option<Time>,
    /// Names the latest election timer; older ones mean nothing.
    turn: u32,
    /// The group is new: an empty log means nothing.
    initializing: bool,
    /// When it last sent entries.
    sent: Time,
    /// The index of its own first entry as a leader.
    first: u64,
    /// An answer to the leader that waits for a sync.
    owes: Option<NodeId>,
    /// Its disk failed: it takes no part any more.
    failed: bool,
}

impl Raft {
    /// A member with an empty log in this file.
    #[must_use]
    pub fn new(
        group: GroupId,
        incarnation: u64,
        me: NodeId,
        servers: u32,
        peers: NodeSet,
        file: FileId,
    ) -> Self {
        Self {
            group,
            incarnation,
            me,
            peers,
            term: 0,
            vote: None,
            log: Log::new(file),
            role: RaftRole::Follower,
            leader: None,
            commit: 0,
            applied: 0,
            votes: NodeSet::EMPTY,
            empty_votes: NodeSet::EMPTY,
            confirmed: vec![0; servers as usize],
            heard: vec![Time::ZERO; servers as usize],
            catchup: None,
            taking_over: false,
            deadline: Time::ZERO,
            timer_at: None,
            turn: 0,
            initializing: false,
            sent: Time::ZERO,
            first: 0,
            owes: None,
            failed: false,
        }
    }

    /// The term.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// What it is.
    #[must_use]
    pub const fn role(&self) -> RaftRole {
        self.role
    }

    /// Whom it follows, if it knows; itself if it leads.
    #[must_use]
    pub const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The last index that it knows to be committed.
    #[must_use]
    pub const fn commit(&self) -> u64 {
        self.commit
    }

    /// Whether it leads and has applied everything from before.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.role == RaftRole::Leader && self.applied >= self.first
    }

    /// The group's members.
    #[must_use]
    pub const fn peers(&self) -> NodeSet {
        self.peers
    }

    /// How many entries it has proposed that are not committed.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.log.last() - self.commit
    }

    fn quorum(&self) -> u32 {
        self.peers.len() / 2 + 1
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.peers.without(self.me).iter()
    }

    // Its life.

    /// Puts a committed entry there before any process ran.
    pub fn preset(&mut self, op: Op) {
        if self.log.last() == 0 {
            self.log.preset(1, Op::PeerState);
        }
        self.log.preset(1, op);
    }

    /// The first process begins in a group that has long had a leader.
    pub fn start_settled(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        if self.log.last() == 0 {
            self.log.preset(1, Op::PeerState);
        }
        let written = self.log.settle(env.ctx.disk());
        let synced = match env.rules.sync {
            Sync::Always => written.and_then(|()| env.ctx.sync(self.log.file())),
            Sync::Every(_) => written,
        };
        self.failed = synced.is_err();
        (self.term, self.vote, self.leader) = (1, Some(leader), Some(leader));
        (self.commit, self.first) = (self.log.last(), 1);
        self.heard.fill(env.ctx.now());
        if leader == self.me {
            self.role = RaftRole::Leader;
            self.confirmed.fill(self.log.last());
            self.start_leading(env);
        } else {
            self.arm_election(env);
        }
        self.changed(env);
    }

    /// A new process finds what the last one left on its disk.
    pub fn recover(&mut self, boot: Boot, env: &mut Env<'_, '_>) {
        self.mark_lost(env);
        if boot == Boot::Fresh {
            (self.term, self.vote) = (0, None);
        }
        self.log.recover(boot, env.ctx.disk());
        self.role = RaftRole::Follower;
        (self.leader, self.commit, self.applied, self.first) = (None, self.log.known_commit(), 0, 0);
        (self.catchup, self.taking_over, self.owes, self.failed) = (None, false, None, false);
        (self.timer_at, self.initializing) = (None, false);
        self.heard.fill(Time::ZERO);
        self.changed(env);
    }

    /// A process that stops in good order leaves a snapshot behind.
    pub fn leave_snapshot(&mut self) {
        self.log.note_commit(self.commit);
    }

    /// Takes part from now on. The preferred member of a new group campaigns at once. In a group that was not there
    /// before (`new`) an empty log means nothing.
    pub fn start(&mut self, preferred: bool, new: bool, env: &mut Env<'_, '_>) {
        self.initializing = new && self.log.last() == 0;
        if self.peers.len() == 1 {
            self.stand(env);
        } else if preferred && self.term == 0 {
            self.arm(PREFERRED_DELAY, env);
        } else {
            self.arm_election(env);
        }
    }

    /// Its term, role, log or commit index changed.
    fn changed(&self, env: &mut Env<'_, '_>) {
        if env.dirty.last() != Some(&self.group) {
            env.dirty.push(self.group);
        }
        env.ctx.touch(super::Touch::Member(self.me, self.group));
    }

    // Elections.

    /// Stands for election after `delay`, whatever was planned.
    fn arm(&mut self, delay: Duration, env: &mut Env<'_, '_>) {
        self.deadline = env.ctx.now() + delay;
        // An earlier timer finds out by itself that it is too early.
        if self.timer_at.is_none_or(|at| at > self.deadline) {
            self.timer_at = Some(self.deadline);
            self.turn = self.turn.wrapping_add(1);
            env.ctx.timer(delay, Timer::Server(ServerTimer::Election(self.group, self.turn)));
        }
    }

    /// Drawn by group, member and term, so that no message more or less changes it.
    fn drawn(&self, site: Site, least: Duration, most: Duration, env: &Env<'_, '_>) -> Duration {
        let entity = mix(self.group.word(), u64::from(self.me.0));
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        Duration::from_nanos(env.ctx.between(site, entity, self.term, least, most))
    }

    fn arm_election(&mut self, env: &mut Env<'_, '_>) {
        let (least, most) = (env.rules.election_timeout_min, env.rules.election_timeout_max);
        let delay = self.drawn(ELECTION, least, most, env);
        self.arm(delay, env);
    }

    fn arm_campaign(&mut self, env: &mut Env<'_, '_>) {
        let (least, most) = (env.rules.campaign_delay_min, env.rules.campaign_delay_max);
        let delay = self.drawn(CAMPAIGN, least, most, env);
        self.arm(delay, env);
    }

    /// The election timer fired.
    pub fn on_election(&mut self, turn: u32, env: &mut Env<'_, '_>) {
        if turn != self.turn {
            return;
        }
        self.timer_at = None;
        if self.role == RaftRole::Leader || self.failed {
            return;
        }
        let now = env.ctx.now();
        if now < self.deadline {
            self.arm(self.deadline.since(now), env);
            return;
        }
        if self.catchup.is_some() {
            if self.is_catchup_stalled(env.ctx.now()) {
                self.catchup = None;
            }
            self.arm_election(env);
            return;
        }
        self.stand(env);
    }

    fn stand(&mut self, env: &mut Env<'_, '_>) {
        self.term += 1;
        self.vote = Some(self.me);
        self.role = RaftRole::Candidate;
        self.leader = None;
        (self.votes, self.empty_votes) = (NodeSet::EMPTY.with(self.me), NodeSet::EMPTY);
        if self.peers.len() == 1 {
            self.lead(env);
            return;
        }
        self.arm_election(env);
        let (last_term, last_index) = (self.log.last_term(), self.log.last());
        for peer in self.others() {
            self.send(peer, RaftMsg::RequestVote { term: self.term, last_term, last_index }, env);
        }
        self.changed(env);
    }

    fn asked_for_vote(
        &mut self,
        from: NodeId,
        (term, last_term, last_index): (u64, u64, u64),
        env: &mut Env<'_, '_>,
    ) {
        let empty = self.log.last() == 0 && !self.initializing;
        let mut granted = false;
        if term >= self.term {
            if term > self.term {
                self.meet_term(term, None, env);
                self.catchup = None;
            }
            let free = self.vote.is_none_or(|vote| vote == from) || !env.rules.vote_once;
            let good = (last_term, last_index) >= (self.log.last_term(), self.log.last())
                || !env.rules.vote_checks_log;
            if free && good {
                self.vote = Some(from);
                granted = true;
                self.arm_election(env);
            } else if self.vote.is_none() && self.role != RaftRole::Candidate {
                self.arm_campaign(env);
            }
        }
        self.send(from, RaftMsg::Vote { term: self.term, granted, empty }, env);
        self.changed(env);
    }

    fn voted(&mut self, from: NodeId, (term, granted, empty): (u64, bool, bool), env: &mut Env<'_, '_>) {
        if term > self.term {
            self.meet_term(term, None, env);
            return;
        }
        if self.role != RaftRole::Candidate || !granted || term != self.term {
            return;
        }
        self.heard[from.index()] = env.ctx.now();
        if empty && env.rules.empty_votes_need_all {
            self.empty_votes = self.empty_votes.with(from);
        } else {
            self.votes = self.votes.with(from);
        }
        let all = self.votes.or(self.empty_votes) == self.peers;
        if self.votes.len() >= self.quorum() || all {
            self.lead(env);
        }
    }

    /// A later term: whatever it was, it follows now.
    fn meet_term(&mut self, term: u64, leader: Option<NodeId>, env: &mut Env<'_, '_>) {
        self.term = term;
        self.vote = None;
        self.follow(leader, env);
    }

    fn follow(&mut self, leader: Option<NodeId>, env: &mut Env<'_, '_>) {
        self.mark_lost(env);
        self.role = RaftRole::Follower;
        self.leader = leader;
        self.taking_over = false;
        self.arm_election(env);
        self.changed(env);
    }

    // Leading.

    fn lead(&mut self, env: &mut Env<'_, '_>) {
        self.role = RaftRole::Leader;
        self.leader = Some(self.me);
        self.taking_over = false;
        self.confirmed.fill(0);
        self.first = self.log.last() + 1;
        self.start_leading(env);
        self.changed(env);
        self.propose(Op::PeerState, env);
    }

    /// A stream's leader that is one no more, with messages that nobody was told of.
    fn mark_lost(&self, env: &mut Env<'_, '_>) {
        if self.role == RaftRole::Leader && self.in_flight() > 0 && matches!(self.group, GroupId::Stream(_)) {
            env.ctx.mark(Mark::LeaderLostUnacked);
        }
    }

    fn start_leading(&mut self, env: &mut Env<'_, '_>) {
        let timer = |timer| Timer::Server(timer);
        env.ctx.timer(env.rules.heartbeat, timer(ServerTimer::Heartbeat(self.group, self.term)));
        env.ctx.timer(env.rules.lost_quorum_check, timer(ServerTimer::Quorum(self.group, self.term)));
    }

    /// Appends to the log and sends it to all. `None` if it does not lead or its disk refuses.
    pub fn propose(&mut self, op: Op, env: &mut Env<'_, '_>) -> Option<u64> {
        if self.role != RaftRole::Leader || self.failed {
            return None;
        }
        let (prev_term, prev_index) = (self.log.last_term(), self.log.last());
        let entry = Entry { term: self.term, op };
        self.store(entry.clone(), env).then_some(())?;
        self.sent = env.ctx.now();
        let entries: Arc<[Entry]> = Arc::new([entry]);
        for peer in self.others() {
            self.send(peer, self.append_of(prev_term, prev_index, Arc::clone(&entries), false), env);
        }
        self.try_commit(env);
        self.changed(env);
        Some(self.log.last())
    }

    fn append_of(&self, prev_term: u64, prev_index: u64, entries: Arc<[Entry]>, catchup: bool) -> RaftMsg {
        RaftMsg::Append { term: self.term, catchup, commit: self.commit, prev_term, prev_index, entries }
    }

    /// Time for a sign of life.
    pub fn on_heartbeat(&mut self, term: u64, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader || self.term != term {
            return;
        }
        if env.ctx.now().since(self.sent) >= env.rules.heartbeat {
            self.beat(env);
        }
        env.ctx.timer(env.rules.heartbeat, Timer::Server(ServerTimer::Heartbeat(self.group, term)));
    }

    fn beat(&mut self, env: &mut Env<'_, '_>) {
        let none: Arc<[Entry]> = Arc::new([]);
        for peer in self.others() {
            let message = self.append_of(self.log.last_term(), self.log.last(), Arc::clone(&none), false);
            self.send(peer, message, env);
        }
    }

    /// Time to see whether a majority is there.
    pub fn on_quorum_check(&mut self, term: u64, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader || self.term != term {
            return;
        }
        let (now, patience) = (env.ctx.now(), env.rules.lost_quorum);
        let there = self.others().filter(|peer| now.since(self.heard[peer.index()]) < patience).count();
        if there as u32 + 1 < self.quorum() {
            self.follow(None, env);
            return;
        }
        env.ctx.timer(env.rules.lost_quorum_check, Timer::Server(ServerTimer::Quorum(self.group, term)));
    }

    /// Steps down in good order: hands over to a member that was heard of lately, if there is one.
    pub fn hand_over(&mut self, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader {
            return;
        }
        let (now, lately) = (env.ctx.now(), env.rules.heartbeat * 3);
        let next = self
            .others()
            .filter(|peer| now.since(self.heard[peer.index()]) < lately)
            .max_by_key(|peer| (self.confirmed[peer.index()], std::cmp::Reverse(*peer)));
        if let Some(next) = next {
            self.send(next, RaftMsg::Transfer { term: self.term }, env);
        }
        self.follow(None, env);
    }

    fn answered(&mut self, from: NodeId, (term, index, fit): (u64, u64, Fit), env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader {
            return;
        }
        self.heard[from.index()] = env.ctx.now();
        match fit {
            Fit::Stored if term == self.term => {
                let confirmed = &mut self.confirmed[from.index()];
                *confirmed = (*confirmed).max(index);
                if self.try_commit(env) {
                    self.beat(env);
                }
            }
            Fit::Stored => {}
            Fit::Behind => self.catch_up(from, index, env),
            Fit::Refused if term > self.term => self.meet_term(term, None, env),
            Fit::Refused => {}
        }
    }

    /// Sends a member everything behind this index, in pieces.
    fn catch_up(&self, peer: NodeId, index: u64, env: &mut Env<'_, '_>) {
        let mut prev = index.min(self.log.last());
        while prev < self.log.last() {
            let mut bytes = 0;
            let fits = |entry: &&Entry| {
                let room = bytes < env.rules.append_bytes;
                bytes += entry.op.bytes();
                room
            };
            let entries: Arc<[Entry]> = self.log.behind(prev).iter().take_while(fits).cloned().collect();
            let prev_term = self.log.term_at(prev).unwrap_or(0);
            let count = entries.len() as u64;
            self.send(peer, self.append_of(prev_term, prev, entries, true), env);
            prev += count;
        }
    }

    fn try_commit(&mut self, env: &mut Env<'_, '_>) -> bool {
        let own = match env.rules.sync {
            Sync::Always => self.log.synced(env.ctx.disk()),
            Sync::Every(_) => self.log.last(),
        };
        let index = match env.rules.commit_by {
            CommitBy::LeaderOnly => own,
            CommitBy::Majority => {
                let mut indices: Vec<u64> =
                    self.others().map(|peer| self.confirmed[peer.index()]).chain([own]).collect();
                indices.sort_unstable_by(|a, b| b.cmp(a));
                indices[self.quorum() as usize - 1]
            }
        };
        // Nothing of its own term, nothing to count (Raft, 5.4.2).
        if index <= self.commit || self.log.term_at(index) != Some(self.term) {
            return false;
        }
        self.commit = index;
        self.changed(env);
        true
    }

    // Following.

    /// A message of another member.
    pub fn on_message(&mut self, from: NodeId, message: RaftMsg, env: &mut Env<'_, '_>) {
        if self.failed || !self.peers.contains(from) {
            return;
        }
        match message {
            RaftMsg::Append { term, catchup, commit, prev_term, prev_index, entries } => {
                let append = Append { term, catchup, commit, prev: (prev_term, prev_index), entries };
                self.append(from, append, env);
            }
            RaftMsg::Appended { term, index, fit } => self.answered(from, (term, index, fit), env),
            RaftMsg::RequestVote { term, last_term, last_index } => {
                self.asked_for_vote(from, (term, last_term, last_index), env);
            }
            RaftMsg::Vote { term, granted, empty } => self.voted(from, (term, granted, empty), env),
            RaftMsg::Transfer { term } => {
                if term == self.term && self.role == RaftRole::Follower {
                    self.taking_over = true;
                    self.arm(TRANSFER_DELAY, env);
                }
            }
        }
    }

    fn append(&mut self, from: NodeId, append: Append, env: &mut Env<'_, '_>) {
        if self.role != RaftRole::Leader && !self.taking_over {
            self.arm_election(env);
        }
        if append.term < self.term {
            if !append.catchup {
                self.answer(from, self.term, Fit::Refused, env);
            }
            return;
        }
        if append.term > self.term {
            self.meet_term(append.term, Some(from), env);
        } else if self.role != RaftRole::Follower {
            self.follow(Some(from), env);
        }
        if append.catchup && append.prev.1 < self.log.last() && self.catchup.is_none() {
            return;
        }
        if !self.takes_live(from, &append, env) {
            return;
        }
        if !append.catchup && self.leader != Some(from) {
            self.leader = Some(from);
            self.changed(env);
        }
        self.heard[from.index()] = env.ctx.now();
        if append.prev != (self.log.last_term(), self.log.last()) && !self.align(from, &append, env) {
            return;
        }
        for entry in append.entries.iter() {
            if !self.store(entry.clone(), env) {
                return;
            }
        }
        let commit = append.commit.min(self.log.last());
        if commit > self.commit || !append.entries.is_empty() {
            self.commit = self.commit.max(commit);
            self.changed(env);
        }
        if !append.catchup {
            self.respond(from, env);
        }
    }

    /// Whether it takes entries of this kind now: while it is caught up it ignores live ones.
    fn takes_live(&mut self, from: NodeId, append: &Append, env: &mut Env<'_, '_>) -> bool {
        let Some(catchup) = self.catchup else { return true };
        if (self.log.last_term(), self.log.last()) >= catchup.upto {
            self.catchup = None;
            return true;
        }
        if append.catchup {
            return true;
        }
        if self.is_catchup_stalled(env.ctx.now()) {
            self.ask_catchup(from, append, env);
        }
        false
    }

    fn is_catchup_stalled(&mut self, now: Time) -> bool {
        let last = self.log.last();
        match &mut self.catchup {
            Some(catchup) if catchup.last == last => now.since(catchup.since) > CATCHUP_STALLED,
            Some(catchup) => {
                (catchup.last, catchup.since) = (last, now);
                false
            }
            None => false,
        }
    }

    fn ask_catchup(&mut self, leader: NodeId, append: &Append, env: &mut Env<'_, '_>) {
        self.catchup = Some(Catchup { upto: append.prev, last: self.log.last(), since: env.ctx.now() });
        self.answer(leader, self.log.last_term(), Fit::Behind, env);
    }

    /// The entries do not follow on its last one: cuts its log back or asks for what is missing. Whether they
    /// follow now.
    fn align(&mut self, from: NodeId, append: &Append, env: &mut Env<'_, '_>) -> bool {
        let (prev_term, prev_index) = append.prev;
        if prev_index > self.log.last() {
            if self.catchup.is_some() {
                self.catchup = None;
            } else {
                self.ask_catchup(from, append, env);
            }
            return false;
        }
        if prev_index < self.commit {
            // It has these already.
            return false;
        }
        if self.log.term_at(prev_index) == Some(prev_term) || !env.rules.check_previous {
            self.cut(prev_index, env);
            return true;
        }
        self.cut(prev_index.saturating_sub(1).max(self.commit), env);
        self.catchup = None;
        false
    }

    fn cut(&mut self, index: u64, env: &mut Env<'_, '_>) {
        if index < self.log.last() {
            env.ctx.mark(Mark::FollowerTruncated);
        }
        self.log.truncate(index, env.ctx.disk());
        self.changed(env);
    }

    fn store(&mut self, entry: Entry, env: &mut Env<'_, '_>) -> bool {
        self.initializing = false;
        let stored = self.log.append(entry, self.commit, env.ctx.disk()).is_ok();
        let asked = match env.rules.sync {
            Sync::Always if stored => env.ctx.sync(self.log.file()).is_ok(),
            _ => stored,
        };
        if !asked {
            // It can keep nothing any more, so it takes no part (`setWriteErr`).
            self.failed = true;
            (self.role, self.leader) = (RaftRole::Follower, None);
            self.changed(env);
        }
        asked
    }

    /// A sync of its file is done, or failed.
    pub fn synced(&mut self, ok: bool, env: &mut Env<'_, '_>) {
        if !ok {
            self.failed = true;
            (self.role, self.leader) = (RaftRole::Follower, None);
            self.changed(env);
        } else if self.role == RaftRole::Leader {
            if self.try_commit(env) {
                self.beat(env);
            }
        } else if let Some(leader) = self.owes.take() {
            self.respond(leader, env);
        }
    }

    fn respond(&mut self, leader: NodeId, env: &mut Env<'_, '_>) {
        if env.rules.sync == Sync::Always && self.log.synced(env.ctx.disk()) < self.log.last() {
            self.owes = Some(leader);
        } else if self.leader == Some(leader) {
            self.answer(leader, self.log.last_term(), Fit::Stored, env);
        }
    }

    fn answer(&self, to: NodeId, term: u64, fit: Fit, env: &mut Env<'_, '_>) {
        self.send(to, RaftMsg::Appended { term, index: self.log.last(), fit }, env);
    }

    fn send(&self, to: NodeId, message: RaftMsg, env: &mut Env<'_, '_>) {
        env.routes.send(to, RouteMsg::Raft(self.group, message), env.rules, env.ctx);
    }

    /// The next committed entry that is not applied yet, with its index.
    pub fn next_committed(&mut self) -> Option<(u64, Op)> {
        if self.applied >= self.commit {
            return None;
        }
        self.applied += 1;
        self.log.entry(self.applied).map(|entry| (self.applied, entry.op.clone()))
    }
}

/// A leader's entries.
struct Append {
    term: u64,
    catchup: bool,
    commit: u64,
    /// Term and index of the entry before.
    prev: (u64, u64),
    entries: Arc<[Entry]>,
}
