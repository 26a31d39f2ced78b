//! The user's async code in virtual time: tokio timers, processes, crashes, leaks, and what breaks a run.

use squall_bus::{
    Cluster, ConsumerConfig, ConsumerEvent, ErrorClass, Fault, FaultKind, Main, ProducerConfig, Record, Role,
    Strike, Time, Topic, TopicSpec, Unit,
};
use squall_sim::{
    Simulation,
    kafka::{Kafka, invariants, profile},
    kernel::{Choices, Invariant, LinkSpec, Model},
    runtime::{Broken, Options},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

fn simulation(seed: u64) -> Simulation<Kafka> {
    let choices = Choices::new(seed);
    let model =
        Kafka::new(profile::kafka_4_3_test_cluster(), 3, &choices).expect("three nodes are a cluster");
    Simulation::new(model, choices, LinkSpec::default(), invariants::all())
}

/// Makes a topic with three copies of each partition.
async fn created(cluster: &dyn Cluster, topic: &Topic, partitions: u32) {
    let (topic, config) = (topic.clone(), BTreeMap::new());
    let spec = TopicSpec { topic, partitions, replicas: 3, min_insync: 2, config };
    cluster.admin().create_topics(&[spec]).await.expect("the topic can be");
}

fn options() -> Options {
    Options { watchdog: Some(Duration::from_secs(1)), ..Options::default() }
}

fn fault(id: u32, kind: FaultKind, client: &str) -> Fault {
    Fault { id, kind, role: Role::Client(client.to_owned()), at: Time::ZERO, lasts: Duration::ZERO }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_idle_day_is_over_at_once() {
    let clocks = simulation(1)
        .run(options(), |cluster| async move {
            let start = tokio::time::Instant::now();
            tokio::time::sleep(24 * 3600 * SECOND).await;
            (start.elapsed(), cluster.clock().now())
        })
        .expect("nothing breaks");
    assert_eq!(clocks, (24 * 3600 * SECOND, Time::ZERO + 24 * 3600 * SECOND));
}

/// What an invariant was told of healing, and when it was asked. It lives as long as the world that it is watched in.
#[derive(Clone, Default)]
struct Healings(Arc<Mutex<Vec<(&'static str, Time)>>>);

impl Invariant<Kafka> for Healings {
    fn name(&self) -> &'static str {
        "Healings"
    }

    fn source(&self) -> &'static str {
        "this test"
    }

    fn after(&mut self, _: &Kafka, _: &[<Kafka as Model>::Touch], _: Time) -> Result<(), String> {
        Ok(())
    }

    fn full(&self, _: &Kafka) -> Result<(), String> {
        Ok(())
    }

    fn kinds(&self) -> u8 {
        0
    }

    fn healed(&mut self, _: &Kafka, now: Time) -> Option<Time> {
        self.0.lock().expect("not poisoned").push(("healed", now));
        Some(now + 5 * SECOND)
    }

    fn due(&mut self, _: &Kafka, now: Time) -> Result<Option<Time>, String> {
        self.0.lock().expect("not poisoned").push(("asked", now));
        Ok(None)
    }
}

#[test]
fn what_must_come_true_is_asked_for_when_nothing_is_broken_any_more() {
    let run = |watched: Vec<Box<dyn Invariant<Kafka>>>| {
        let choices = Choices::new(1);
        let model =
            Kafka::new(profile::kafka_4_3_test_cluster(), 3, &choices).expect("three nodes are a cluster");
        let simulation = Simulation::new(model, choices, LinkSpec::default(), watched);
        simulation
            .run(options(), |cluster| async move {
                let clock = cluster.clock();
                let at = |node, id| Fault { role: Role::Node(node), ..fault(id, FaultKind::Kill, "") };
                let strike = async |fault: &Fault| match cluster.strike(fault).await {
                    Ok(squall_bus::Strike::Hit(struck)) => struck,
                    other => panic!("it hits: {other:?}"),
                };
                let first = strike(&at(1, 1)).await;
                clock.sleep(SECOND).await;
                let second = strike(&at(2, 2)).await;
                clock.sleep(SECOND).await;
                cluster.heal(&first).await.expect("it is healed");
                clock.sleep(10 * SECOND).await;
                // At 12 s nothing is broken, at 14 s something is before anybody was asked.
                cluster.heal(&second).await.expect("it is healed");
                clock.sleep(2 * SECOND).await;
                strike(&at(3, 3)).await;
                clock.sleep(10 * SECOND).await;
                cluster.heal_all().await.expect("it is healed");
                clock.sleep(10 * SECOND).await;
            })
            .expect("nothing breaks");
        simulation.hash()
    };
    let told = Healings::default();
    let hash = run(vec![Box::new(told.clone())]);
    let at = |seconds: u64| Time::from_millis(1_000 * seconds);
    let told = told.0.lock().expect("not poisoned").clone();
    assert_eq!(told, [("healed", at(12)), ("healed", at(24)), ("asked", at(29))]);
    assert_eq!(run(Vec::new()), hash, "to be asked is no event");
}

#[test]
fn nothing_of_a_run_outlives_it() {
    for watchdog in [None, Some(SECOND)] {
        let (witness, choices) = (Healings::default(), Choices::new(1));
        let model =
            Kafka::new(profile::kafka_4_3_test_cluster(), 3, &choices).expect("three nodes are a cluster");
        let watched: Vec<Box<dyn Invariant<Kafka>>> = vec![Box::new(witness.clone())];
        let simulation = Simulation::new(model, choices, LinkSpec::default(), watched);
        simulation
            .run(Options { watchdog, ..Options::default() }, |cluster| async move {
                let clock = cluster.clock();
                let waiting = cluster.clock();
                tokio::spawn(async move { waiting.sleep(3600 * SECOND).await });
                clock.sleep(SECOND).await;
            })
            .expect("nothing breaks");
        drop(simulation);
        assert_eq!(Arc::strong_count(&witness.0), 1, "with the watchdog {watchdog:?}");
    }
}

#[test]
fn tokios_timers_and_the_bus_clock_come_in_order() {
    let order = simulation(1)
        .run(options(), |cluster| async move {
            let order: Arc<Mutex<Vec<u32>>> = Arc::default();
            let note = |number| {
                let order = Arc::clone(&order);
                move || order.lock().expect("no panic").push(number)
            };
            let clock = cluster.clock();
            let (first, second, third, fourth) = (note(1), note(2), note(3), note(4));
            let bus = clock.clone();
            tokio::join!(
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    second();
                },
                async move {
                    bus.sleep(Duration::from_micros(10_500)).await;
                    first();
                },
                async move {
                    clock.sleep(Duration::from_micros(20_700)).await;
                    third();
                },
                async move {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    fourth();
                },
            );
            Arc::try_unwrap(order).expect("all are done").into_inner().expect("no panic")
        })
        .expect("nothing breaks");
    assert_eq!(order, [1, 2, 3, 4]);
}

#[test]
fn the_clock_of_the_bus_has_a_finer_grain_than_tokios() {
    let woke = simulation(1)
        .run(options(), |cluster| async move {
            let clock = cluster.clock();
            clock.sleep_until(Time(1_234_567)).await;
            clock.now()
        })
        .expect("nothing breaks");
    assert_eq!(woke, Time(1_234_567));
}

#[test]
fn a_crash_drops_the_tasks_of_a_process_and_nothing_else() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (dropped, other) = simulation(1)
        .run(options(), |cluster| async move {
            let (dropped, ticks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
            let guard = Dropped(Arc::clone(&dropped));
            cluster.proc("victim").spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            let counted = Arc::clone(&ticks);
            cluster.proc("bystander").spawn(async move {
                loop {
                    tokio::time::sleep(SECOND).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            tokio::time::sleep(SECOND).await;
            assert!(!dropped.load(Ordering::Relaxed));
            cluster.strike(&fault(0, FaultKind::Kill, "victim")).await.expect("a client can be killed");
            tokio::time::sleep(10 * SECOND).await;
            (dropped.load(Ordering::Relaxed), ticks.load(Ordering::Relaxed))
        })
        .expect("nothing breaks");
    assert!(dropped);
    assert!((10..=11).contains(&other), "{other}");
}

#[test]
fn a_task_that_leaked_out_of_its_process_can_do_nothing_and_is_reported() {
    let simulation = simulation(1);
    let (error, slept) = simulation
        .run(options(), |cluster| async move {
            let proc = cluster.proc("leaky");
            let bus = cluster.bus_of(&proc);
            let (kept, clock) = (Arc::clone(&bus), bus.clock());
            let slept = Arc::new(AtomicBool::new(false));
            let woke = Arc::clone(&slept);
            proc.spawn(async move {
                // Outside of the process: exactly what Proc::spawn is there to prevent.
                tokio::spawn(async move {
                    tokio::time::sleep(5 * SECOND).await;
                    clock.sleep(SECOND).await;
                    woke.store(true, Ordering::Relaxed);
                });
            });
            tokio::time::sleep(SECOND).await;
            cluster.strike(&fault(0, FaultKind::Kill, "leaky")).await.expect("a client can be killed");
            tokio::time::sleep(60 * SECOND).await;
            let error =
                kept.producer(squall_bus::ProducerConfig::new("leaky")).err().expect("its bus is dead");
            std::mem::forget(kept);
            (error, slept.load(Ordering::Relaxed))
        })
        .expect("nothing breaks");
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(!slept, "the clock of a crashed process wakes nobody");
    let warnings = simulation.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].to_string().starts_with("process leaky crashed in incarnation 0"), "{}", warnings[0]);
}

#[test]
fn a_paused_process_is_not_polled_until_it_is_resumed() {
    let seen = simulation(1)
        .run(options(), |cluster| async move {
            let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
            let (kept, clock) = (Arc::clone(&seen), cluster.clock());
            cluster.proc("sleepy").spawn(async move {
                loop {
                    tokio::time::sleep(SECOND).await;
                    kept.lock().expect("no panic").push(clock.now().as_millis() / 1_000);
                }
            });
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let strike =
                cluster.strike(&fault(0, FaultKind::Pause, "sleepy")).await.expect("it can be paused");
            tokio::time::sleep(10 * SECOND).await;
            let squall_bus::Strike::Hit(struck) = strike else { panic!("it hit nobody") };
            cluster.heal(&struck).await.expect("it can be resumed");
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            seen.lock().expect("no panic").clone()
        })
        .expect("nothing breaks");
    assert_eq!(seen, [1, 2, 12, 13]);
}

/// It cannot take its leave: were it only asked to, it would go on with its membership when it is resumed.
#[test]
fn a_frozen_process_that_is_restarted_leaves_nobody_behind() {
    for kind in [FaultKind::Restart, FaultKind::Stop] {
        let owned = simulation(3)
            .run(Options { host_timers: false, ..options() }, move |cluster| async move {
                let topic = Topic::new("orders");
                created(&*cluster, &topic, 2).await;
                let owned: Arc<Mutex<Vec<(u32, Time)>>> = Arc::default();
                let told = Arc::clone(&owned);
                let main: Main = Arc::new(move |bus, life| {
                    let (told, topic) = (Arc::clone(&told), topic.clone());
                    Box::pin(async move {
                        let config = ConsumerConfig::group("member", "billing", &[topic]);
                        let member = bus.consumer(config).expect("a consumer");
                        loop {
                            if let ConsumerEvent::Assigned(_) = member.event().await {
                                told.lock().expect("no panic").push((life.0, bus.clock().now()));
                            }
                        }
                    })
                });
                let clock = cluster.clock();
                cluster.start("member", main);
                clock.sleep(20 * SECOND).await;
                let frozen = fault(0, FaultKind::Pause, "member");
                cluster.strike(&frozen).await.expect("it freezes");
                clock.sleep(SECOND).await;
                cluster.strike(&fault(1, kind, "member")).await.expect("it ends");
                clock.sleep(SECOND).await;
                cluster.heal_all().await.expect("all can be healed");
                clock.sleep(100 * SECOND).await;
                owned.lock().expect("no panic").clone()
            })
            .expect("nothing breaks");
        let lives: Vec<u32> = owned.iter().map(|(life, _)| *life).collect();
        assert_eq!(lives, [0, 1], "{kind:?}: the next one is assigned when the session of the last is over");
        assert!(owned[1].1 < Time::ZERO + 80 * SECOND, "{kind:?}: {owned:?}");
    }
}

/// What a process was about to send when it is asked to stop it still sends, for ten seconds; the next one begins when it
/// is gone.
#[test]
fn a_process_that_is_restarted_is_gone_before_the_next_begins() {
    for (reachable, least, most) in [(true, 0, 1_000), (false, 10_000, 10_000)] {
        let took = simulation(2)
            .run(Options { host_timers: false, ..options() }, move |cluster| async move {
                let topic = Topic::new("orders");
                created(&*cluster, &topic, 1).await;
                let began: Arc<Mutex<Vec<Time>>> = Arc::default();
                let (told, orders) = (Arc::clone(&began), topic.clone());
                let main: Main = Arc::new(move |bus, life| {
                    let (told, orders) = (Arc::clone(&told), orders.clone());
                    Box::pin(async move {
                        told.lock().expect("no panic").push(bus.clock().now());
                        let producer = bus.producer(ProducerConfig::new("shop")).expect("a producer");
                        if life.0 == 0 {
                            bus.clock().sleep(2 * SECOND).await;
                            let _ = producer.send(Record::new(&orders, None, vec![1].into())).await;
                        }
                        std::future::pending::<()>().await;
                    })
                });
                let clock = cluster.clock();
                clock.sleep(SECOND).await;
                cluster.start("shop", main);
                clock.sleep(SECOND).await;
                if !reachable {
                    cluster.strike(&fault(0, FaultKind::Isolate, "shop")).await.expect("it is cut off");
                }
                clock.sleep(SECOND + Duration::from_millis(1)).await;
                let asked = clock.now();
                cluster.strike(&fault(1, FaultKind::Restart, "shop")).await.expect("it can be restarted");
                clock.sleep(SECOND).await;
                cluster.heal_all().await.expect("all can be healed");
                clock.sleep(60 * SECOND).await;
                let (_, end) = cluster.admin().bounds(&Unit::new(&topic, 0)).await.expect("it has bounds");
                assert_eq!(end.0, u64::from(reachable), "what it had in hand when it was ended is gone");
                began.lock().expect("no panic")[1].since(asked)
            })
            .expect("nothing breaks");
        assert!((least..=most).contains(&took.as_millis()), "{took:?}");
    }
}

/// Nodes count from 1.
#[test]
fn a_fault_on_a_node_that_there_is_not_hits_nobody() {
    let hit = simulation(1)
        .run(Options { host_timers: false, ..options() }, |cluster| async move {
            let mut hit = Vec::new();
            for number in [0, 3, 4] {
                let fault = Fault { role: Role::Node(number), ..fault(number, FaultKind::Pause, "") };
                if let Ok(Strike::Hit(struck)) = cluster.strike(&fault).await {
                    hit.extend(struck.nodes);
                }
            }
            hit
        })
        .expect("nothing breaks");
    assert_eq!(hit, [3]);
}

#[test]
fn a_call_right_after_opening_is_heard() {
    let (sent, closed) = simulation(4)
        .run(Options { host_timers: false, ..options() }, |cluster| async move {
            let topic = Topic::new("orders");
            created(&*cluster, &topic, 1).await;
            let bus = cluster.bus();
            let producer = bus.producer(ProducerConfig::new("shop")).expect("a producer");
            let sent = producer.send(Record::new(&topic, None, vec![1].into())).await.is_ok();
            let member =
                bus.consumer(ConsumerConfig::group("member", "billing", &[topic])).expect("a consumer");
            member.close().await;
            (sent, cluster.clock().now())
        })
        .expect("nothing breaks");
    assert!(sent && closed < Time::ZERO + SECOND, "{closed}");
}

#[test]
fn a_restarted_process_is_another_incarnation_with_a_bus_that_works() {
    let lives = simulation(1)
        .run(options(), |cluster| async move {
            let lives: Arc<Mutex<Vec<(u32, bool)>>> = Arc::default();
            let kept = Arc::clone(&lives);
            let main: squall_bus::Main = Arc::new(move |bus, life| {
                let kept = Arc::clone(&kept);
                Box::pin(async move {
                    let opens = bus.producer(squall_bus::ProducerConfig::new("service")).is_ok();
                    kept.lock().expect("no panic").push((life.0, opens));
                    std::future::pending::<()>().await;
                })
            });
            cluster.start("service", main);
            tokio::time::sleep(SECOND).await;
            cluster.strike(&fault(0, FaultKind::Restart, "service")).await.expect("it can be restarted");
            tokio::time::sleep(SECOND).await;
            assert!(cluster.running("service"));
            lives.lock().expect("no panic").clone()
        })
        .expect("nothing breaks");
    assert_eq!(lives, [(0, true), (1, true)]);
}

#[test]
fn a_task_that_yields_without_end_breaks_the_run() {
    let broken = simulation(1)
        .run(options(), |cluster| async move {
            cluster.proc("spinner").spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            std::future::pending::<()>().await;
        })
        .expect_err("it never lets time pass");
    assert_eq!(broken, Broken::EndlessYield { process: Some("spinner".to_owned()) });
}

#[test]
fn a_main_that_yields_without_end_breaks_the_run() {
    let broken = simulation(1)
        .run(options(), |_| async {
            loop {
                tokio::task::yield_now().await;
            }
        })
        .expect_err("it never lets time pass");
    assert_eq!(broken, Broken::EndlessYield { process: Some("main".to_owned()) });
}

#[test]
fn a_task_that_blocks_the_thread_breaks_the_run() {
    let broken = simulation(1)
        .run(options(), |cluster| async move {
            cluster.proc("blocker").spawn(async {
                std::thread::sleep(Duration::from_secs(30));
            });
            std::future::pending::<()>().await;
        })
        .expect_err("it blocks");
    assert_eq!(broken, Broken::BlockingCall { process: Some("blocker".to_owned()) });
}

#[test]
fn a_livelock_of_events_breaks_the_run_at_its_cap() {
    let options = Options { max_events: 10_000, ..options() };
    let broken = simulation(1)
        .run(options, |cluster| async move {
            let clock = cluster.clock();
            loop {
                clock.sleep(Duration::from_nanos(1)).await;
            }
        })
        .expect_err("it never ends");
    assert!(matches!(broken, Broken::TooManyEvents { events: 10_000, .. }), "{broken}");
}

#[test]
fn a_panic_in_a_process_is_named() {
    let broken = simulation(1)
        .run(options(), |cluster| async move {
            cluster.proc("fragile").spawn(async { panic!("the table is gone") });
            std::future::pending::<()>().await;
        })
        .expect_err("it panics");
    let panicked =
        Broken::Panicked { process: "fragile".to_owned(), message: "the table is gone".to_owned() };
    assert_eq!(broken, panicked);
}

#[test]
fn a_run_in_which_nothing_can_happen_any_more_does_not_hang() {
    let options = Options { max_events: 50_000, ..options() };
    let broken = simulation(1).run(options, |_| std::future::pending::<()>()).expect_err("nobody ever wakes");
    assert!(matches!(broken, Broken::TooManyEvents { .. } | Broken::Stalled), "{broken}");
}

#[test]
fn equal_seeds_have_equal_hashes_with_the_users_code_in_between() {
    let hash = |seed| {
        let simulation = simulation(seed);
        simulation
            .run(options(), |cluster| async move {
                let topic = Topic::new("orders");
                created(&*cluster, &topic, 3).await;
                let producer =
                    cluster.bus().producer(squall_bus::ProducerConfig::new("p")).expect("a producer");
                tokio::time::sleep(5 * SECOND).await;
                for number in 0..50_u32 {
                    producer.ready().await.expect("room");
                    let value = number.to_string().into_bytes();
                    let record = squall_bus::Record::new(&topic, None, value.into());
                    assert!(producer.send(record).await.is_ok());
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            })
            .expect("nothing breaks");
        simulation.hash()
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
fn faults_that_overlap_on_one_node_hold_it_until_the_last_is_healed() {
    use FaultKind::{Kill, Pause, PowerFail, Restart, Stop};
    for (first, second) in [Kill, Stop, Restart, Pause, PowerFail]
        .into_iter()
        .flat_map(|first| [Kill, Stop, Restart, Pause, PowerFail].map(|second| (first, second)))
    {
        simulation(1)
            .run(options(), move |cluster| async move {
                let on_node = |id, kind| Fault { role: Role::Node(2), ..fault(id, kind, "") };
                let hit = |strike| match strike {
                    squall_bus::Strike::Hit(struck) => struck,
                    squall_bus::Strike::Nobody => panic!("a node is always there"),
                };
                let first = hit(cluster.strike(&on_node(0, first)).await.expect("it strikes"));
                // Side by side, as in a run: a restart of a frozen node is over only when the node goes on.
                let (one, other) = tokio::join!(
                    async {
                        tokio::time::sleep(3 * SECOND).await;
                        let second = hit(cluster.strike(&on_node(1, second)).await.expect("it strikes"));
                        tokio::time::sleep(3 * SECOND).await;
                        cluster.heal(&second).await
                    },
                    async {
                        tokio::time::sleep(9 * SECOND).await;
                        cluster.heal(&first).await
                    },
                );
                one.and(other).expect("both are healed");
                let clock = cluster.clock();
                clock.sleep(60 * SECOND).await;
            })
            .unwrap_or_else(|broken| panic!("{first:?} and {second:?}: {broken}"));
    }
}
