//! Fetch at the leader: consumers read up to the high watermark, followers up to the end (rules B1, B5, B9).
//!
//! - A request that nothing can be said to waits, at most `max_wait`, until there are `min_bytes`. What can be
//!   said: records, an error, a divergence. A follower is told a new high watermark only along with these, or
//!   when its wait is over: its high watermark lags by one fetch.
//! - A follower's fetch offset is its log end: it moves the leader's view, the ISR and the high watermark first.
//! - Where the reader's last epoch ends earlier here than at the reader, the answer says so and nothing else.

mod growth;

use super::{
    Kafka, answers,
    broker::{Broker, Env, Untold},
    by_partition::ByPartition,
    conns::{Busy, Conn},
    deletion::unknown_ids,
    error::ErrorCode,
    lull::{Asked, Lull, Proposal},
    protocol::{Entry, FetchPartition, FetchRequest, FetchedPartition, Few, PartitionId, ResponseBody},
    replica::{Replica, Watcher},
    rules::{ReplicaSelector, Rules},
    txn::partition::Aborted,
};
use crate::kernel::{ConnId, Ctx, NodeId};
use squall_bus::{Isolation, Time};
use std::sync::Arc;

/// A Fetch request that waits.
#[derive(Debug)]
pub(super) struct ParkedFetch {
    correlation: u32,
    wait: Wait,
    pub(super) request: FetchRequest,
}

/// What a Fetch request waits for beside something to say.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// The end of its time.
    Until(Time),
    /// A request of a lull that is over, which arrives then.
    Underway(Time),
    /// Nothing: it goes on in silence.
    Lull(Lull),
}

/// Why a Fetch is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It has come, or something is different.
    Asked,
    /// There is more of one of its partitions, as is known.
    More,
    /// Its time is up.
    Expired,
}

impl ParkedFetch {
    /// When it has to be looked at.
    pub(super) fn due(&self) -> Option<Time> {
        match self.wait {
            Wait::Until(at) | Wait::Underway(at) => Some(at),
            Wait::Lull(_) => None,
        }
    }
}

impl Broker {
    /// Answers a Fetch, or lets it wait.
    pub(super) fn fetch(
        &mut self,
        conn: ConnId,
        correlation: u32,
        mut request: FetchRequest,
        env: &mut Env<'_, '_>,
    ) -> Option<ResponseBody> {
        let known = self.conns.get_mut(conn);
        if let Some(unknown) = known.and_then(|known| unknown_ids(known, &request, env.image)) {
            return Some(ResponseBody::Fetch(unknown));
        }
        if !env.rules.check_fetch_epochs {
            forget_epochs(&mut request);
        }
        let occasion = if request.max_wait.is_zero() { Occasion::Expired } else { Occasion::Asked };
        let said = match request.replica {
            Some((node, epoch)) => {
                let mut open = std::mem::take(&mut self.open);
                self.follower_fetches(node, epoch, &request.partitions, &mut open, env);
                let said = self.say(&request, &open, occasion, env);
                open.clear();
                self.open = open;
                said
            }
            None => self.say(&request, &request.partitions, occasion, env),
        };
        if let Some(said) = said {
            return Some(ResponseBody::Fetch(said));
        }
        let until = env.ctx.now() + request.max_wait;
        self.watch(Watcher { conn, follows: request.replica.is_some() }, &request.partitions);
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::Fetch(ParkedFetch { correlation, wait: Wait::Until(until), request });
            self.wake_at(until, env);
        }
        None
    }

    /// A Fetch for these partitions is going to wait, mostly for the same as the one before.
    fn watch(&mut self, watcher: Watcher, partitions: &[FetchPartition]) {
        let Some(known) = self.conns.get_mut(watcher.conn) else { return };
        if let Some(ids) = known.known_ids.as_mut().filter(|_| watcher.follows)
            && std::mem::replace(&mut ids.watched, true)
        {
            return;
        }
        if known.follows == watcher.follows && known.watched.iter().eq(partitions.iter().map(|at| &at.id)) {
            return;
        }
        known.watched = partitions.iter().map(|at| at.id).collect();
        known.follows = watcher.follows;
        for at in partitions {
            if let Some(replica) = self.replica_mut(at.id) {
                replica.watch(watcher);
            }
        }
    }

    /// A follower has everything before this. The partitions of which there may be something to say go to `open`: a
    /// follower that has everything, knows so and is in sync has it still, and most partitions of most fetches are
    /// like that.
    fn follower_fetches(
        &mut self,
        node: NodeId,
        epoch: u64,
        partitions: &[FetchPartition],
        open: &mut Vec<FetchPartition>,
        env: &mut Env<'_, '_>,
    ) {
        let now = env.ctx.now();
        for at in partitions {
            let replica = self.replica_mut(at.id);
            if !replica.is_some_and(|replica| replica.is_still_caught_up(node, epoch, at, now)) {
                self.follower_at(node, epoch, at, env);
                open.push(*at);
            }
        }
    }

    /// A follower has everything before this: what follows for the ISR and the high watermark.
    fn follower_at(&mut self, node: NodeId, epoch: u64, at: &FetchPartition, env: &mut Env<'_, '_>) {
        let now = env.ctx.now();
        let Some(replica) = self.replica_mut(at.id) else { return };
        if replica.check_leads(at.current_leader_epoch).is_err()
            || replica.divergence(at).is_some()
            || at.offset > replica.log.end()
        {
            return;
        }
        replica.follower_fetched(node, epoch, at, now);
        let awaited = !replica.deletions.is_empty();
        if let Some(isr) = replica.expanded_isr(node, env.image, env.rules) {
            self.want_isr(at.id, isr);
        }
        self.raise_high_watermark(at.id, env);
        if awaited {
            self.answer_deletions(at.id, env);
        }
    }

    /// Whether there is more to say of a partition than its high watermark.
    #[inline]
    fn has_more(&self, at: &FetchPartition, request: &FetchRequest, env: &Env<'_, '_>) -> bool {
        match self.plainly_read(at, env.rules) {
            Some(replica) => at.offset < limit(replica, request, env.rules),
            None => self.has_more_to_say(at, request, env),
        }
    }

    /// The replica that this is read from, if that is all: it leads, as its reader knows, agrees with it and has the
    /// offset. So it mostly is.
    #[inline]
    fn plainly_read(&self, at: &FetchPartition, rules: &Rules) -> Option<&Replica> {
        let replica = self.replica(at.id)?;
        (rules.replica_selector == ReplicaSelector::Leader && replica.agrees_with(at)).then_some(replica)
    }

    #[inline(never)]
    fn has_more_to_say(&self, at: &FetchPartition, request: &FetchRequest, env: &Env<'_, '_>) -> bool {
        let Ok(replica) = self.check_reader(at, request, env.rules) else { return true };
        at.offset < limit(replica, request, env.rules)
            || !replica.has_offset(at.offset)
            || replica.divergence(at).is_some()
            || self.preferred(at, request, env).is_some()
    }

    /// Answers a waiting Fetch if there is enough to say, or if its time is up. `among`: the partitions of which there
    /// may be something to say, if that is known.
    pub(super) fn answer_fetch(
        &mut self,
        conn: ConnId,
        among: Option<&[FetchPartition]>,
        occasion: Occasion,
        env: &mut Env<'_, '_>,
    ) {
        let Some(known) = self.conns.get_mut(conn) else { return };
        let mut parked = match std::mem::take(&mut known.busy) {
            Busy::Fetch(parked) => parked,
            busy => {
                known.busy = busy;
                return;
            }
        };
        let now = env.ctx.now();
        if let Wait::Lull(lull) = parked.wait {
            self.wake(&mut parked, lull, now);
        }
        let until = match parked.wait {
            Wait::Until(until) => until,
            Wait::Lull(_) => return,
            Wait::Underway(arrives) if arrives > now => {
                self.park(conn, parked);
                return self.wake_at(arrives, env);
            }
            Wait::Underway(_) => {
                if let Some(body) = self.fetch(conn, parked.correlation, parked.request, env) {
                    self.answer(conn, parked.correlation, body, env);
                }
                return;
            }
        };
        let occasion = if occasion == Occasion::Expired && until > now { Occasion::Asked } else { occasion };
        let among = among.unwrap_or(&parked.request.partitions);
        let known = self.conns.get_mut(conn);
        let unknown = known.and_then(|known| unknown_ids(known, &parked.request, env.image));
        if let Some(said) = unknown.or_else(|| self.say(&parked.request, among, occasion, env)) {
            if said.is_empty() && self.proposes_lull(conn, &mut parked, env) {
                return self.park(conn, parked);
            }
            self.answer(conn, parked.correlation, ResponseBody::Fetch(said), env);
        } else {
            self.park(conn, parked);
        }
    }

    /// The connection waits with this Fetch.
    fn park(&mut self, conn: ConnId, parked: ParkedFetch) {
        if let Some(known) = self.conns.get_mut(conn) {
            known.busy = Busy::Fetch(parked);
        }
    }

    /// There is nothing to say to a Fetch whose time is up: proposes to leave it at that, if it is a follower's that
    /// has everything, knows so and is in sync.
    fn proposes_lull(&mut self, conn: ConnId, parked: &mut ParkedFetch, env: &Env<'_, '_>) -> bool {
        let FetchRequest { replica, partitions, max_wait, .. } = &parked.request;
        let Some((node, epoch)) = *replica else { return false };
        let caught_up = |at: &FetchPartition| self.replica(at.id).is_some_and(|it| it.is_caught_up(node, at));
        if !partitions.iter().all(caught_up) {
            return false;
        }
        let lull = Lull::begin(*max_wait, env.ctx);
        let asked = Asked::Fetch { partitions: Arc::clone(partitions), epoch };
        self.lulls.push(Proposal { conn, lull, asked });
        parked.wait = Wait::Lull(lull);
        true
    }

    /// A lull is over: its follower was heard of last in its last round, and waits in it, or is about to.
    fn wake(&mut self, parked: &mut ParkedFetch, lull: Lull, now: Time) {
        let (fetched, arrives) = (lull.fetched(now), lull.arrives(now));
        if let Some((node, _)) = parked.request.replica {
            for at in parked.request.partitions.iter() {
                if let Some(replica) = self.replica_mut(at.id) {
                    replica.heard_follower(node, fetched);
                }
            }
        }
        parked.wait = if arrives > now {
            Wait::Underway(arrives)
        } else {
            Wait::Until(arrives + parked.request.max_wait)
        };
    }

    /// Nothing came of a lull: the answer leaves, though it says nothing.
    pub(super) fn answer_after_all(&mut self, conn: ConnId, env: &mut Env<'_, '_>) {
        let Some(known) = self.conns.get(conn) else { return };
        let Busy::Fetch(ParkedFetch { correlation, wait: Wait::Lull(_), .. }) = known.busy else { return };
        self.answer(conn, correlation, ResponseBody::Fetch(Vec::new()), env);
        self.settle(env);
    }

    /// Ends every lull of this broker, at both ends.
    pub(super) fn rouse(&mut self, ctx: &mut Ctx<'_, Kafka>) {
        let now = ctx.now();
        for fetcher in &mut self.fetchers {
            fetcher.rouse(now);
        }
        let silent: Vec<ConnId> =
            self.conns.iter().filter(|(_, known)| is_silent(known)).map(|(conn, _)| conn).collect();
        for conn in silent {
            let Some(known) = self.conns.get_mut(conn) else { continue };
            let Busy::Fetch(mut parked) = std::mem::take(&mut known.busy) else { continue };
            if let Wait::Lull(lull) = parked.wait {
                self.wake(&mut parked, lull, now);
            }
            if let Some(due) = parked.due() {
                self.wake_by(due, ctx);
            }
            self.park(conn, parked);
        }
    }

    /// What there is to say to a Fetch, of these of its partitions; `None` if it has to wait for more.
    fn say(
        &mut self,
        request: &FetchRequest,
        partitions: &[FetchPartition],
        occasion: Occasion,
        env: &Env<'_, '_>,
    ) -> Option<Vec<FetchedPartition>> {
        let expired = occasion == Occasion::Expired;
        if occasion == Occasion::Asked && !partitions.iter().any(|at| self.has_more(at, request, env)) {
            return None;
        }
        let mut said = answers::spare();
        let mut bytes = 0_u32;
        let mut urgent = false;
        for at in partitions {
            let left = request.max_bytes.saturating_sub(bytes);
            let before = said.len();
            self.read_partition(at, request, left, bytes == 0, env, &mut said);
            if let Some(fetched) = said.get(before) {
                let read = fetched.entries.iter().map(Entry::bytes);
                bytes = read.fold(bytes, u32::saturating_add);
                urgent |= fetched.is_urgent();
            }
        }
        if !expired && !urgent && (bytes == 0 || bytes < request.min_bytes) {
            answers::keep(said);
            return None;
        }
        if let Some((node, _)) = request.replica {
            told(&mut self.replicas, &mut self.untold[node.index()], node, &said);
        }
        Some(said)
    }

    /// A replica that leads has another high watermark: its followers are to be told.
    pub(super) fn has_untold(&mut self, id: PartitionId) {
        let Some(leading) = self.replicas.get(id).and_then(|replica| replica.leading()) else { return };
        for follower in &leading.followers {
            let untold = &mut self.untold[follower.node.index()];
            if !untold.contains(&id) {
                untold.push(id);
            }
        }
    }

    /// Says what there is to say of one partition, if there is something.
    fn read_partition(
        &self,
        at: &FetchPartition,
        request: &FetchRequest,
        max_bytes: u32,
        first: bool,
        env: &Env<'_, '_>,
        said: &mut Vec<FetchedPartition>,
    ) {
        if let Some(replica) = self.plainly_read(at, env.rules) {
            return read(replica, at, request, max_bytes, first, env.rules, said);
        }
        let preferred = self.preferred(at, request, env);
        let replica = match self.check_reader(at, request, env.rules) {
            Ok(replica) => replica,
            Err(error) => return said.push(refused(at.id, error, env)),
        };
        let diverging = replica.divergence(at);
        let elsewhere = diverging.is_some() || preferred.is_some();
        let in_range = replica.has_offset(at.offset);
        if !elsewhere && in_range {
            return read(replica, at, request, max_bytes, first, env.rules, said);
        }
        let error = if elsewhere { ErrorCode::None } else { ErrorCode::OffsetOutOfRange };
        said.push(FetchedPartition {
            high_watermark: replica.high_watermark,
            log_start: replica.log.start(),
            diverging,
            preferred,
            ..FetchedPartition::refused(at.id, error)
        });
    }
}

/// Below which offset this is read.
#[inline]
fn limit(replica: &Replica, request: &FetchRequest, rules: &Rules) -> u64 {
    match request.replica {
        Some(_) => replica.log.end(),
        None => replica.readable(request.isolation, rules),
    }
}

/// Reads one partition; nothing is said of one without records or news.
#[inline]
fn read(
    replica: &Replica,
    at: &FetchPartition,
    request: &FetchRequest,
    max_bytes: u32,
    first: bool,
    rules: &Rules,
    said: &mut Vec<FetchedPartition>,
) {
    let limit = limit(replica, request, rules);
    let reads = at.offset < limit && (first || max_bytes > 0);
    let entries = if reads { replica.log.read(at.offset, limit, at.max_bytes.min(max_bytes)) } else { &[] };
    if entries.is_empty() && !request.replica.is_some_and(|(node, _)| replica.has_news_for(node)) {
        return;
    }
    let transactions = request.replica.is_none() && request.isolation == Isolation::ReadCommitted;
    said.push(FetchedPartition {
        id: at.id,
        error: ErrorCode::None,
        high_watermark: replica.high_watermark,
        log_start: replica.log.start(),
        aborted: if transactions { aborted(replica, at.offset, entries) } else { Vec::new() },
        entries: match entries {
            [one] => Few::from_buf([one.clone()]),
            entries => Few::from(entries),
        },
        diverging: None,
        leader: None,
        preferred: None,
    });
}

/// A follower hears these high watermarks. `untold`: what it was not told of before.
fn told(
    replicas: &mut ByPartition<Box<Replica>>,
    untold: &mut Untold,
    node: NodeId,
    said: &[FetchedPartition],
) {
    for fetched in said {
        if let Some(leading) = replicas.get_mut(fetched.id).and_then(|replica| replica.leading_mut())
            && let Some(follower) = leading.followers.iter_mut().find(|follower| follower.node == node)
        {
            follower.told = (!fetched.error.is_error()).then_some(fetched.high_watermark);
            follower.told_start = fetched.log_start;
        }
        if fetched.error.is_error() && !untold.contains(&fetched.id) {
            untold.push(fetched.id);
        }
    }
    untold.retain(|id| replicas.get(*id).is_some_and(|replica| replica.has_news_for(node)));
}

/// The aborted transactions that reach into what is read.
fn aborted(replica: &Replica, from: u64, entries: &[Entry]) -> Vec<Aborted> {
    match (replica.producers.transactions(), entries.last()) {
        (Some(transactions), Some(last)) => transactions.aborted(from, last.end_offset()),
        _ => Vec::new(),
    }
}

/// Takes what a reader knows of epochs out of its Fetch.
fn forget_epochs(request: &mut FetchRequest) {
    for at in Arc::make_mut(&mut request.partitions) {
        (at.current_leader_epoch, at.last_fetched_epoch) = (None, None);
    }
}

fn is_silent(known: &Conn) -> bool {
    matches!(known.busy, Busy::Fetch(ParkedFetch { wait: Wait::Lull(_), .. }))
}

fn refused(id: PartitionId, error: ErrorCode, env: &Env<'_, '_>) -> FetchedPartition {
    let error = match error {
        ErrorCode::NotLeaderOrFollower if env.image.partition(id).is_none() => {
            ErrorCode::UnknownTopicOrPartition
        }
        error => error,
    };
    let hint = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    let leader = if hint { Broker::leader_hint(id, env.image) } else { None };
    FetchedPartition { leader, ..FetchedPartition::refused(id, error) }
}
