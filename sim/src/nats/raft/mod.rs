//! One member of a Raft group, as NATS has it (`server/raft.go`), whatever its entries do.
//!
//! - A member without a sign of life from its leader for an election timeout (4 to 9 s, drawn) campaigns: term and
//!   vote are on disk before anybody hears of them. A member whose log is longer than the candidate's, and that has
//!   not voted yet, campaigns soon itself.
//! - **Empty logs**: a vote of a member with an empty log counts only if all members answered, so that a replica
//!   that lost its disk and a stale one elect nobody.
//! - A new leader's first entry does nothing; it takes office ([`Raft::is_active`]) when that entry is applied, and
//!   everything before it with it.
//! - Live entries go to all members at once; those of one event in one message, since a leader takes everything that is
//!   in its queue of proposals. A member that lacks the one before asks to be caught up, and is sent
//!   everything it lacks; those are never counted. A member that differs cuts its log back and answers nothing: the
//!   next sign of life tells.
//! - An entry is committed when a majority has its index with a last entry of the leader's own term. The leader says
//!   so at once with an empty append, unless entries follow that say it too. An empty append right behind an answer
//!   is not answered again, which nobody could tell: an answer is lost with its route, and another route takes longer.
//! - A leader that heard of no majority for `lost_quorum` steps down when it looks, every `lost_quorum_check`; until
//!   then it takes proposals that will not be committed.
//! - With `sync_interval: always` an entry counts, for a leader or a follower, when it is synced.

mod elections;
mod following;
mod leading;
mod log;
mod members;
pub mod message;

pub use log::Log;
pub use members::Members;

use super::{Env, Timer, Touch, protocol::RouteMsg, rules::Sync, server::ServerTimer};
use crate::kernel::{Boot, FileId, NodeId};
use crate::nodes::NodeSet;
use following::{Append, Catchup, Told};
use message::{Entries, Entry, Fit, GroupId, Named, Op, RaftMsg};
use squall_bus::Time;
use std::{sync::Arc, time::Duration};

/// How long a member that was told to take over waits.
const TRANSFER_DELAY: Duration = Duration::from_millis(10);
/// How long a preferred member of a new group waits.
const PREFERRED_DELAY: Duration = Duration::from_millis(50);

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

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Raft {
    /// The group.
    pub group: GroupId,
    /// Which group of this name it is.
    pub incarnation: u64,
    /// The group's word.
    word: u64,
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
    /// As a leader: the index behind which its entries are yet to be sent, at the end of the event.
    unsent: Option<u64>,
    /// As a follower: what it answered last, to whom, and when.
    told: Option<Told>,
    /// The election timeout of a term.
    election_timeout: (u64, Duration),
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
            word: group.word(),
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
            unsent: None,
            told: None,
            election_timeout: (u64::MAX, Duration::ZERO),
            first: 0,
            owes: None,
            failed: false,
        }
    }

    /// The group, as messages name it.
    pub(super) const fn named(&self) -> Named {
        Named { group: self.group, word: self.word }
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
        self.changed(Touch::TERM | Touch::LOG | Touch::COMMIT, env);
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
        (self.timer_at, self.initializing, self.unsent, self.told) = (None, false, None, None);
        self.heard.fill(Time::ZERO);
        self.changed(Touch::TERM | Touch::LOG | Touch::COMMIT, env);
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

    /// It changed, in what these [kinds](Touch) say.
    fn changed(&self, kinds: u8, env: &mut Env<'_, '_>) {
        let file = self.log.file();
        if env.dirty.last() != Some(&file) {
            env.dirty.push(file);
        }
        env.ctx.touch(Touch::Member(self.me, file, kinds));
    }

    // Messages and the log.

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

    fn store(&mut self, entry: Arc<Entry>, env: &mut Env<'_, '_>) -> bool {
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
            self.changed(Touch::TERM | Touch::LOG, env);
        }
        asked
    }

    /// A sync of its file is done, or failed.
    pub fn synced(&mut self, ok: bool, env: &mut Env<'_, '_>) {
        if !ok {
            self.failed = true;
            (self.role, self.leader) = (RaftRole::Follower, None);
            self.changed(Touch::TERM, env);
        } else if self.role == RaftRole::Leader {
            if self.try_commit(env) {
                self.beat(env);
            }
        } else if let Some(leader) = self.owes.take() {
            self.respond(leader, env);
        }
    }

    fn send(&self, to: NodeId, message: RaftMsg, env: &mut Env<'_, '_>) {
        env.routes.send(to, RouteMsg::Raft(self.named(), message), env.rules, env.ctx);
    }

    /// Whether everything that it knows to be committed is applied.
    #[must_use]
    pub const fn has_applied_all(&self) -> bool {
        self.applied >= self.commit
    }

    /// The next committed entry that is not applied yet, with its index.
    pub fn next_committed(&mut self) -> Option<(u64, &Entry)> {
        if self.has_applied_all() {
            return None;
        }
        self.applied += 1;
        self.log.entry(self.applied).map(|entry| (self.applied, &**entry))
    }
}
