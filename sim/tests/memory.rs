//! How much memory a run takes: in proportion to what its brokers store, and not to how long it lasts.
//! `cargo test -p squall-sim --test memory -- --nocapture` prints bytes a record.
#![expect(unsafe_code, reason = "counting bytes takes an allocator of one's own")]

use bytes::Bytes;
use squall_bus::{
    AckModel, Bus, Cluster, ClusterSpec, ConsumerConfig, Error, ProducerConfig, Record, Topic, TopicSpec,
};
use squall_sim::{BUSES, SimulatedMain, kernel::Choices, open, runtime::Options};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

thread_local! {
    /// Bytes that this thread has allocated and not given back: a run stays on its caller's thread, and the test
    /// harness allocates in its own.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn grown(bytes: usize) {
    LIVE.set(LIVE.get() + isize::try_from(bytes).unwrap_or(isize::MAX));
}

fn shrunk(bytes: usize) {
    LIVE.set(LIVE.get() - isize::try_from(bytes).unwrap_or(isize::MAX));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        shrunk(layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn live() -> usize {
    usize::try_from(LIVE.get()).unwrap_or(0)
}

/// Bytes of a record's key and value.
const SIZE: usize = 8 + 100;

/// What a run holds, in bytes beyond what was there before it.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// When every record is stored and read.
    stored: usize,
    /// When nothing has happened for a long time since.
    later: usize,
}

async fn prepare(cluster: &dyn Cluster, config: BTreeMap<String, String>) {
    let topic = Topic::new("orders");
    let specs = [TopicSpec { topic, partitions: 3, replicas: 3, min_insync: 2, config }];
    let (admin, clock) = (cluster.admin(), cluster.clock());
    while admin.create_topics(&specs).await.is_err() {
        clock.sleep(Duration::from_millis(100)).await;
    }
}

async fn produce(bus: Arc<dyn Bus>, records: u32) -> Result<(), Error> {
    let topic = Topic::new("orders");
    let producer = bus.producer(ProducerConfig { idempotent: true, ..ProducerConfig::new("producer") })?;
    for number in 0..records {
        producer.ready().await?;
        let key = Bytes::copy_from_slice(&u64::from(number % 64).to_be_bytes());
        let sending = producer.send(Record::new(&topic, Some(key), Bytes::from(vec![b'.'; SIZE - 8])));
        // A batch for each hundred.
        if number % 100 == 99 {
            assert!(sending.await.is_ok(), "nothing can fail here");
        }
    }
    producer.flush().await
}

/// A cluster of three nodes with three copies of so many records, all of them read; then an idle hour.
fn run(bus: &str, records: u32, config: &[(&str, &str)]) -> Held {
    let before = live();
    let simulation = open(bus, ClusterSpec::of(3), Choices::new(1)).expect("a model of the bus");
    let (stored, later) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (then, much_later) = (Arc::clone(&stored), Arc::clone(&later));
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let main: SimulatedMain = Box::new(move |cluster| {
        Box::pin(async move {
            prepare(&*cluster, config).await;
            let producing: squall_bus::Main = Arc::new(move |bus, _| {
                Box::pin(async move { produce(bus, records).await.expect("nothing can fail here") })
            });
            cluster.start("producer", producing);
            let bus = cluster.bus();
            let consumer = bus
                .consumer(ConsumerConfig::group("reader", "readers", &["orders".into()]))
                .expect("a consumer");
            for _ in 0..records {
                let delivery = consumer.next().await.expect("a record");
                if bus.capabilities().ack_model == AckModel::Individual {
                    assert!(consumer.ack(&delivery).await.is_ok(), "nothing can fail here");
                }
            }
            then.store(live().saturating_sub(before), Ordering::Relaxed);
            cluster.clock().sleep(Duration::from_secs(3_600)).await;
            much_later.store(live().saturating_sub(before), Ordering::Relaxed);
        })
    });
    let options = Options { host_timers: false, watchdog: None, ..Options::default() };
    simulation.run(options, main).expect("the run ends");
    drop(simulation);
    let left = live().saturating_sub(before);
    let held = Held { stored: stored.load(Ordering::Relaxed), later: later.load(Ordering::Relaxed) };
    assert!(left < 64 * 1024, "{left} bytes are left of a run that is over and dropped");
    held
}

/// Of what is stored, records times so many bytes; twice as many records take twice as much.
#[test]
fn a_run_takes_memory_in_proportion_to_what_it_stores() {
    for bus in BUSES {
        let none = run(bus, 1, &[]);
        let each = |records: u32| (run(bus, records, &[]).stored - none.stored) / records as usize;
        let [few, many, more] = [2_000, 4_000, 8_000].map(each);
        println!(
            "{bus}: {} KiB without records, then {few}, {many} and {more} bytes a record of {SIZE}",
            none.stored / 1024
        );
        assert!(few.max(many).max(more) * 2 <= few.min(many).min(more) * 3, "{bus}: {few} {many} {more}");
        // Three copies, and a record is kept once.
        assert!(more >= SIZE, "{bus}: {more}");
    }
}

/// Of the model of Kafka: on NATS each pull request that waits is written to the Raft log of its consumer, and none of
/// those is ever compacted.
#[test]
fn time_that_passes_takes_no_memory() {
    let held = run("kafka", 2_000, &[]);
    println!("kafka: {} KiB stored, {} KiB an hour later", held.stored / 1024, held.later / 1024);
    assert!(held.later <= held.stored + 64 * 1024, "{held:?}");
}

#[test]
fn what_retention_deletes_gives_its_memory_back() {
    let held = run("kafka", 4_000, &[("retention.ms", "600000")]);
    println!("kafka: {} KiB stored, {} KiB when it is deleted", held.stored / 1024, held.later / 1024);
    assert!(held.later * 2 <= held.stored, "{held:?}");
}
