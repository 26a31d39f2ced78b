//! Capsules of a storm: written for its first failing seed, replayed from its corpus.
//!
//! A replay passes when its run is valid: what the capsule was written for is mended. It is no pass, and says so,
//! when the capsule no longer applies to the storm: the storm has other nodes or topics, or a fault that struck
//! somebody then strikes nobody now.

use super::{
    Body, Run, Storm,
    capsule::{Capsule, Line, SUFFIX},
    files::{self, Filed},
    finding::Finding,
    sweep,
};
use squall_bus::Fault;
use squall_history::{Report, Verdict, events::Hit};
use std::collections::BTreeMap;

impl Storm {
    /// The name under which capsules are written.
    fn title(&self) -> String {
        self.name.clone().or_else(sweep::test_name).unwrap_or_else(|| "storm".to_owned())
    }

    fn partitions(&self) -> BTreeMap<String, u32> {
        self.topics.iter().map(|(topic, partitions)| (topic.to_string(), *partitions)).collect()
    }

    /// Whether a storm of this name on this bus wrote the capsule.
    pub(super) fn is_of(&self, capsule: &Capsule) -> bool {
        capsule.storm == self.title() && capsule.target == self.target()
    }

    /// Writes a capsule of a failing run: of the shrunk one, if it is shrunk.
    pub(super) fn write_down(&self, run: &mut Run) {
        let (smallest, expected) = match &run.shrunk {
            Some(shrunk) => (&*shrunk.run, Some(shrunk.finding.clone())),
            None => (&*run, Finding::of(run).into_iter().next()),
        };
        let Some(expected) = expected else { return };
        let story = smallest.forbidden().next().map(|anomaly| anomaly.story().to_string());
        let checks = smallest.failed_checks.iter().map(ToString::to_string);
        let capsule = Capsule {
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            storm: self.title(),
            target: self.target().to_owned(),
            nodes: self.nodes,
            topics: self.partitions(),
            seed: smallest.seed,
            faults: smallest.faults.iter().map(|fault| Line::of(fault, smallest.hit(fault.id))).collect(),
            expected: expected.to_string(),
            story: story.iter().flat_map(|story| story.lines().map(str::to_owned)).chain(checks).collect(),
            events: smallest.events,
            hash: hexadecimal(smallest.hash),
        };
        match files::write(&capsule) {
            Ok(path) => {
                if let (Some(corpus), Some(name)) = (&self.corpus, path.file_name()) {
                    let kept = corpus.join(name);
                    run.notes.push(format!("to keep it: cp {} {}", path.display(), kept.display()));
                }
                run.capsule = Some(path);
            }
            Err(why) => run.notes.push(format!("no capsule (*{SUFFIX}) was written: {why}")),
        }
    }

    /// Runs what a capsule holds.
    pub(super) fn replay(&self, filed: &Filed, body: &Body) -> Run {
        let capsule = &filed.capsule;
        let run = match self.applies(capsule) {
            Err(why) => Run { report: no_longer(&why), ..Run::empty(capsule.seed) },
            Ok((faults, expected)) => {
                let run = self.run_seed(capsule.seed, Some(faults), body);
                judged(run, capsule, &expected)
            }
        };
        Run { replayed: Some(filed.path.clone()), ..run }
    }

    /// The faults and the finding of a capsule, if this storm is still what it was written for.
    fn applies(&self, capsule: &Capsule) -> Result<(Vec<Fault>, Finding), String> {
        if capsule.nodes != self.nodes {
            return Err(format!(
                "it is of a cluster of {} nodes, and the storm's has {}",
                capsule.nodes, self.nodes
            ));
        }
        if capsule.topics != self.partitions() {
            let list = |topics: &BTreeMap<String, u32>| {
                let topics = topics.iter().map(|(topic, partitions)| format!("{topic}/{partitions}"));
                topics.collect::<Vec<_>>().join(", ")
            };
            let (then, now) = (list(&capsule.topics), list(&self.partitions()));
            return Err(format!("it is of the topics {then}, and the storm's are {now}"));
        }
        Ok((capsule.schedule()?, capsule.finding()?))
    }
}

/// A replay, compared with what the capsule says.
fn judged(mut run: Run, capsule: &Capsule, expected: &Finding) -> Run {
    let findings = Finding::of(&run);
    if findings.is_empty() {
        let missed = |line: &&Line| line.hit_somebody() && run.hit(line.id) == Some(&Hit::Nobody);
        if let Some(line) = capsule.faults.iter().find(missed) {
            let report = no_longer(&format!("its fault `{line}` hit nobody this time"));
            return Run { report, ..run };
        }
        return run;
    }
    if !findings.contains(expected) {
        run.notes.push(format!("this is not what the capsule was written for: {expected}"));
    } else if hexadecimal(run.hash) != capsule.hash {
        run.notes
            .push("it goes another way than when the capsule was written, and shows the same".to_owned());
    }
    run
}

fn no_longer(why: &str) -> Report {
    let reason =
        format!("the capsule no longer applies: {why}; write another from a failing seed, or delete it");
    Report::unjudged(Verdict::Broken, reason)
}

fn hexadecimal(hash: u64) -> String {
    format!("{hash:016x}")
}
