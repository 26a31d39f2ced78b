//! What a service of a user's takes from its surroundings, in a simulated run of one seed in a process of its own.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod storms;

use squall_bus::{ClusterSpec, Outcome, ProducerConfig, Record, Topic, TopicSpec};
use squall_sim::{
    kernel::Choices,
    runtime::{Options, ambient::Ambient},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env,
    fmt::Debug,
    future::{Future, ready},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The seed that a child is to run.
const SEED: &str = "SQUALL_PIN_PROBE_SEED";
/// What a line of a child's output begins with that is meant for its parent.
const MARK: &str = "probe: ";

/// Runs this in a simulated cluster of this seed. What it gives back, and what it took from its surroundings.
pub(crate) fn inside<T, F>(seed: u64, main: impl FnOnce() -> F + Send + 'static) -> (T, Ambient)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let cluster = squall_sim::open("kafka", ClusterSpec::of(3), Choices::new(seed)).expect("a model");
    let result: Arc<Mutex<Option<T>>> = Arc::default();
    let kept = Arc::clone(&result);
    let body: squall_sim::SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            // Virtual time that the seed decides goes by.
            let spec = TopicSpec {
                topic: Topic::new("orders"),
                partitions: 1,
                replicas: 3,
                min_insync: 2,
                config: BTreeMap::new(),
            };
            while cluster.admin().create_topics(std::slice::from_ref(&spec)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let producer = cluster.bus().producer(ProducerConfig::new("shop")).expect("a producer");
            producer.ready().await.expect("a leader");
            let sent = producer.send(Record::new(&spec.topic, None, "an order".into()));
            assert!(matches!(sent.await, Outcome::Ok(_)));
            let value = main().await;
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        })
    });
    cluster.run(Options::default(), body).expect("nothing breaks");
    let value = result.lock().unwrap_or_else(PoisonError::into_inner).take().expect("the body ended");
    (value, cluster.footprint().ambient)
}

/// Everything that a seed should decide, by name.
async fn probes() -> Vec<(&'static str, String)> {
    fn text(value: impl Debug) -> String {
        format!("{value:?}")
    }
    let mut branches = String::new();
    for _ in 0..64 {
        branches.push(tokio::select! {
            () = ready(()) => 'a',
            () = ready(()) => 'b',
            () = ready(()) => 'c',
        });
    }
    let map: HashMap<u32, ()> = (0..40).map(|key| (key, ())).collect();
    let set: HashSet<String> = (0..40).map(|key| key.to_string()).collect();
    tokio::time::sleep(Duration::from_millis(3)).await;
    vec![
        ("HashMap", text(map.keys())),
        ("HashSet", text(set)),
        ("select", branches),
        ("rand 0.8", text(rand_0_8::random::<u64>())),
        ("rand 0.9", text(rand_0_9::random::<u64>())),
        ("rand 0.10", text(rand_0_10::random::<u64>())),
        ("uuid", uuid::Uuid::new_v4().to_string()),
        ("SystemTime", text(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH))),
        ("Instant", text(Instant::now())),
    ]
}

/// What the probes show for a seed in a fresh process that runs this test alone. In that process: shows it.
pub(crate) fn in_a_fresh_process(test: &str, seed: u64) -> Vec<(String, String)> {
    let output = Command::new(env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture"])
        .env(SEED, seed.to_string())
        .output()
        .expect("the child runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let lines = said.lines().filter_map(|line| line.split_once(MARK));
    let values =
        lines.filter_map(|(_, line)| line.split_once('=')).map(|(name, value)| (name.into(), value.into()));
    values.collect()
}

/// In a child: shows what the probes show for its seed. Whether this is one.
pub(crate) fn is_child() -> bool {
    let Ok(seed) = env::var(SEED) else { return false };
    let seed = seed.parse().expect("a seed");
    println!();
    for (name, value) in inside(seed, probes).0 {
        println!("{MARK}{name}={value}");
    }
    true
}

/// The names of the probes that show the same in both.
pub(crate) fn equal<'a>(a: &'a [(String, String)], b: &[(String, String)]) -> Vec<&'a str> {
    assert_eq!(a.len(), 9, "every probe shows something");
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a == b).map(|(a, _)| &*a.0).collect()
}
