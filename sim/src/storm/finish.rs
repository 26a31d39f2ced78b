//! The end of a trial: wait until the cluster is whole and the services have caught up, then read the whole log
//! once more with a reader that no fault touched.

use super::record::Recorder;
use squall_bus::{Clock, Cluster, Consumer, ConsumerConfig, Error, Position, Time, Topic, TopicState, Unit};
use squall_history::history::Acknowledged;
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// How often the cluster is looked at, at first.
const LOOK: Duration = Duration::from_millis(200);
/// What has taken long may take as much longer as this part of it until it is looked at again.
const PATIENCE: u32 = 8;
/// How long what was acknowledged may be beyond what can be read until it is believed to be gone, from its ack and from
/// the last healing on: a copy that has nothing to say for so long is no longer in sync, and then its leader does not
/// wait for it.
const SETTLES: Duration = Duration::from_secs(30);

/// What the end of a trial needs.
pub(super) struct Finish {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) topics: Vec<(Topic, u32)>,
}

/// The ends that units come to have: what a leader alone has acknowledged is not there for readers until its followers
/// have it too, which they may still be about to.
struct Ends {
    acknowledged: BTreeMap<Unit, Acknowledged>,
    healed: Time,
}

impl Ends {
    /// Whether this is the end of the unit, or what was acknowledged beyond it is believed to be gone.
    fn is_settled(&self, unit: &Unit, end: Position, now: Time) -> bool {
        let beyond = self.acknowledged.get(unit).filter(|acknowledged| acknowledged.end > end);
        beyond.is_none_or(|acknowledged| now >= acknowledged.at.max(self.healed) + SETTLES)
    }
}

/// One unit on its way.
struct Progress {
    from: Position,
    to: Position,
    next: Position,
}

/// Looking at the cluster again and again, less often the longer it takes.
pub(super) struct Looks {
    clock: Arc<dyn Clock>,
    began: Time,
    deadline: Time,
}

impl Looks {
    pub(super) fn until(cluster: &dyn Cluster, deadline: Time) -> Self {
        let clock = cluster.clock();
        Self { began: clock.now(), clock, deadline }
    }

    /// Whether the deadline has come; if not, some time has passed afterwards.
    pub(super) async fn are_over(&self) -> bool {
        let now = self.clock.now();
        if now >= self.deadline {
            return true;
        }
        let next = now + LOOK.max(now.since(self.began) / PATIENCE);
        self.clock.sleep_until(next.min(self.deadline)).await;
        false
    }
}

impl Finish {
    fn looks(&self, deadline: Time) -> Looks {
        Looks::until(&*self.cluster, deadline)
    }

    /// Waits until every copy of every unit is in sync; `false` if the deadline came first.
    pub(super) async fn whole(&self, deadline: Time) -> bool {
        let looks = self.looks(deadline);
        loop {
            if self.is_whole().await {
                return true;
            }
            if looks.are_over().await {
                return false;
            }
        }
    }

    async fn is_whole(&self) -> bool {
        let whole = |unit: &TopicState| unit.leader.is_some() && unit.insync.len() == unit.replicas.len();
        let admin = self.cluster.admin();
        for (topic, partitions) in &self.topics {
            match admin.describe(topic).await {
                Ok(units) if units.len() == *partitions as usize && units.iter().all(whole) => {}
                _ => return false,
            }
        }
        true
    }

    /// Waits until every group has committed the end of every unit that it reads, this holds, and nobody waits for a
    /// send or a handler, for as long as a handler may take; `false` if the deadline came first. Everything was healed at
    /// this time.
    pub(super) async fn caught_up(
        &self,
        healed: Time,
        deadline: Time,
        handling: Duration,
        holds: &(dyn Fn() -> bool + Sync),
    ) -> bool {
        let (looks, mut behind) = (self.looks(deadline), None);
        loop {
            if holds() && self.is_caught_up(healed, &mut behind).await {
                self.handled(handling).await;
                // What was sent or handled last may have made work for others.
                if holds() && self.is_caught_up(healed, &mut behind).await {
                    return true;
                }
            }
            if looks.are_over().await {
                return false;
            }
        }
    }

    fn ends(&self, healed: Time) -> Ends {
        Ends { acknowledged: self.recorder.acknowledged(), healed }
    }

    /// Whether every group is done with every unit that it reads, up to an end that is settled. `behind`: where one was
    /// not at the last look, which is where to look first: it is mostly still so.
    async fn is_caught_up(&self, healed: Time, behind: &mut Option<(String, Unit)>) -> bool {
        if let Some((group, unit)) = behind
            && self.done(group, unit).await.is_none()
        {
            return false;
        }
        let (admin, mut read) = (self.cluster.admin(), Vec::new());
        for (group, topics) in self.recorder.groups() {
            for topic in topics {
                let Ok(units) = admin.describe(&topic).await else { return false };
                for TopicState { unit, .. } in units {
                    let Some(end) = self.done(&group, &unit).await else {
                        *behind = Some((group, unit));
                        return false;
                    };
                    read.push((unit, end));
                }
            }
        }
        // Asked for at the end, when it is likely that they have caught up.
        let (ends, now) = (self.ends(healed), self.cluster.clock().now());
        read.iter().all(|(unit, end)| ends.is_settled(unit, *end, now))
    }

    /// The end of a unit, if the group has committed it.
    async fn done(&self, group: &str, unit: &Unit) -> Option<Position> {
        let admin = self.cluster.admin();
        let (start, end) = admin.bounds(unit).await.ok()?;
        let done = match admin.committed(group, unit).await.ok()? {
            Some(position) => position >= end,
            None => start == end,
        };
        done.then_some(end)
    }

    /// Waits until every send has its outcome and every delivered record is handled, or nothing of that kind happened
    /// for so long.
    async fn handled(&self, longest: Duration) {
        let clock = self.cluster.clock();
        let began = clock.now();
        while self.recorder.is_waiting() && clock.now().since(self.recorder.last().max(began)) < longest {
            clock.sleep(LOOK).await;
        }
    }

    /// Reads every unit from its oldest record to its end. What could not be read by the deadline is written
    /// down as incomplete. Everything was healed at this time.
    pub(super) async fn drain(&self, healed: Time, deadline: Time) -> Result<(), Error> {
        let ends = self.ends(healed);
        let mut units: BTreeMap<Unit, Progress> = BTreeMap::new();
        for (topic, partitions) in &self.topics {
            for partition in 0..*partitions {
                let unit = Unit::new(topic, partition);
                let (from, to) = self.bounds(&unit, &ends, deadline).await?;
                units.insert(unit, Progress { from, to, next: from });
            }
        }
        let behind = units.iter().filter(|(_, unit)| unit.next < unit.to);
        let behind: Vec<_> = behind.map(|(unit, progress)| (unit.clone(), Some(progress.from))).collect();
        if !behind.is_empty() {
            let reader = self.cluster.bus().consumer(ConsumerConfig::assign("drain", behind))?;
            let clock = self.cluster.clock();
            // Whatever was not read by then shows in the facts below.
            let mut reading = pin!(self.read(&*reader, &mut units));
            let mut late = clock.sleep_until(deadline);
            poll_fn(|cx| match reading.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => late.as_mut().poll(cx),
            })
            .await;
            reader.close().await;
        }
        for (unit, progress) in units {
            self.recorder.drained(&unit, progress.from, progress.to, progress.next >= progress.to);
        }
        Ok(())
    }

    /// The bounds of a unit once its end is settled; a cluster that still elects a leader is asked again until the deadline.
    async fn bounds(&self, unit: &Unit, ends: &Ends, deadline: Time) -> Result<(Position, Position), Error> {
        let (admin, clock, looks) = (self.cluster.admin(), self.cluster.clock(), self.looks(deadline));
        loop {
            let bounds = admin.bounds(unit).await;
            let settled = matches!(bounds, Ok((_, end)) if ends.is_settled(unit, end, clock.now()));
            if settled || looks.are_over().await {
                return bounds;
            }
        }
    }

    /// Reads until every unit is at its end.
    async fn read(&self, reader: &dyn Consumer, units: &mut BTreeMap<Unit, Progress>) {
        let mut behind = units.values().filter(|unit| unit.next < unit.to).count();
        while behind > 0 {
            let Ok(delivery) = reader.next().await else { continue };
            let Some(progress) = units.get_mut(&delivery.unit) else { continue };
            if delivery.position < progress.next || delivery.position >= progress.to {
                continue;
            }
            progress.next = delivery.position.next();
            if progress.next >= progress.to {
                behind -= 1;
            }
            self.recorder.delivered("drain", None::<&str>, delivery);
        }
    }
}
