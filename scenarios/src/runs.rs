//! Runs: a scenario, a target and a seed, carried out and judged, told as one stream of run events.

use crate::{
    Override, Plan, Scenario, Target,
    measured::measured,
    runner::{self, Ran, RunError, Sink, latency},
};
use squall_bus::Time;
use squall_history::{
    History, Report, RunEvent, Verdict,
    analysis::Analysis,
    events::{Finished, Judged, Plan as Planned, PlannedFault, Progress, Stage, Started},
    impact::{Impact, impacts},
    verdict::judge_analysis,
};
use squall_reports::Measured;
use squall_sim::{
    guard::Footprint,
    kernel::{LogLine, Mark, Marks},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario, overrides applied.
    pub scenario: Arc<Scenario>,
    /// How the user named it: a library name or a path.
    pub named: String,
    /// The overrides, for the command that reproduces.
    pub overrides: Vec<Override>,
    /// Where.
    pub target: Target,
    /// With which seed.
    pub seed: u64,
}

/// What a run leaves besides its events.
#[derive(Debug)]
pub struct Outcome {
    /// The judgement, as the last event has it.
    pub finished: Finished,
    /// What was measured; `None` for a run that was not carried out.
    pub measured: Option<Measured>,
    /// What every client saw; `None` for a run that was not carried out.
    pub history: Option<History>,
    /// The rules that the model followed, one `name: value` a line; empty on real targets.
    pub rules: String,
    /// The rare situations that the run passed through.
    pub marks: Marks,
    /// To be compared with that of another run of the same job; `None` for a run that was not carried out in the
    /// simulator.
    pub footprint: Option<Footprint>,
}

/// What a simulated run leaves.
pub(crate) struct SimulatedRun {
    /// What came of it.
    pub(crate) ran: Result<Ran, RunError>,
    /// The hash of everything that happened, rules included.
    pub(crate) hash: u64,
    /// How many events the kernel went through.
    pub(crate) events: u64,
    /// The rules that the model followed, one `name: value` a line.
    pub(crate) rules: String,
    /// The kernel's events, with names; empty unless asked for.
    pub(crate) log: Vec<LogLine>,
    /// To be compared with that of another run of the same plan.
    pub(crate) footprint: Footprint,
}

/// How a simulated run is carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Every event is kept.
    pub(crate) logged: bool,
    /// The events behind this checkpoint are kept for the footprint.
    pub(crate) record_from: Option<u64>,
    /// The run is broken off after so many events, instead of the simulator's own number.
    pub(crate) max_events: Option<u64>,
}

impl Job {
    /// The one command that runs exactly this again.
    #[must_use]
    pub fn reproduce(&self) -> String {
        let mut command =
            format!("squall run {} --on {} --seed {}", quoted(&self.named), self.target, self.seed);
        command.push_str(&arguments(&self.overrides));
        command
    }

    /// Carries it out. Events go to `sink` as they happen; `note` gets a line now and then while a target is
    /// made ready.
    pub fn run(&self, sink: &Sink, note: &(dyn Fn(&str) + Sync)) -> Outcome {
        let real = Instant::now();
        let plan = Arc::new(Plan::new(Arc::clone(&self.scenario), self.seed));
        self.begin(&plan, self.reproduce(), sink);
        match &self.target {
            Target::Sim(bus) => conclude_simulated(simulate(bus, &plan, sink, How::default()), real, sink).0,
            Target::Local(bus) => {
                conclude(self.live(bus, &plan, sink, note), None, String::new(), real, sink)
            }
        }
    }

    /// Carries it out with nobody told. A run that panics is broken: a defect of the simulator.
    #[must_use]
    pub fn run_quietly(&self) -> Outcome {
        let deaf: Sink = Arc::new(|_| {});
        catch_unwind(AssertUnwindSafe(|| self.run(&deaf, &|_| {}))).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why");
            let broken = RunError::Broken(format!("the run panicked: {said}"));
            conclude(Err(broken), None, String::new(), Instant::now(), &deaf)
        })
    }

    /// Carries out what became of its plan, in the simulator, with the log of its events. `reproduce` is the command
    /// that does this again.
    pub(crate) fn run_logged(
        &self,
        bus: &str,
        plan: &Arc<Plan>,
        reproduce: String,
        how: How,
        sink: &Sink,
    ) -> (Outcome, Vec<LogLine>) {
        let real = Instant::now();
        self.begin(plan, reproduce, sink);
        conclude_simulated(simulate(bus, plan, sink, how), real, sink)
    }

    fn begin(&self, plan: &Plan, reproduce: String, sink: &Sink) {
        sink(RunEvent::Started(Started {
            scenario: self.scenario.name.clone(),
            about: self.scenario.about.clone(),
            target: self.target.to_string(),
            seed: self.seed,
            reproduce,
            options: plan.options(),
            warnings: plan.warnings().iter().map(ToString::to_string).collect(),
        }));
        let faults = plan.faults().iter().map(|fault| PlannedFault {
            id: fault.id,
            verb: fault.kind.verb().to_owned(),
            role: fault.role.to_string(),
            at: fault.at,
            lasts: Time::ZERO + fault.lasts,
        });
        sink(RunEvent::Plan(Planned {
            operations: plan.producers().iter().map(|producer| producer.records().count() as u64).sum(),
            lasts: Time::ZERO + self.scenario.workload.lasts.get(),
            faults: faults.collect(),
        }));
    }

    #[cfg(feature = "local")]
    fn live(
        &self,
        bus: &str,
        plan: &Arc<Plan>,
        sink: &Sink,
        note: &(dyn Fn(&str) + Sync),
    ) -> Result<Ran, RunError> {
        let broken = |error: &dyn std::fmt::Display| RunError::Broken(error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| RunError::Broken(format!("the async runtime could not be built: {error}")))?;
        // A real cluster takes its time to start: what it could not do is said before.
        runner::supported(plan, &self.target.to_string(), &self.target.capabilities())?;
        let cluster = plan.cluster(bus);
        if let Some(bug) = &cluster.bug {
            return Err(RunError::Unsupported(format!(
                "{} has the bugs that it has, and not {bug} on demand: run it on sim:{bus}",
                self.target
            )));
        }
        if let (Some(wanted), Some(real)) = (&cluster.profile, squall_chaos::profile(bus))
            && wanted != real
        {
            return Err(RunError::Unsupported(format!(
                "{} runs {bus} {real}, not {wanted}: run it on sim:{bus}, or leave topology.brokers.{bus}.profile out",
                self.target
            )));
        }
        runtime.block_on(async {
            let cluster = squall_chaos::open(bus, cluster, note).await.map_err(|error| broken(&error))?;
            let ran =
                runner::run(cluster.clone(), Arc::clone(plan), &self.target.to_string(), Arc::clone(sink))
                    .await;
            cluster.close().await;
            ran
        })
    }

    #[cfg(not(feature = "local"))]
    fn live(&self, bus: &str, _: &Arc<Plan>, _: &Sink, _: &(dyn Fn(&str) + Sync)) -> Result<Ran, RunError> {
        Err(RunError::Unsupported(format!(
            "this build has no client of {bus}: build with the feature `{bus}`"
        )))
    }
}

/// Carries out a plan on the model of this bus.
pub(crate) fn simulate(bus: &str, plan: &Arc<Plan>, sink: &Sink, how: How) -> SimulatedRun {
    let simulation = match squall_sim::open(bus, plan.cluster(bus), plan.choices().clone()) {
        Ok(simulation) => simulation,
        Err(error) => {
            let ran = Err(RunError::Unsupported(error.to_string()));
            let footprint = Footprint::default();
            return SimulatedRun {
                ran,
                hash: 0,
                events: 0,
                rules: String::new(),
                log: Vec::new(),
                footprint,
            };
        }
    };
    if how.logged {
        simulation.start_tracing();
    }
    let result: Arc<Mutex<Option<Result<Ran, RunError>>>> = Arc::default();
    let (kept, plan, sink, target) =
        (Arc::clone(&result), Arc::clone(plan), Arc::clone(sink), format!("sim:{bus}"));
    // The workload uses the bus's clock alone, and nothing of the user's runs in here that could hang.
    let mut options = squall_sim::runtime::Options {
        host_timers: false,
        watchdog: None,
        record_from: how.record_from,
        ..Default::default()
    };
    options.max_events = how.max_events.unwrap_or(options.max_events);
    let ended = simulation.run(
        options,
        Box::new(move |cluster| {
            Box::pin(async move {
                let ran = runner::run(cluster, plan, &target, sink).await;
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
            })
        }),
    );
    let ran = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    let ran = match (ended, ran) {
        (Err(broken), _) => Err(RunError::Broken(broken.to_string())),
        (Ok(()), Some(ran)) => ran.map(|ran| Ran { marks: ran.marks.or(simulation.marks()), ..ran }),
        (Ok(()), None) => Err(RunError::Broken("the simulated run ended without a result".to_owned())),
    };
    let (hash, events, rules) = (simulation.hash(), simulation.events(), simulation.rules());
    let footprint = simulation.footprint();
    SimulatedRun { ran, hash, events, rules, log: simulation.log(), footprint }
}

/// The judgement on what was not carried out.
pub(crate) fn unjudged(error: &RunError) -> Report {
    let verdict = match error {
        RunError::Unsupported(_) => Verdict::Unsupported,
        RunError::Broken(_) => Verdict::Broken,
    };
    Report::unjudged(verdict, error.to_string())
}

/// Judges what came of a simulated run, and tells; with the log of its events.
fn conclude_simulated(run: SimulatedRun, real: Instant, sink: &Sink) -> (Outcome, Vec<LogLine>) {
    let SimulatedRun { ran, hash, rules, log, footprint, .. } = run;
    let carried_out = !matches!(ran, Err(RunError::Unsupported(_)));
    let outcome = conclude(ran, Some(hash), rules, real, sink);
    (Outcome { footprint: carried_out.then_some(footprint), ..outcome }, log)
}

/// Judges what came of a run, and tells.
fn conclude(
    ran: Result<Ran, RunError>,
    hash: Option<u64>,
    rules: String,
    real: Instant,
    sink: &Sink,
) -> Outcome {
    let outcome = match ran {
        Ok(ran) => {
            sink(RunEvent::Progress(judging(&ran, real.elapsed())));
            let (report, impacts) = judged(&ran.history);
            let finished = Finished {
                report,
                time: ran.history.end(),
                real_ms: millis(real.elapsed()),
                hash: hash.map(|hash| format!("{hash:016x}")),
                latency: latency(&ran.recorder.publish.summary()),
            };
            let measured = measured(&ran.recorder, &impacts);
            let mut marks = ran.marks;
            if finished.report.counts.redelivered > 0 {
                marks.add(Mark::DeliveredAgain);
            }
            Outcome {
                finished,
                measured: Some(measured),
                history: Some(ran.history),
                rules,
                marks,
                footprint: None,
            }
        }
        Err(error) => {
            let finished = Finished {
                report: unjudged(&error),
                time: Time::ZERO,
                real_ms: millis(real.elapsed()),
                hash: None,
                latency: None,
            };
            Outcome {
                finished,
                measured: None,
                history: None,
                rules,
                marks: Marks::default(),
                footprint: None,
            }
        }
    };
    end(&outcome.finished, sink);
    outcome
}

fn end(finished: &Finished, sink: &Sink) {
    for anomaly in &finished.report.anomalies {
        sink(RunEvent::Anomaly(anomaly.clone()));
    }
    sink(RunEvent::Verdict(Judged {
        verdict: finished.report.verdict,
        reason: finished.report.reason.clone(),
    }));
    sink(RunEvent::Finished(finished.clone()));
}

/// The judgement of a run and what each of its faults did, from one analysis.
fn judged(history: &History) -> (Report, Vec<Impact>) {
    let analysis = Analysis::new(history);
    (judge_analysis(&analysis, &[]), impacts(&analysis))
}

fn judging(ran: &Ran, real: Duration) -> Progress {
    let ledger = &ran.recorder.ledger;
    Progress {
        time: ran.history.end(),
        real_ms: millis(real),
        stage: Stage::Judging,
        sent: ledger.sent,
        acked: ledger.acked,
        failed: ledger.failed,
        unknown: ledger.unknown,
        delivered: ledger.received + ledger.duplicates,
        latency: None,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The overrides as arguments of a command, each behind a space.
pub(crate) fn arguments(overrides: &[Override]) -> String {
    let argument = |over: &Override| match over.bug() {
        Some(bug) => format!(" --bug {}", quoted(bug)),
        None => format!(" --set {}", quoted(over.text())),
    };
    overrides.iter().map(argument).collect()
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_when_they_must_be() {
        assert_eq!(quoted("workload.producers.acks=1"), "workload.producers.acks=1");
        assert_eq!(quoted("my file.yaml"), "'my file.yaml'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("expect.unavailable=< 20s"), "'expect.unavailable=< 20s'");
    }
}
