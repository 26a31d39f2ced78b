//! Storms whose body does what the seed does not decide, and then fails.

use squall_bus::{Error, ProducerConfig, Record, Topic};
use squall_sim::storm::{Run, Storm, Trial};
use std::{
    collections::HashSet,
    future::ready,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, SystemTime},
};

/// What a body lets decide what it sends and when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plant {
    Nothing,
    HashOrder,
    Randomness,
    Clock,
    Thread,
    Select,
    Static,
}

/// The bytes of each record that the body sends, and how long it waits before.
fn planted(plant: Plant) -> (Vec<usize>, Duration) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let rising: Vec<usize> = (1..30).map(|number| number * 100).collect();
    let some = |bytes: [u8; 16]| {
        let pairs = bytes.chunks(2).map(|pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
        pairs.map(|size| 100 + size % 9_973).collect()
    };
    match plant {
        Plant::Nothing => (rising, Duration::ZERO),
        Plant::HashOrder => {
            (rising.into_iter().collect::<HashSet<_>>().into_iter().collect(), Duration::ZERO)
        }
        Plant::Randomness => (some(uuid::Uuid::new_v4().into_bytes()), Duration::ZERO),
        Plant::Clock => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            (rising, Duration::from_millis(1 + u64::from(now.subsec_nanos()) % 977))
        }
        Plant::Thread => {
            let drawn = thread::spawn(|| uuid::Uuid::new_v4().into_bytes());
            (some(drawn.join().expect("no panic")), Duration::ZERO)
        }
        Plant::Select => (Vec::new(), Duration::ZERO),
        Plant::Static => (rising, Duration::from_millis(1 + CALLS.fetch_add(1, Ordering::Relaxed))),
    }
}

async fn body(trial: Trial, plant: Plant) -> Result<(), Error> {
    let (mut sizes, wait) = planted(plant);
    if matches!(plant, Plant::Select) {
        for _ in 0..30 {
            sizes.push(tokio::select! {
                () = ready(()) => 100,
                () = ready(()) => 1_000,
                () = ready(()) => 5_000,
            });
        }
    }
    if !wait.is_zero() {
        trial.clock().sleep(wait).await;
    }
    let producer = trial.bus("shop").producer(ProducerConfig::new("shop"))?;
    for size in sizes {
        producer.ready().await?;
        let _ = producer.send(Record::new(&Topic::new("orders"), None, vec![b'.'; size].into())).await;
    }
    if trial.seed() == FAILS { Err(Error::closed()) } else { Ok(()) }
}

/// The seed that fails; others run before it in the same process.
const FAILS: u64 = 2;

/// The seed that fails, confirmed.
pub(crate) fn confirmed(plant: Plant) -> Run {
    let sweep = Storm::kafka().topic("orders", 1).seeds(0..FAILS + 1).run(move |trial| body(trial, plant));
    sweep.runs.into_iter().find(|run| !run.is_valid()).expect("the body gives up")
}

/// Says that this seed repeats everywhere.
pub(crate) fn assert_repeats(plant: Plant) {
    let run = confirmed(plant);
    assert_eq!((run.repeats, &run.notes), (Some(true), &Vec::new()), "{plant:?}");
}

/// Says that this seed does not repeat, and that this is named as the likely cause.
pub(crate) fn assert_suspected(plant: Plant, cause: &str) {
    let run = confirmed(plant);
    assert_eq!(run.repeats, Some(false), "{plant:?}");
    let told = run.notes.join("\n");
    let likely = told.lines().find_map(|line| line.trim().strip_prefix("likely cause: ")).unwrap_or_default();
    assert!(likely.contains(cause), "{plant:?}: {told}");
    assert!(told.contains("process: "), "an event of each side: {told}");
}
