//! What breaks, when, and whom it strikes: drawn as shares of what the scenario has.

use crate::format::{
    FaultSpec, Scenario,
    scalar::{Period, PeriodRange, RoleText},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};
use squall_bus::{FaultKind, Role, Topic, Unit};
use std::time::Duration;

/// A fault before it is made to fit.
#[derive(Clone, Debug)]
pub(super) struct Strike {
    /// It strikes again and again.
    again: bool,
    /// In thousandths of the workload: from when on, and how much later at most.
    from: u32,
    within: u32,
    /// How long it lasts, if there is time left.
    lasts: (u64, u64),
    kind: FaultKind,
    /// How much further a delay may go.
    more: u64,
    whom: Whom,
}

/// Whom a fault strikes, before that is one of the scenario's.
#[derive(Clone, Debug)]
struct Whom {
    role: u32,
    topic: Index,
    place: Index,
}

/// The last thousandth of the workload at which a fault strikes: some time is left for it to last.
const LATEST: u32 = 900;

pub(super) fn strikes() -> impl Strategy<Value = Strike> {
    let when = (prop_oneof![4 => Just(false), 1 => Just(true)], 0..=LATEST, 0..=LATEST);
    let whom = (0..9_u32, any::<Index>(), any::<Index>());
    let whom = whom.prop_map(|(role, topic, place)| Whom { role, topic, place });
    (when, (100..=8_000_u64, 0..=4_000_u64), kinds(), 0..=500_u64, whom).prop_map(
        |((again, from, within), lasts, kind, more, whom)| Strike {
            again,
            from,
            within,
            lasts,
            kind,
            more,
            whom,
        },
    )
}

/// The plainest first: a failing case shrinks towards it.
fn kinds() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        6 => select(vec![FaultKind::Kill, FaultKind::Stop, FaultKind::Restart, FaultKind::Pause]),
        4 => select(vec![FaultKind::Partition, FaultKind::Isolate, FaultKind::Stall, FaultKind::PowerFail]),
        1 => (1..=500_u64).prop_map(|millis| FaultKind::Delay(Duration::from_millis(millis))),
        1 => (1..=5_u32).prop_map(FaultKind::DropResponses),
    ]
}

impl Strike {
    pub(super) fn fitted(&self, scenario: &Scenario) -> FaultSpec {
        let end = scenario.workload.lasts.get();
        let (at, left) = self.times(end);
        let mut spec = FaultSpec::of(self.kind, RoleText(self.whom.among(self.kind, scenario)));
        if let (FaultKind::Delay(by), Some(delay)) = (self.kind, &mut spec.delay) {
            let most = by + Duration::from_millis(self.more);
            delay.by = PeriodRange::new(Period::of(by), Period::of(most));
        }
        if self.again {
            spec.every = Some(at);
        } else {
            spec.at = Some(at);
        }
        if !matches!(self.kind, FaultKind::Restart | FaultKind::DropResponses(_)) {
            let (low, more) = self.lasts;
            let period = |millis| Period::of(Duration::from_millis(millis).min(left));
            spec.lasts = Some(PeriodRange::new(period(low), period(low + more)));
        }
        spec
    }

    /// When it strikes, or at which distances, and how long it may last then.
    fn times(&self, end: Duration) -> (PeriodRange, Duration) {
        // In whole milliseconds, as people write them.
        let part = |thousandths: u32| {
            let millis = end.as_millis() * u128::from(thousandths) / 1_000;
            Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
        };
        let range = |low, high| PeriodRange::new(Period::of(part(low)), Period::of(part(high)));
        if self.again {
            // From a tenth of the workload to four tenths, and half of it to last.
            let (low, more) = (100 + self.from / 4, self.within / 12);
            (range(low, low + more), part(500))
        } else {
            let high = (self.from + self.within / 4).min(LATEST);
            (range(self.from, high), part(1_000 - LATEST).max(end - part(high)))
        }
    }
}

impl Whom {
    /// One of the scenario's roles that this can strike.
    fn among(&self, kind: FaultKind, scenario: &Scenario) -> Role {
        let nodes = scenario.topology.nodes;
        let topics: Vec<_> = scenario.topology.topics.iter().collect();
        let (name, shape) = self.topic.get(&topics);
        let partition = self.place.index(shape.partitions.get() as usize) as u32;
        let unit = Unit::new(&Topic::new(name), partition);
        let node = Role::Node(1 + self.place.index(nodes.get() as usize) as u32);
        let clients =
            matches!(kind, FaultKind::Kill | FaultKind::Stop | FaultKind::Restart | FaultKind::Pause);
        let groups = scenario.consumer_groups();
        match self.role {
            0 => Role::Leader(unit),
            1 if clients => Role::Client(self.place.get(&scenario.client_names()).clone()),
            2 | 3 if shape.replicas_on(nodes) > 1 => {
                if self.role == 2 {
                    Role::Follower(unit)
                } else {
                    Role::Followers(unit)
                }
            }
            4 => Role::Controller,
            5 if !groups.is_empty() => Role::Coordinator(self.place.get(groups).group.clone()),
            6 if nodes.get() >= 3 => Role::Minority,
            7 if kind != FaultKind::Partition => Role::All,
            _ => node,
        }
    }
}
