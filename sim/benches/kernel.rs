//! Kernel events per second, beside a bare binary heap that pops and pushes as many.
//!
//! The model is as small as one can be: nodes in a ring that pass messages on. So this measures heap, network,
//! choices and hash, and no broker. The heap loop is the floor: what no kernel on one heap can beat.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall_sim::kernel::{Choices, ConnId, Ctx, Digest, Event, LinkSpec, Message, Model, NodeId, World, mix};
use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box};

/// Events in one measurement.
const EVENTS: u64 = 10_000;
/// Nodes in the ring.
const NODES: u32 = 16;
/// Messages under way, and so entries in the heap.
const UNDER_WAY: u32 = 256;

#[derive(Debug)]
struct Token(u64);

impl Digest for Token {
    fn digest(&self) -> u64 {
        self.0
    }
}

impl Message for Token {
    fn size(&self) -> u32 {
        100
    }

    fn acknowledges_write(&self) -> bool {
        false
    }
}

/// A timer that is never set.
#[derive(Clone, Copy, Debug)]
struct Never;

impl Digest for Never {
    fn digest(&self) -> u64 {
        0
    }
}

/// Each node's connection to the next.
#[derive(Default)]
struct Ring(Vec<Option<ConnId>>);

impl Model for Ring {
    type Msg = Token;
    type Timer = Never;
    type Call = Token;
    type Output = ();
    type Touch = ();

    fn on(&mut self, node: NodeId, event: Event<Token, Never>, ctx: &mut Ctx<'_, Self>) {
        match event {
            Event::Connected(conn) => {
                self.0[node.index()] = Some(conn);
                for token in 0..UNDER_WAY / NODES {
                    ctx.send(conn, Token(u64::from(token)));
                }
            }
            Event::Message(_, Token(hops)) => {
                if let Some(conn) = self.0[node.index()] {
                    ctx.send(conn, Token(hops + 1));
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, node: NodeId, _: Token, ctx: &mut Ctx<'_, Self>) {
        let _ = ctx.connect(NodeId((node.0 + 1) % NODES));
    }
}

fn ring() -> World<Ring> {
    let mut world = World::new(Ring(vec![None; NODES as usize]), Choices::new(1), LinkSpec::default());
    let nodes: Vec<NodeId> = (0..NODES).map(|number| world.add_node(&format!("node-{number}"))).collect();
    for node in &nodes {
        world.start(*node);
    }
    for _ in &nodes {
        assert!(world.step(), "every node boots");
    }
    for node in &nodes {
        world.call(*node, Token(0));
    }
    for _ in 0..EVENTS {
        assert!(world.step(), "the ring never rests");
    }
    world
}

fn kernel(c: &mut Criterion) {
    let mut group = c.benchmark_group("events");
    group.throughput(Throughput::Elements(EVENTS));
    let mut world = ring();
    group.bench_function("kernel", |b| {
        b.iter(|| {
            for _ in 0..EVENTS {
                black_box(world.step());
            }
        });
    });
    let mut heap: BinaryHeap<_> =
        (0..u64::from(UNDER_WAY)).map(|sequence| Reverse((sequence, sequence, 0_u64))).collect();
    let mut sequence = u64::from(UNDER_WAY);
    group.bench_function("bare heap", |b| {
        b.iter(|| {
            for _ in 0..EVENTS {
                let Some(Reverse((time, _, payload))) = heap.pop() else { break };
                sequence += 1;
                heap.push(Reverse((time + mix(payload, sequence) % 1_000_000, sequence, payload + 1)));
            }
            black_box(heap.len())
        });
    });
    group.finish();
}

criterion_group!(benches, kernel);
criterion_main!(benches);
