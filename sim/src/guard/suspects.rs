//! What makes two runs of one plan differ, as far as the evidence says.
//!
//! | fresh processes agree | this process agrees with itself | then the cause is |
//! |---|---|---|
//! | yes | no | what counts in a process: the order of `select!`, a static that changes |
//! | yes | yes | what a process did before: a static |
//! | no | yes | what a process draws once: addresses, keys in a static |
//! | no | no | what a run draws: the order of a `HashMap`, random numbers, the clock, a thread |
//!
//! In the last row the [shape](Shape) of the difference tells more, and with `squall-pin` linked random numbers and the
//! clock are out of the question.

use super::Step;
use std::{collections::BTreeSet, fmt};

/// How two runs differ from the first event on that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The same events in another order.
    Order,
    /// The same event at another time.
    Timing,
    /// Another event.
    Content,
}

impl Shape {
    /// Of what follows the last common event in each run.
    #[must_use]
    pub fn of(one: &[Step], other: &[Step]) -> Self {
        let (Some(a), Some(b)) = (one.first(), other.first()) else { return Self::Content };
        if a.what == b.what && a.at != b.at {
            return Self::Timing;
        }
        let moved = |step: &Step, to: &[Step]| {
            let mut same = to.iter().filter(|other| other.what == step.what).peekable();
            same.peek().is_some() && same.all(|other| other.at != step.at)
        };
        let stays = |step: &Step, to: &[Step]| to.iter().any(|other| same_moment(other, step));
        if (moved(a, other) && stays(b, one)) || (moved(b, one) && stays(a, other)) {
            return Self::Timing;
        }
        let later = |steps: &[Step], words: &BTreeSet<&str>| {
            let all: BTreeSet<&str> = steps.iter().flat_map(|step| words_of(&step.what)).collect();
            words.is_subset(&all)
        };
        let (here, there): (BTreeSet<&str>, BTreeSet<&str>) =
            (words_of(&a.what).collect(), words_of(&b.what).collect());
        let (only_here, only_there) = (&here - &there, &there - &here);
        // What is said now in one run is said later in the other: it has another turn there. The numbers of
        // operations belong to the turn, so whole events need not be equal.
        match (later(other, &only_here), later(one, &only_there)) {
            (true, true) => Self::Order,
            _ if a.at != b.at => Self::Timing,
            _ => Self::Content,
        }
    }
}

/// The same event at the same time, whatever came before it.
fn same_moment(a: &Step, b: &Step) -> bool {
    (a.at, &a.what) == (b.at, &b.what)
}

/// The words of an event.
fn words_of(what: &str) -> impl Iterator<Item = &str> {
    what.split([' ', '(', ')', '{', '}', '[', ']', ',']).filter(|word| !word.is_empty())
}

/// What is known about two runs that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// `squall-pin` is linked.
    pub pinned: bool,
    /// So many threads were started from inside the run; 0 also where nobody counts, without `squall-pin`.
    pub threads: u64,
    /// Two fresh processes agree with each other.
    pub fresh_agree: bool,
    /// Two runs in this process agree with each other.
    pub here_repeats: bool,
    /// How the runs differ, where the first event that does was found.
    pub shape: Option<Shape>,
}

/// What may decide what the seed should decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// The order of a `HashMap` or `HashSet`.
    HashOrder,
    /// Random numbers.
    Randomness,
    /// The wall clock.
    Clock,
    /// A thread.
    Thread,
    /// The order in which `select!` and its like look at their branches.
    Select,
    /// A static.
    Static,
    /// Addresses and other things that each process has of its own.
    Process,
}

impl Evidence {
    /// What may be the cause, the likely one first.
    #[must_use]
    pub fn suspects(&self) -> Vec<Suspect> {
        use Suspect::{Clock, HashOrder, Process, Randomness, Select, Static, Thread};
        match (self.fresh_agree, self.here_repeats) {
            (true, false) if self.threads > 0 => vec![Select, Thread, Static],
            (true, false) => vec![Select, Static],
            (true, true) => vec![Static],
            (false, _) if self.pinned && self.threads > 0 => vec![Thread, Process],
            (false, _) if self.pinned => vec![Process],
            (false, true) => vec![Process, Static],
            (false, false) => match self.shape {
                Some(Shape::Order) => vec![HashOrder, Select, Thread],
                Some(Shape::Timing) => vec![Clock, Thread, Randomness],
                Some(Shape::Content) => vec![Randomness, Clock, HashOrder],
                None => vec![HashOrder, Randomness, Clock, Thread],
            },
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        if self.fresh_agree {
            "fresh processes agree with each other: a seed that runs alone repeats"
        } else if !self.pinned {
            "add squall-pin to [dev-dependencies] and `use squall_pin as _;` to the test: it pins the order of maps, \
             random numbers and clocks to the seed"
        } else {
            "squall-pin is linked, so it is none of the order of maps, random numbers and clocks of std"
        }
    }
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HashOrder => "the order of a HashMap or HashSet: iterate over a BTreeMap instead",
            Self::Randomness => "random numbers (rand, uuid): seed them from the trial's seed",
            Self::Clock => "the wall clock (SystemTime, Instant): take the time from the bus's clock or tokio's",
            Self::Thread => "a thread (std::thread, spawn_blocking): use tasks instead",
            Self::Select => "the order of tokio::select! without `biased`, which counts through the whole process",
            Self::Static => "a static (OnceLock, thread_local!, a counter) that an earlier run left behind",
            Self::Process => {
                "what each process has of its own: addresses (ahash, pointers), files, sockets, the environment"
            }
        })
    }
}
