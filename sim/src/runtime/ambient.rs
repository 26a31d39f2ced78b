//! What code inside a run takes from its surroundings behind the seed's back (entropy, the clock, threads), and
//! what the seed has to say instead.
//!
//! While [a run](super) is on a thread, that thread knows its seed and its virtual time. Nothing in Squall asks for
//! them here: `squall-pin`, a crate that users link into their tests, defines the calls by which the standard
//! library and others reach the operating system, and answers them from here. Without it these functions are
//! called by nobody.
//!
//! - [`entropy`]: 64 bits, a pure function of the seed and of how many the run took before.
//! - [`now`]: the run's virtual time, as tokio's paused clock has it where the host's timers are on.
//! - [`thread_started`]: a thread is outside of virtual time, and what it does in which order nobody decides.
//!
//! Entropy and threads are counted in [`Ambient`], which is evidence when two runs of one seed differ; readings of
//! the clock are not, for tokio itself reads it at every turn. Everything rests in a plain cell of the thread without
//! a destructor, so it may be asked at any time, also while a thread begins or ends.

use crate::kernel::{Choices, Site};
use squall_bus::Time;
use std::cell::Cell;

const ENTROPY: Site = Site::new("ambient.entropy");

/// How often a run reached for its surroundings. Counted only where `squall-pin` is linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ambient {
    /// Whether the calls are answered by the run: `squall-pin` is linked.
    pub pinned: bool,
    /// Words of 64 random bits.
    pub entropy: u64,
    /// Threads that were started.
    pub threads: u64,
}

#[derive(Clone, Copy)]
struct Inside {
    seed: u64,
    now: u64,
    words: u64,
    asked_for_time: bool,
    used: Ambient,
}

thread_local! {
    static INSIDE: Cell<Option<Inside>> = const { Cell::new(None) };
}

fn inside<T>(act: impl FnOnce(&mut Inside) -> T) -> Option<T> {
    let mut inside = INSIDE.get()?;
    let result = act(&mut inside);
    INSIDE.set(Some(inside));
    Some(result)
}

/// Whether this thread is inside a run.
#[must_use]
pub fn is_inside() -> bool {
    INSIDE.get().is_some()
}

/// The next 64 random bits of the run that this thread is inside of; `None` outside.
#[must_use]
pub fn entropy() -> Option<u64> {
    inside(|run| {
        let word = Choices::new(run.seed).draw(ENTROPY, 0, run.words);
        run.words += 1;
        run.used.entropy += 1;
        word
    })
}

/// The virtual time of the run that this thread is inside of, from its beginning; `None` outside.
#[must_use]
pub fn now() -> Option<Time> {
    inside(|run| {
        run.asked_for_time = true;
        Time(run.now)
    })
}

/// A thread was started from this one.
pub fn thread_started() {
    inside(|run| run.used.threads += 1);
}

/// Time has come this far in the run that this thread is inside of.
pub(super) fn advance(now: Time) {
    inside(|run| run.now = run.now.max(now.0));
}

/// The preparations of the run are over: what was used from now on is its own. A runtime reads a clock when it is
/// built, which shows whether such calls are answered from here.
pub(super) fn begin() {
    inside(|run| run.used = Ambient { pinned: run.asked_for_time, ..Ambient::default() });
}

/// This thread is inside a run until this is dropped.
pub(super) struct Entered {
    before: Option<Inside>,
}

impl Entered {
    pub(super) fn new(seed: u64) -> Self {
        let fresh = Inside { seed, now: 0, words: 0, asked_for_time: false, used: Ambient::default() };
        Self { before: INSIDE.replace(Some(fresh)) }
    }

    /// What was used since the run [began](begin).
    pub(super) fn used(&self) -> Ambient {
        INSIDE.get().map(|run| run.used).unwrap_or_default()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::{Ambient, Entered, advance, begin, entropy, now, thread_started};
    use squall_bus::Time;

    #[test]
    fn only_a_thread_inside_a_run_is_answered_and_each_use_is_counted() {
        assert_eq!((entropy(), now()), (None, None));
        let run = Entered::new(7);
        advance(Time(5));
        advance(Time(3));
        let words = [entropy(), entropy()];
        assert_ne!(words[0], words[1]);
        assert_eq!(now(), Some(Time(5)), "time does not go back");
        thread_started();
        assert_eq!(run.used(), Ambient { pinned: false, entropy: 2, threads: 1 });
        begin();
        assert_eq!(run.used(), Ambient { pinned: true, ..Ambient::default() });
        assert_eq!(std::thread::spawn(now).join().expect("no panic"), None);
        drop(run);
        assert_eq!((entropy(), now()), (None, None));
        let again = Entered::new(7);
        assert_eq!([entropy(), entropy()], words);
        drop(again);
        let _other = Entered::new(8);
        assert_ne!(entropy(), words[0]);
    }
}
