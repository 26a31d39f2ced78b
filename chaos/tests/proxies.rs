//! Proxies on real sockets: every byte arrives in order, or the connection breaks.

use proptest::prelude::*;
use squall_adapters::providers::link::{Link, LinkKind};
use squall_chaos::{
    ChaosError,
    kafka::{Kafka, PRODUCE},
    links::{Heal, Links},
    protocol::{Label, Opaque, Protocol},
    rules::{Aim, Budget, Direction, LinkFault},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// A server that sends back what it gets, and a proxy in front of it.
async fn echo(protocol: Arc<dyn Protocol>) -> (Links, SocketAddr) {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
    let forward = server.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    linked(forward, protocol).await
}

async fn linked(forward: SocketAddr, protocol: Arc<dyn Protocol>) -> (Links, SocketAddr) {
    let listen =
        TcpListener::bind("127.0.0.1:0").await.expect("it listens").local_addr().expect("its address");
    let link = Link { from: None, to: 1, kind: LinkKind::Client, listen, forward };
    (Links::bind(&[link], &protocol).expect("proxies listen"), listen)
}

fn opaque() -> Arc<dyn Protocol> {
    Arc::new(Opaque)
}

/// A Kafka request: an api key, a correlation id, a client id and 20 bytes more.
fn request(key: i16, correlation: i32, client: &str) -> Vec<u8> {
    let mut bytes = (10 + client.len() as i32 + 20).to_be_bytes().to_vec();
    bytes.extend(key.to_be_bytes());
    bytes.extend(9i16.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    bytes.extend((client.len() as i16).to_be_bytes());
    bytes.extend(client.as_bytes());
    bytes.extend([1; 20]);
    bytes
}

/// A server that answers each request with its correlation id.
async fn broker() -> (Links, SocketAddr) {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
    let forward = server.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                while let Ok(size) = stream.read_i32().await {
                    let mut request = vec![0; size as usize];
                    stream.read_exact(&mut request).await?;
                    stream.write_all(&[&4i32.to_be_bytes(), &request[4..8]].concat()).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    linked(forward, Arc::new(Kafka)).await
}

/// Sends a request and waits for its response; whether it came.
async fn call(stream: &mut TcpStream, request: &[u8], within: Duration) -> Result<bool, std::io::Error> {
    stream.write_all(request).await?;
    let mut response = [0; 8];
    match timeout(within, stream.read_exact(&mut response)).await {
        Ok(read) => read.map(|_| response[4..] == request[8..12]),
        Err(_) => Ok(false),
    }
}

#[test]
fn a_cut_holds_bytes_and_new_connections_until_it_heals() {
    run(async {
        let (links, at) = echo(opaque()).await;
        let mut old = TcpStream::connect(at).await.expect("connected");
        old.write_all(b"one").await.expect("written");
        let mut got = [0; 3];
        old.read_exact(&mut got).await.expect("echoed");
        let fault = links.new_fault();
        assert_eq!(links.strike(fault, |_| true, &Aim::Everyone, &LinkFault::Cut), 1);
        let mut new = TcpStream::connect(at).await.expect("accepted");
        for stream in [&mut old, &mut new] {
            stream.write_all(b"two").await.expect("written");
            assert!(timeout(MS(60), stream.read_exact(&mut got)).await.is_err());
        }
        links.heal(fault, Heal::Resume);
        for stream in [&mut old, &mut new] {
            timeout(MS(2000), stream.read_exact(&mut got)).await.expect("in time").expect("echoed");
            assert_eq!(&got, b"two");
        }
    });
}

#[test]
fn healing_with_a_reset_breaks_what_waited() {
    run(async {
        let (links, at) = echo(opaque()).await;
        let mut stream = TcpStream::connect(at).await.expect("connected");
        let fault = links.new_fault();
        links.strike(fault, |_| true, &Aim::Everyone, &LinkFault::Cut);
        stream.write_all(b"x").await.expect("written");
        sleep(MS(30)).await;
        links.heal(fault, Heal::Reset);
        let read = timeout(MS(2000), stream.read_u8()).await.expect("in time");
        assert!(read.is_err());
        while links.open_connections(|_| true) > 0 {
            sleep(MS(5)).await;
        }
    });
}

#[test]
fn a_stalled_direction_is_deaf_or_dumb() {
    run(async {
        let (links, at) = broker().await;
        let fault = links.new_fault();
        links.strike(fault, |_| true, &Aim::Everyone, &LinkFault::Stall(Direction::Responses));
        let mut stream = TcpStream::connect(at).await.expect("connected");
        assert!(!call(&mut stream, &request(3, 1, "a"), MS(60)).await.expect("held"));
        links.heal(fault, Heal::Resume);
        let mut response = [0; 8];
        timeout(MS(2000), stream.read_exact(&mut response))
            .await
            .expect("in time")
            .expect("it was only late");
    });
}

#[test]
fn a_delay_adds_up_in_both_directions() {
    run(async {
        let (links, at) = echo(opaque()).await;
        let mut stream = TcpStream::connect(at).await.expect("connected");
        links.strike(links.new_fault(), |_| true, &Aim::Everyone, &LinkFault::Delay(MS(40)));
        let begin = Instant::now();
        stream.write_all(b"x").await.expect("written");
        stream.read_u8().await.expect("echoed");
        assert!(begin.elapsed() >= MS(80), "{:?}", begin.elapsed());
    });
}

#[test]
fn a_fault_can_aim_at_one_client_and_spares_the_harness() {
    run(async {
        let (links, at) = broker().await;
        let (a, b, own) = ("x@a.0", "x@b.0", Label::client_id("admin", Label::HARNESS, 0));
        let one = links.new_fault();
        links.strike(one, |_| true, &Aim::Client("a".to_owned()), &LinkFault::Cut);
        let answered = async |client: &str| {
            let mut stream = TcpStream::connect(at).await.expect("connected");
            call(&mut stream, &request(3, 7, client), MS(100)).await.unwrap_or(false)
        };
        assert_eq!((answered(a).await, answered(b).await), (false, true));
        links.heal(one, Heal::Resume);
        links.strike(links.new_fault(), |_| true, &Aim::Everyone, &LinkFault::Cut);
        assert_eq!((answered(b).await, answered(&own).await), (false, true));
        links.heal_all();
        links.strike(links.new_fault(), |_| true, &Aim::Life("a".to_owned(), 0), &LinkFault::Refuse);
        assert_eq!((answered(a).await, answered("x@a.1").await), (false, true));
    });
}

#[test]
fn a_dropped_response_breaks_the_connection_after_the_request_went_through() {
    run(async {
        let (links, at) = broker().await;
        let budget = Budget::new(1);
        let fault = LinkFault::DropResponses { kind: PRODUCE, budget: Arc::clone(&budget) };
        links.strike(links.new_fault(), |_| true, &Aim::Everyone, &fault);
        let mut stream = TcpStream::connect(at).await.expect("connected");
        assert!(call(&mut stream, &request(3, 1, "a"), MS(2000)).await.expect("another kind passes"));
        assert!(call(&mut stream, &request(PRODUCE, 2, "a"), MS(2000)).await.is_err());
        assert_eq!(budget.left(), 0);
        let mut stream = TcpStream::connect(at).await.expect("connected again");
        assert!(call(&mut stream, &request(PRODUCE, 3, "a"), MS(2000)).await.expect("only one is dropped"));
    });
}

#[test]
fn a_reader_that_does_not_read_is_felt_by_the_writer() {
    run(async {
        let (_links, at) = echo(opaque()).await;
        let mut stream = TcpStream::connect(at).await.expect("connected");
        let piece = vec![0; 1 << 20];
        let mut written = 0;
        while let Ok(Ok(())) = timeout(MS(200), stream.write_all(&piece)).await {
            written += 1;
            assert!(written < 64, "nothing holds the writer back");
        }
    });
}

#[test]
fn a_link_that_leaves_this_machine_is_refused() {
    let (listen, forward) = (([127, 0, 0, 1], 0).into(), ([192, 0, 2, 1], 9092).into());
    let link = Link { from: None, to: 1, kind: LinkKind::Client, listen, forward };
    assert!(matches!(Links::bind(&[link], &opaque()), Err(ChaosError::NotLoopback { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Strike(usize),
    Heal(bool),
    Reset,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..5).prop_map(Step::Strike),
        3 => any::<bool>().prop_map(Step::Heal),
        1 => Just(Step::Reset),
        3 => (0u64..8).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..14)
}

/// Sends `total` bytes in pieces and reads what comes back, until all is back or the connection broke.
/// How many bytes came back; panics on a byte that is out of place.
async fn converse(at: SocketAddr, total: usize, piece: usize) -> usize {
    let byte = |index: usize| (index % 251) as u8;
    // A connection that is reset at once may already fail to connect.
    let Ok(stream) = TcpStream::connect(at).await else { return 0 };
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        let bytes: Vec<u8> = (0..total).map(byte).collect();
        for piece in bytes.chunks(piece) {
            writer.write_all(piece).await?;
        }
        writer.shutdown().await
    });
    let (mut got, mut buffer) = (0, vec![0; 8192]);
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        for (index, found) in buffer[..length].iter().enumerate() {
            assert_eq!(*found, byte(got + index), "a hole or a repetition at byte {}", got + index);
        }
        got += length;
    }
    let _ = writing.await;
    got
}

async fn storm(steps: Vec<Step>, total: usize, piece: usize) -> (Vec<usize>, bool) {
    let (links, at) = echo(opaque()).await;
    let talks: Vec<_> = (0..3).map(|_| tokio::spawn(converse(at, total, piece))).collect();
    let (mut last, mut broke) = (None, false);
    for step in steps {
        match step {
            Step::Strike(kind) => {
                let fault = [
                    LinkFault::Cut,
                    LinkFault::Stall(Direction::Requests),
                    LinkFault::Stall(Direction::Responses),
                    LinkFault::Delay(MS(3)),
                    LinkFault::Delay(MS(1)),
                ][kind]
                    .clone();
                let id = links.new_fault();
                links.strike(id, |_| true, &Aim::Everyone, &fault);
                last = Some(id);
            }
            Step::Heal(reset) => {
                if let Some(id) = last.take() {
                    broke |= reset;
                    links.heal(id, if reset { Heal::Reset } else { Heal::Resume });
                }
            }
            Step::Reset => {
                broke = true;
                links.reset(|_| true, &Aim::Everyone);
            }
            Step::Wait(ms) => sleep(MS(ms)).await,
        }
    }
    links.heal_all();
    let mut got = Vec::new();
    for talk in talks {
        got.push(
            timeout(Duration::from_secs(20), talk).await.expect("it ends").expect("no byte out of place"),
        );
    }
    (got, broke)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_in_order_or_the_connection_breaks(
        steps in steps(),
        total in 1usize..400_000,
        piece in 1usize..30_000,
    ) {
        let (got, broke) = run(storm(steps, total, piece.max(total / 200)));
        for got in got {
            prop_assert!(got == total || broke && got < total, "{got} of {total}, broke: {broke}");
        }
    }
}
