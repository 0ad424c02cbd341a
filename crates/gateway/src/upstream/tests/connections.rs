//! Endpoints and connections: chosen, ejected, filled, renewed, found dead.

use super::*;

#[tokio::test]
async fn a_dead_endpoint_is_avoided() {
    let server = Server::start(Http2::default(), Call::pong).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // Bound and listening, but never speaking HTTP/2.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uris = vec![
        format!("http://{dead}").parse().unwrap(),
        server.uri(),
        format!("http://{}", mute.local_addr().unwrap()).parse().unwrap(),
    ];
    let pool = pool(PoolConfig::new(uris));
    for _ in 0..100 {
        let sent = timeout(SOON, pool.send(request(), WRITE)).await.expect("waits for nobody").unwrap();
        assert_eq!(sent.attempts, 1);
        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
    }
    let states = pool.endpoints();
    assert_eq!(states[0].status, EndpointStatus::Waiting);
    assert!(states[0].last_error.is_some() && states[0].connect_failures > 0);
    assert_eq!(states[1].status, EndpointStatus::Ready);
    assert_eq!(states[2].status, EndpointStatus::Connecting);
}

#[tokio::test]
async fn an_endpoint_that_fails_in_a_row_is_ejected() {
    let good = Server::start(Http2::default(), Call::pong).await;
    let bad = Server::start(Http2::default(), |call| async move { call.refuse("14", None) }).await;
    let config = PoolConfig {
        // Equal costs, so that only the ejection keeps calls away.
        failure_penalty: Duration::ZERO,
        ..PoolConfig::new(vec![good.uri(), bad.uri()])
    };
    let pool = pool(config);
    for _ in 0..200 {
        outcome(pool.send(request(), WRITE).await.unwrap()).await;
    }
    assert_eq!(pool.endpoints()[1].status, EndpointStatus::Ejected);
    assert_eq!(bad.calls(), 5, "ejected after five in a row");
}

#[tokio::test]
async fn a_full_connection_opens_another_one_up_to_the_limit() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(2);
    let release = Arc::new(Notify::new());
    let hold = Arc::clone(&release);
    let server = Server::start(Http2 { settings, ..Http2::default() }, move |call| {
        let hold = Arc::clone(&hold);
        async move {
            hold.notified().await;
            call.pong().await;
        }
    })
    .await;
    let pool = pool(PoolConfig { connections_max: 3, ..PoolConfig::new(vec![server.uri()]) });
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { outcome(pool.send(request(), WRITE).await.unwrap()).await.1 })
        })
        .collect();
    eventually("six calls are there", || server.calls() == 6).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!((server.calls(), server.connections()), (6, 3), "the others wait");
    for _ in 0..8 {
        release.notify_one();
        sleep(Duration::from_millis(5)).await;
    }
    for task in tasks {
        assert_eq!(timeout(SOON, task).await.unwrap().unwrap(), Some(Code::Ok));
    }
    assert_eq!((server.calls(), server.connections()), (8, 3));
}

#[tokio::test]
async fn a_proxy_that_cancels_much_keeps_its_connection() {
    let server = Server::start(Http2::default(), |mut call| async move {
        let Ok(mut stream) = call.respond.send_response(Response::new(()), false) else { return };
        // Data that is under way when the reset comes.
        while stream.send_data(Bytes::from_static(&[0; 1_000]), false).is_ok() {
            tokio::task::yield_now().await;
            if stream.poll_reset(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready() {
                return;
            }
        }
    })
    .await;
    let pool = pool_of(&[&server]);
    for _ in 0..40 {
        // Many at once, so that h2 has forgotten most streams when their late frames come.
        let calls = futures_util::future::join_all((0..90).map(|_| pool.send(request(), WRITE)));
        drop(timeout(SOON, calls).await.unwrap());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_old_connection_is_renewed_and_its_calls_finish() {
    let server = Server::start(Http2::default(), |call| async move {
        sleep(Duration::from_millis(if call.number == 0 { 400 } else { 0 })).await;
        call.pong().await;
    })
    .await;
    let config =
        PoolConfig { connection_age_max: Duration::from_millis(200), ..PoolConfig::new(vec![server.uri()]) };
    let pool = pool(config);
    let long = tokio::spawn({
        let pool = pool.clone();
        async move { outcome(pool.send(request(), WRITE).await.unwrap()).await.1 }
    });
    sleep(Duration::from_millis(300)).await;
    assert_eq!(outcome(pool.send(request(), WRITE).await.unwrap()).await.1, Some(Code::Ok));
    assert_eq!(server.connections(), 2);
    assert_eq!(long.await.unwrap(), Some(Code::Ok));
    eventually("the old one closes", || server.open.load(Ordering::SeqCst) == 1).await;
    drop(pool);
    eventually("dropping the pool closes all", || server.open.load(Ordering::SeqCst) == 0).await;
}

/// A relay that stops passing bytes on when told to, as a machine that lost its power does.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<std::sync::atomic::AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&silent);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
            let silent = Arc::clone(&told);
            tokio::spawn(async move {
                let passing = tokio::io::copy_bidirectional(&mut near, &mut far);
                let stop = async {
                    while !silent.load(Ordering::SeqCst) {
                        sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! { _ = passing => return, () = stop => {} }
                // Nothing is closed and nothing answers.
                std::future::pending::<()>().await;
            });
        }
    });
    (addr, silent)
}

#[tokio::test]
async fn a_peer_that_fell_silent_is_found_by_the_first_call_that_was_given_up() {
    let server = Server::start(Http2::default(), Call::pong).await;
    let (addr, silent) = relay(server.addr).await;
    let config = PoolConfig {
        keep_alive_timeout: Duration::from_millis(100),
        ..PoolConfig::new(vec![format!("http://{addr}").parse().unwrap()])
    };
    let pool = pool(config);
    outcome(pool.send(request(), WRITE).await.unwrap()).await;
    silent.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(20)).await;
    let given_up = timeout(Duration::from_millis(50), pool.send(request(), WRITE)).await;
    assert!(given_up.is_err(), "nobody answers");
    silent.store(false, Ordering::SeqCst);
    eventually("the dead connection is dropped", || pool.endpoints()[0].connections == 0).await;
    assert_eq!(outcome(pool.send(request(), WRITE).await.unwrap()).await.1, Some(Code::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_place_is_given_back_whatever_the_caller_does() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(4);
    let http2 = Http2 { settings, goaway_after: 50 };
    let server = Server::start(http2, |mut call| async move {
        match call.number % 5 {
            0 => call.refuse("14", None),
            1 => call.respond.send_reset(Reason::INTERNAL_ERROR),
            2 => sleep(Duration::from_millis(3)).await,
            _ => call.pong().await,
        }
    })
    .await;
    let pool = pool(PoolConfig { connections_max: 2, ..PoolConfig::new(vec![server.uri()]) });
    let tasks: Vec<_> = (0..32u64)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for n in 0..50u64 {
                    let patience = Duration::from_micros((task * 7 + n * 131) % 4_000);
                    if let Ok(Ok(sent)) = timeout(patience, pool.send(request(), READ)).await
                        && n % 3 > 0
                    {
                        let _ = sent.response.into_body().collect().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eventually("no call is in flight", || pool.endpoints()[0].in_flight == 0).await;
    // As many at once as there are places, none of which may have been lost.
    let last: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.send(request(), READ).await.map(|sent| sent.attempts) })
        })
        .collect();
    for call in last {
        let ended = timeout(SOON, call).await.expect("nobody waits for ever").unwrap();
        assert!(!ended.is_err_and(|error| error.phase == Phase::NoEndpoint), "a place was lost");
    }
}
