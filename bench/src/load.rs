//! A load that speaks gRPC and looks at every status.
//!
//! Open loop: calls start at the times of a fixed rate, whatever became of the ones before, and a latency
//! counts from the time at which the call was due. So a server that stalls is seen to stall (no coordinated
//! omission). With `--rate 0` it is a closed loop of one call after the other: the latency of one stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::echo::Payload;

/// Calls under way at once; an open loop against a server that is too slow ends here.
const IN_FLIGHT_MAX: usize = 20_000;
/// Window of a stream and of a connection, bytes.
const WINDOW: u32 = 16 * 1024 * 1024;

#[derive(clap::Args)]
pub struct LoadArgs {
    /// Where to
    to: SocketAddr,
    /// Path of the method
    #[arg(long, default_value = "/bench.echo.v1.EchoService/Say")]
    path: String,
    /// API key
    #[arg(long)]
    key: Option<String>,
    /// Calls a second; 0: one after the other
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// For how long, seconds
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Bytes of the payload
    #[arg(long, default_value_t = 90)]
    payload: usize,
}

#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    statuses: std::collections::BTreeMap<String, u64>,
    bytes: u64,
    refusal_bytes: usize,
}

/// Runs the load.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let mut senders = Vec::new();
    for _ in 0..args.connections.max(1) {
        let tcp = TcpStream::connect(args.to).await.with_context(|| format!("{}", args.to))?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(tcp)
            .await?;
        tokio::spawn(connection);
        senders.push(sender);
    }
    let message = Payload { payload: vec![b'x'; args.payload].into() }.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len())?);
    frame.put_slice(&message);
    let (frame, args, seen) = (frame.freeze(), Arc::new(args), Arc::new(Mutex::new(Seen::default())));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(args.seconds);
    if args.rate == 0 {
        while Instant::now() < end {
            one(senders[0].clone(), &args, frame.clone(), Instant::now(), &seen).await;
        }
    } else {
        open_loop(&senders, &args, &frame, begun, end, &seen).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut seen = seen.lock().await;
    seen.latencies.sort_unstable();
    let quantile = |q: f64| {
        let at = (seen.latencies.len() as f64 * q) as usize;
        seen.latencies.get(at.min(seen.latencies.len().saturating_sub(1))).map(|l| l.as_secs_f64() * 1e6)
    };
    let mean =
        seen.latencies.iter().sum::<Duration>().as_secs_f64() * 1e6 / seen.latencies.len().max(1) as f64;
    println!(
        "{}",
        serde_json::json!({
            "calls": seen.latencies.len(), "seconds": seconds, "statuses": seen.statuses,
            "mean_us": mean, "p50_us": quantile(0.5), "p99_us": quantile(0.99), "p999_us": quantile(0.999),
            "bytes": seen.bytes, "refusal_bytes": seen.refusal_bytes,
        })
    );
    Ok(())
}

async fn open_loop(
    senders: &[SendRequest<Bytes>],
    args: &Arc<LoadArgs>,
    frame: &Bytes,
    begun: Instant,
    end: Instant,
    seen: &Arc<Mutex<Seen>>,
) {
    let (gap, under_way) = (Duration::from_secs(1) / args.rate as u32, Arc::new(AtomicUsize::new(0)));
    let mut calls = tokio::task::JoinSet::new();
    let mut number = 0u32;
    loop {
        let due = begun + gap * number;
        if due >= end {
            break;
        }
        tokio::time::sleep_until(due).await;
        if under_way.fetch_add(1, Ordering::AcqRel) >= IN_FLIGHT_MAX {
            eprintln!("{IN_FLIGHT_MAX} calls are under way: the server is too slow for this rate");
            break;
        }
        let sender = senders[number as usize % senders.len()].clone();
        let (args, frame, seen, under_way) =
            (Arc::clone(args), frame.clone(), Arc::clone(seen), Arc::clone(&under_way));
        calls.spawn(async move {
            one(sender, &args, frame, due, &seen).await;
            under_way.fetch_sub(1, Ordering::AcqRel);
        });
        number += 1;
    }
    while calls.join_next().await.is_some() {}
}

async fn one(sender: SendRequest<Bytes>, args: &LoadArgs, frame: Bytes, due: Instant, seen: &Mutex<Seen>) {
    let ended = call(sender, args, frame).await;
    let latency = due.elapsed();
    let mut seen = seen.lock().await;
    seen.latencies.push(latency);
    let (status, bytes, refusal_bytes) = ended.unwrap_or_else(|error| (error.to_string(), 0, 0));
    *seen.statuses.entry(status).or_default() += 1;
    seen.bytes += bytes;
    seen.refusal_bytes = seen.refusal_bytes.max(refusal_bytes);
}

/// The status, the bytes of the answer, and those of the head when that was all.
async fn call(
    sender: SendRequest<Bytes>,
    args: &LoadArgs,
    frame: Bytes,
) -> anyhow::Result<(String, u64, usize)> {
    let mut sender = sender.ready().await?;
    let mut request = Request::post(format!("http://{}{}", args.to, args.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(key) = &args.key {
        request = request.header("x-api-key", key);
    }
    let (response, mut body) = sender.send_request(request.body(())?, false)?;
    body.send_data(frame, true)?;
    let (head, mut answer) = response.await?.into_parts();
    let status = |headers: &http::HeaderMap| {
        headers.get("grpc-status").map(|s| String::from_utf8_lossy(s.as_bytes()).into_owned())
    };
    if let Some(status) = status(&head.headers) {
        let size = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        return Ok((status, 0, size));
    }
    let mut bytes = 0;
    while let Some(data) = answer.data().await {
        let data = data?;
        answer.flow_control().release_capacity(data.len())?;
        bytes += data.len() as u64;
    }
    let trailers = answer.trailers().await?.unwrap_or_default();
    Ok((status(&trailers).unwrap_or_else(|| format!("none, HTTP {}", head.status)), bytes, 0))
}
