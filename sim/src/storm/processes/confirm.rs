//! A failing seed, confirmed: run once more in this process, and alone in a fresh one. When the runs differ, the
//! [guard](crate::guard) says where they part and names the suspects.

use super::{Link, Order, Place, Run, Test, workers::PATIENCE};
use crate::guard::{self, Footprint};
use std::time::Duration;

impl Place {
    /// Runs the seed again, here and in a fresh process, and writes down what that shows.
    pub(in crate::storm) fn confirm(
        &self,
        run: &mut Run,
        watchdog: Option<Duration>,
        here: &mut dyn FnMut(Option<u64>) -> Footprint,
    ) {
        let Some(test) = Test::this() else {
            run.repeats = Some(run.footprint.parts_from(&here(None)).is_none());
            return;
        };
        let (before, seed) = (Self::before(), run.seed);
        let mut fresh = |record_from| -> Result<Footprint, String> {
            let mut link = Link::start(&test, self, &before, watchdog.map(|patience| patience * PATIENCE))?;
            let fresh = link.run(Order { seed, record_from });
            let fresh = fresh.map_err(|why| format!("the test {} {why}", test.name))?;
            link.dismiss();
            Ok(fresh.footprint)
        };
        match guard::examine(&run.footprint, &mut |from| Ok(here(from)), &mut fresh) {
            Ok(parted) => {
                run.repeats = Some(parted.is_none());
                run.notes.extend(parted.map(|parted| parted.to_string()));
            }
            Err(why) => {
                run.repeats = Some(run.footprint.parts_from(&here(None)).is_none());
                run.notes.push(format!("the seed could not be run alone in a fresh process: {why}"));
            }
        }
    }
}
