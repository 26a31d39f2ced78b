//! The search of Wing, Gong and Lowe, on a linked list of begins and ends.
//!
//! The list holds the begins and ends of all calls that are not taken, in the order of time. Any call whose begin
//! stands before the first end may come next. Taking a call lifts both its entries out of the list; giving it
//! back puts them where they were, which a doubly linked list remembers.

use super::{
    Call, Judgement, Model, Proof,
    taken::{Key, Taken},
};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashSet};

/// Judges the calls on one object, in at most `budget` steps.
pub fn judge_calls<M: Model>(model: &M, calls: &[Call<M::Op>], budget: u64) -> Judgement {
    Search::new(model, calls).run(budget)
}

/// Judges every part on its own, the parts in the order of their names, all within one budget. A part that is reached
/// with nothing left of the budget is undecided.
pub fn judge_parts<M: Model, N: Ord + Clone>(
    model: &M,
    parts: &BTreeMap<N, Vec<Call<M::Op>>>,
    budget: u64,
) -> BTreeMap<N, Judgement> {
    let mut left = budget;
    let judge = |(name, calls): (&N, &Vec<Call<M::Op>>)| {
        let mut search = Search::new(model, calls);
        let judgement = search.run(left);
        left -= search.steps.min(left);
        (name.clone(), judgement)
    };
    parts.iter().map(judge).collect()
}

/// A begin or an end in the list. Entry 0 is its head.
#[derive(Clone, Copy, Debug)]
struct Entry {
    call: usize,
    is_end: bool,
    before: usize,
    next: usize,
}

/// The end of the list.
const NONE: usize = usize::MAX;

struct Search<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<M::Op>],
    entries: Vec<Entry>,
    /// The entries of a call's begin and end.
    places: Vec<(usize, usize)>,
    /// The number of a call in the order of begins.
    numbers: Vec<usize>,
    taken: Taken,
    /// What was taken, each with the state before it.
    order: Vec<(usize, M::State)>,
    // Only asked whether it has a key, never walked.
    tried: HashSet<(Key, M::State), FixedState>,
    steps: u64,
    longest: Longest<M::State>,
}

/// The longest order that was blocked so far.
struct Longest<S> {
    calls: Vec<usize>,
    /// The state behind it, and the call that was answered before it could take effect; `None` before the first.
    blocked: Option<(S, usize)>,
    /// How many of its first calls are those of the present order.
    common: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, calls: &'a [Call<M::Op>]) -> Self {
        let begins = calls.iter().enumerate().map(|(call, one)| (one.begin, false, call));
        let ends = calls.iter().enumerate().filter_map(|(call, one)| Some((one.end?, true, call)));
        let mut moments: Vec<(u64, bool, usize)> = begins.chain(ends).collect();
        moments.sort_unstable();
        let mut entries = vec![Entry { call: NONE, is_end: false, before: NONE, next: NONE }];
        let (mut places, mut numbers) = (vec![(NONE, NONE); calls.len()], vec![0; calls.len()]);
        let mut begun = 0;
        for (_, is_end, call) in moments {
            let place = entries.len();
            entries[place - 1].next = place;
            entries.push(Entry { call, is_end, before: place - 1, next: NONE });
            if is_end {
                places[call].1 = place;
            } else {
                places[call].0 = place;
                numbers[call] = begun;
                begun += 1;
            }
        }
        let (taken, tried) = (Taken::none(calls.len()), HashSet::default());
        let longest = Longest { calls: Vec::new(), blocked: None, common: 0 };
        Self { model, calls, entries, places, numbers, taken, order: Vec::new(), tried, steps: 0, longest }
    }

    fn run(&mut self, budget: u64) -> Judgement {
        let mut state = self.model.start();
        let mut place = self.entries[0].next;
        loop {
            let Some(entry) = self.entries.get(place).copied() else {
                // No call with an end is left.
                return Judgement::Linearizable(self.order.iter().map(|(call, _)| *call).collect());
            };
            if entry.is_end {
                self.remember(&state, entry.call);
                let Some((call, before)) = self.order.pop() else { return self.illegal() };
                self.longest.common = self.longest.common.min(self.order.len());
                self.put_back(call);
                state = before;
                place = self.entries[self.places[call].0].next;
                continue;
            }
            if self.steps >= budget {
                return Judgement::Undecided;
            }
            self.steps += 1;
            match self.model.step(&state, &self.calls[entry.call].op) {
                Some(after) if self.is_new(entry.call, &after) => {
                    self.lift(entry.call);
                    self.order.push((entry.call, std::mem::replace(&mut state, after)));
                    place = self.entries[0].next;
                }
                _ => place = entry.next,
            }
        }
    }

    /// Whether these calls and this state are tried for the first time. If so, the call is taken.
    fn is_new(&mut self, call: usize, after: &M::State) -> bool {
        self.taken.take(self.numbers[call]);
        let new = self.tried.insert((self.taken.key(), after.clone()));
        if !new {
            self.taken.give_back(self.numbers[call]);
        }
        new
    }

    fn lift(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        for place in [begin, end].into_iter().filter(|place| *place != NONE) {
            let Entry { before, next, .. } = self.entries[place];
            self.entries[before].next = next;
            if next != NONE {
                self.entries[next].before = before;
            }
        }
    }

    /// The reverse of [`Self::lift`], in reverse order.
    fn put_back(&mut self, call: usize) {
        self.taken.give_back(self.numbers[call]);
        let (begin, end) = self.places[call];
        for place in [end, begin].into_iter().filter(|place| *place != NONE) {
            let Entry { before, next, .. } = self.entries[place];
            self.entries[before].next = place;
            if next != NONE {
                self.entries[next].before = place;
            }
        }
    }

    /// Keeps the order if it is the longest. Only what differs from the last longest one is copied, so that all copies
    /// together cost no more than the steps.
    fn remember(&mut self, state: &M::State, blocked: usize) {
        let longest = &mut self.longest;
        if longest.blocked.is_none() || longest.calls.len() < self.order.len() {
            longest.calls.truncate(longest.common);
            longest.calls.extend(self.order[longest.common..].iter().map(|(call, _)| *call));
            longest.common = longest.calls.len();
            longest.blocked = Some((state.clone(), blocked));
        }
    }

    fn illegal(&mut self) -> Judgement {
        match self.longest.blocked.take() {
            Some((state, blocked)) => {
                let longest = std::mem::take(&mut self.longest.calls);
                Judgement::Illegal(Proof { longest, blocked, state: self.model.describe(&state) })
            }
            None => Judgement::Undecided,
        }
    }
}
