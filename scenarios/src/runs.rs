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
use std::{
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
}

impl Job {
    /// The one command that runs exactly this again.
    #[must_use]
    pub fn reproduce(&self) -> String {
        let mut command =
            format!("squall run {} --on {} --seed {}", quoted(&self.named), self.target, self.seed);
        for over in &self.overrides {
            command.push_str(" --set ");
            command.push_str(&quoted(over.text()));
        }
        command
    }

    /// Carries it out. Events go to `sink` as they happen; `note` gets a line now and then while a target is
    /// made ready.
    pub fn run(&self, sink: &Sink, note: &(dyn Fn(&str) + Sync)) -> Outcome {
        let real = Instant::now();
        let plan = Arc::new(Plan::new(Arc::clone(&self.scenario), self.seed));
        self.begin(&plan, sink);
        let (ran, hash) = self.carry_out(&plan, sink, note);
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
                Outcome { finished, measured: Some(measured), history: Some(ran.history) }
            }
            Err(error) => {
                let verdict = match &error {
                    RunError::Unsupported(_) => Verdict::Unsupported,
                    RunError::Broken(_) => Verdict::Broken,
                };
                let finished = Finished {
                    report: Report::unjudged(verdict, error.to_string()),
                    time: Time::ZERO,
                    real_ms: millis(real.elapsed()),
                    hash: None,
                    latency: None,
                };
                Outcome { finished, measured: None, history: None }
            }
        };
        end(&outcome.finished, sink);
        outcome
    }

    fn begin(&self, plan: &Plan, sink: &Sink) {
        sink(RunEvent::Started(Started {
            scenario: self.scenario.name.clone(),
            about: self.scenario.about.clone(),
            target: self.target.to_string(),
            seed: self.seed,
            reproduce: self.reproduce(),
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

    fn carry_out(
        &self,
        plan: &Arc<Plan>,
        sink: &Sink,
        note: &(dyn Fn(&str) + Sync),
    ) -> (Result<Ran, RunError>, Option<u64>) {
        match &self.target {
            Target::Sim(bus) => self.simulate(bus, plan, sink),
            Target::Local(bus) => (self.live(bus, plan, sink, note), None),
        }
    }

    fn simulate(&self, bus: &str, plan: &Arc<Plan>, sink: &Sink) -> (Result<Ran, RunError>, Option<u64>) {
        let simulation = match squall_sim::open(bus, plan.cluster(), plan.choices().clone()) {
            Ok(simulation) => simulation,
            Err(error) => return (Err(RunError::Unsupported(error.to_string())), None),
        };
        let result: Arc<Mutex<Option<Result<Ran, RunError>>>> = Arc::default();
        let (kept, plan, sink, target) =
            (Arc::clone(&result), Arc::clone(plan), Arc::clone(sink), self.target.to_string());
        // The workload uses the bus's clock alone, and nothing of the user's runs in here that could hang.
        let options =
            squall_sim::runtime::Options { host_timers: false, watchdog: None, ..Default::default() };
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
            (Ok(()), Some(ran)) => ran,
            (Ok(()), None) => Err(RunError::Broken("the simulated run ended without a result".to_owned())),
        };
        (ran, Some(simulation.hash()))
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
        runtime.block_on(async {
            let cluster =
                squall_chaos::open(bus, plan.cluster(), note).await.map_err(|error| broken(&error))?;
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
