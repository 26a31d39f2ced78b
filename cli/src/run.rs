//! `squall run`.
//!
//! Runs on real targets go one after the other; simulated ones share the cores. Events are kept in the output folder as
//! they happen, histories of single runs and of the first runs that are not valid too; the reports are written at
//! the end.

use crate::{
    Failure,
    args::{RunArgs, overrides},
    guard::{self, Guarded},
    show::{Show, say},
    shrink,
};
use squall_history::{History, RunEvent, Verdict};
use squall_reports::{Exporter, Folder, Run, Runs, Text, run_json};
use squall_scenarios::{Capsule, Job, Target, library, runner::Sink, runs::Outcome};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, IsTerminal, Write, stdout},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// So many histories are kept of runs that are not valid.
const KEPT_HISTORIES: usize = 10;

pub(crate) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let overrides = overrides(&args.set, args.bug.as_deref())?;
    let scenario = Arc::new(library::open(&args.scenario, &overrides).map_err(Failure::input)?);
    let targets = if args.on.is_empty() { default_targets(args.bug.as_deref()) } else { args.on.clone() };
    let last = args.seed.checked_add(args.seeds - 1).ok_or_else(|| {
        Failure::input(format!(
            "there are no {} seeds from {} on: give a smaller --seed",
            args.seeds, args.seed
        ))
    })?;
    let job = |target: &Target, seed| Job {
        scenario: Arc::clone(&scenario),
        named: args.scenario.clone(),
        overrides: overrides.clone(),
        target: target.clone(),
        seed,
    };
    let jobs: Vec<Job> = targets
        .iter()
        .flat_map(|target| (args.seed..=last).map(move |seed| (target, seed)))
        .map(|(target, seed)| job(target, seed))
        .collect();
    if args.guard {
        guard::refuse_real(&jobs)?;
    }
    let desk = Desk::new(&args.out, jobs.len())?;
    carry_out(&jobs, &desk);
    desk.show.finish();
    let runs = desk.runs(&scenario.name, &scenario.about)?;
    print(args, &runs)?;
    if let Some(capsule) = desk.first_failure() {
        let story = shrink::keep(&capsule, !args.no_shrink, &args.out)?;
        // Standard output is one JSON object then.
        if args.json {
            eprintln!("{story}");
        } else {
            say(format_args!("{story}"))?;
        }
    }
    let guarded = if args.guard { guard::guard(jobs.iter().map(Guarded::plain))? } else { Verdict::Valid };
    Ok(guarded.worst(verdict(&runs)).exit_code())
}

/// The targets of a run that names none: every simulated bus, of those whose model can have this bug.
pub(crate) fn default_targets(bug: Option<&str>) -> Vec<Target> {
    let bus = bug.and_then(squall_scenarios::bugs::find).map(|bug| bug.bus);
    Target::defaults().into_iter().filter(|target| bus.is_none_or(|bus| target.bus() == bus)).collect()
}

/// Runs all jobs: the simulated ones on all cores, the real ones one by one.
fn carry_out(jobs: &[Job], desk: &Desk) {
    let (simulated, real): (Vec<_>, Vec<_>) =
        (0..jobs.len()).partition(|index| jobs[*index].target.is_simulated());
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(simulated.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(index) = simulated.get(next.fetch_add(1, Ordering::Relaxed)) {
                    desk.carry_out(*index, &jobs[*index]);
                }
            });
        }
    });
    for index in real {
        desk.carry_out(index, &jobs[index]);
    }
}

/// Where everything that happens is written down.
struct Desk {
    show: Show,
    sweep: bool,
    papers: Arc<Mutex<Papers>>,
}

struct Papers {
    folder: Folder,
    runs: BTreeMap<usize, Run>,
    not_valid: usize,
    /// The failure of the first job that failed in the simulator.
    failure: Option<(usize, Capsule)>,
    /// The first thing that could not be written.
    lost: Option<String>,
}

fn papers(papers: &Mutex<Papers>) -> MutexGuard<'_, Papers> {
    papers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn new(out: &Path, jobs: usize) -> Result<Self, Failure> {
        let folder = Folder::create(out).map_err(Failure::input)?;
        let papers = Papers { folder, runs: BTreeMap::new(), not_valid: 0, failure: None, lost: None };
        Ok(Self { show: Show::new(jobs as u64), sweep: jobs > 1, papers: Arc::new(Mutex::new(papers)) })
    }

    fn carry_out(&self, index: usize, job: &Job) {
        let name = format!("{}, seed {}", job.target, job.seed);
        let outcome = thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel::<RunEvent>();
            let sink: Sink = Arc::new(move |event| {
                // The receiver lives as long as the run.
                let _ = sender.send(event);
            });
            scope.spawn(|| {
                for event in receiver {
                    self.show.event(&name, &event);
                    self.keep(index, event);
                }
            });
            job.run(&sink, &|line| self.show.note(line))
        });
        self.close(index, job, outcome);
    }

    fn keep(&self, index: usize, event: RunEvent) {
        let mut papers = papers(&self.papers);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        // A sweep's every second would fill the disk with what nobody reads.
        if !(self.sweep && matches!(event, RunEvent::Progress(_)))
            && let Err(error) = papers.folder.event(number, &event)
        {
            papers.lost.get_or_insert(error.to_string());
        }
        match (event, papers.runs.get_mut(&index)) {
            (RunEvent::Started(started), None) => {
                papers.runs.insert(index, Run::new(started));
            }
            (event, Some(run)) => run.on(event),
            (_, None) => {}
        }
    }

    fn close(&self, index: usize, job: &Job, outcome: Outcome) {
        let mut papers = papers(&self.papers);
        let valid = outcome.finished.report.verdict == Verdict::Valid;
        papers.not_valid += usize::from(!valid);
        if papers.failure.as_ref().is_none_or(|(first, _)| index < *first)
            && let Ok(capsule) = Capsule::of(job, &outcome)
        {
            papers.failure = Some((index, capsule));
        }
        let keeps_history =
            !self.sweep || !job.target.is_simulated() || !valid && papers.not_valid <= KEPT_HISTORIES;
        if let (Some(history), true) = (&outcome.history, keeps_history) {
            let path = papers
                .folder
                .path()
                .join(format!("history-{}-{}.jsonl", job.target, job.seed).replace(':', "-"));
            if let Err(error) = write_history(&path, history) {
                papers.lost.get_or_insert(format!("{}: {error}", path.display()));
            }
        }
        if let Some(measured) = outcome.measured {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            if keeps_history && let Err(error) = papers.folder.measured(number, &measured) {
                papers.lost.get_or_insert(error.to_string());
            }
            if let Some(run) = papers.runs.get_mut(&index) {
                run.measured = Some(measured);
            }
        }
        self.show.ran(papers.runs.len() as u64, papers.not_valid as u64);
    }

    /// The failure of the first job that failed in the simulator.
    fn first_failure(&self) -> Option<Capsule> {
        papers(&self.papers).failure.take().map(|(_, capsule)| capsule)
    }

    /// Everything that was run, with its reports written.
    fn runs(&self, scenario: &str, about: &str) -> Result<Runs, Failure> {
        let mut papers = papers(&self.papers);
        let mut runs = Runs::new(scenario, about);
        runs.runs = std::mem::take(&mut papers.runs).into_values().collect();
        papers.folder.reports(&runs).map_err(Failure::broken)?;
        match papers.lost.take() {
            Some(error) => Err(Failure::broken(error)),
            None => Ok(runs),
        }
    }
}

fn write_history(path: &Path, history: &History) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    squall_history::jsonl::write(history, &mut file)?;
    file.flush()
}

fn print(args: &RunArgs, runs: &Runs) -> Result<(), Failure> {
    if args.json {
        say(format_args!("{}", run_json(runs).map_err(Failure::broken)?))?;
    } else {
        let text = Text { color: stdout().is_terminal() }.export(runs).map_err(Failure::broken)?;
        say(format_args!("{}", text.trim_end()))?;
        say(format_args!("report: {}", args.out.join("report.html").display()))?;
    }
    Ok(())
}

fn verdict(runs: &Runs) -> Verdict {
    runs.runs.iter().map(Run::verdict).fold(Verdict::Valid, Verdict::worst)
}
