//! The watchdog: a run on a thread of its own, and the caller watching that it gets on.
//!
//! The run makes progress when it parks: then every task waits and time can pass. No park for a while, but
//! polls, is a task that yields without end; no polls either is a task that blocks the thread. A yielding task
//! of a process is stopped and its thread ends; a blocked thread cannot be ended and is left behind.

use super::{Broken, Control};
use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

/// How often the watchdog looks, as a part of its patience.
const LOOKS: u32 = 10;

pub(super) fn watch<T: Send + 'static>(
    control: &Arc<Control>,
    patience: Duration,
    run: impl FnOnce() -> Result<T, Broken> + Send + 'static,
) -> Result<T, Broken> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("squall-run".to_owned())
        .spawn(move || {
            // Nobody listens any more if the watchdog gave up on this run.
            let _ = sender.send(run());
        })
        .expect("the machine has a thread for one run");
    let look = patience / LOOKS;
    let (mut parks, mut polls, mut idle) = (0, 0, 0);
    loop {
        match receiver.recv_timeout(look) {
            Ok(result) => {
                // The result is sent last: the thread is at its end.
                let _ = thread.join();
                return result;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let message = match thread.join() {
                    Err(payload) => super::process::panic_message(&*payload),
                    Ok(()) => "the run ended without a result".to_owned(),
                };
                return Err(Broken::Panicked { process: "main".to_owned(), message });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let (now_parks, now_polls) =
            (control.parks.load(Ordering::Relaxed), control.polls.load(Ordering::Relaxed));
        let polled = now_polls != polls;
        polls = now_polls;
        if now_parks != parks {
            (parks, idle) = (now_parks, 0);
            continue;
        }
        idle += 1;
        if idle < LOOKS {
            continue;
        }
        let last = control.last_polled();
        let cause = if !polled {
            let process = last.filter(|_| control.polling.load(Ordering::Relaxed));
            Broken::BlockingCall { process }
        } else {
            Broken::EndlessYield { process: last }
        };
        control.stop.store(true, Ordering::Relaxed);
        control.break_with(cause.clone());
        // A stopped task lets the run end by itself; wait for that, but not for a blocked thread.
        return receiver.recv_timeout(look).unwrap_or(Err(cause));
    }
}
