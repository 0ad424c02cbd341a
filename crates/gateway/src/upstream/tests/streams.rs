//! One call: its trailers, its cancellation, its flow control, its deadline.

use super::*;

#[tokio::test]
async fn trailers_come_through_and_trailers_only_stays_so() {
    let server = Server::start(Http2::default(), |call| async move {
        if call.number == 0 { call.pong().await } else { call.refuse("5", None) }
    })
    .await;
    let pool = pool_of(&[&server]);
    let sent = pool.send(request(), WRITE).await.unwrap();
    assert_eq!((sent.attempts, &*sent.endpoint), (1, format!("http://{}", server.addr).as_str()));
    assert!(status_in(sent.response.headers()).is_none());
    assert_eq!(outcome(sent).await, (Bytes::from_static(b"pong"), Some(Code::Ok)));
    let sent = pool.send(request(), WRITE).await.unwrap();
    assert!(http_body::Body::is_end_stream(sent.response.body()), "one head, nothing after it");
    assert_eq!(outcome(sent).await, (Bytes::new(), Some(Code::NotFound)));
    assert_eq!(server.connections(), 1);
}

/// Starts a server that tells when its stream is reset, and how.
async fn reset_teller(answer: bool) -> (Server, mpsc::Receiver<Reason>) {
    let (tell, told) = mpsc::channel(1);
    let server = Server::start(Http2::default(), move |mut call| {
        let tell = tell.clone();
        async move {
            let reason = if answer {
                let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
                std::future::poll_fn(|cx| stream.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await
            };
            tell.send(reason.unwrap()).await.unwrap();
        }
    })
    .await;
    (server, told)
}

#[tokio::test]
async fn dropping_the_call_before_the_head_resets_the_stream() {
    let (server, mut told) = reset_teller(false).await;
    let pool = pool_of(&[&server]);
    for body in [request(), with_body(open_body().1)] {
        let before = server.calls();
        let task = tokio::spawn({
            let pool = pool.clone();
            async move { pool.send(body, WRITE).await.map(|_| ()) }
        });
        eventually("the call arrives", || server.calls() > before).await;
        task.abort();
        let reason = timeout(CANCEL_WITHIN, told.recv()).await.expect("in time");
        assert_eq!(reason, Some(Reason::CANCEL));
    }
}

#[tokio::test]
async fn dropping_the_body_resets_the_stream_even_when_the_upload_is_stuck() {
    let (server, mut told) = reset_teller(true).await;
    let pool = pool_of(&[&server]);
    let (sender, body) = open_body();
    // More than the server's window, which it never opens.
    sender.send(Bytes::from(vec![0; 200_000])).await.unwrap();
    let sent = pool.send(with_body(body), WRITE).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    drop(sent);
    let reason = timeout(CANCEL_WITHIN, told.recv()).await.expect("in time");
    assert_eq!(reason, Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_caller_that_breaks_off_cancels_the_call() {
    let (server, mut told) = reset_teller(false).await;
    let (sender, start) = open_body();
    sender.send(Bytes::from_static(b"half")).await.unwrap();
    let break_off = futures_util::stream::once(async move {
        sleep(Duration::from_millis(50)).await;
        drop(sender);
        Err::<Frame<Bytes>, BoxError>("gone".into())
    });
    let start = http_body_util::BodyStream::new(start).take(1);
    let body = StreamBody::new(start.chain(break_off)).boxed_unsync();
    let error = pool_of(&[&server]).send(with_body(body), READ).await.err().unwrap();
    assert_eq!((error.phase, error.code(), error.attempts), (Phase::RequestBody, Code::Cancelled, 1));
    assert_eq!(timeout(SOON, told.recv()).await.unwrap(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let server = Server::start(Http2::default(), |mut call| async move {
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = call.request.body_mut().data().await {
            let _ = call.request.body_mut().flow_control().release_capacity(data.len());
            stream.send_data(data, false).unwrap();
        }
        stream.send_trailers(status("0")).unwrap();
    })
    .await;
    let (sender, body) = open_body();
    let sent = pool_of(&[&server]).send(with_body(body), WRITE).await.unwrap();
    let mut body = sent.response.into_body();
    for text in ["one", "two", "three"] {
        sender.send(Bytes::from(text)).await.unwrap();
        let frame = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(sender);
    let trailers = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(status_in(&trailers), Some(Code::Ok));
}

#[tokio::test]
async fn a_reader_that_stops_holds_back_the_upstream() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let server = Server::start(Http2::default(), move |mut call| {
        let count = Arc::clone(&count);
        async move {
            let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
            loop {
                stream.reserve_capacity(1_000);
                match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(room)) => {
                        stream.send_data(Bytes::from(vec![0; room.min(1_000)]), false).unwrap();
                        count.fetch_add(room.min(1_000), Ordering::SeqCst);
                    }
                    _ => return,
                }
            }
        }
    })
    .await;
    let sent = pool_of(&[&server]).send(request(), WRITE).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let held = taken.load(Ordering::SeqCst);
    assert!((32 * 1024..=64 * 1024).contains(&held), "one window, not more: {held}");
    let mut body = sent.response.into_body();
    let mut read = 0;
    while read < 200_000 {
        let frame = timeout(SOON, body.frame()).await.expect("the window opens again");
        read += frame.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn the_upstream_hears_the_time_that_remains() {
    let (tell, mut told) = mpsc::channel(1);
    let server = Server::start(Http2::default(), move |call| {
        let tell = tell.clone();
        async move {
            let timeout = call.request.headers().get_all("grpc-timeout").iter().cloned().collect::<Vec<_>>();
            tell.send(timeout).await.unwrap();
            call.pong().await;
        }
    })
    .await;
    let clock = SystemClock::shared();
    let pool = Pool::new(PoolConfig::new(vec![server.uri()]), Arc::clone(&clock));
    let mut stale = request();
    stale.headers_mut().insert("grpc-timeout", "99S".parse().unwrap());
    let deadline = Some(clock.now().plus(Duration::from_secs(2)));
    pool.send(stale, SendOptions { deadline, ..WRITE }).await.unwrap();
    let heard = told.recv().await.unwrap();
    assert_eq!(heard.len(), 1);
    let us: u64 = heard[0].to_str().unwrap().trim_end_matches('u').parse().unwrap();
    assert!((1_000_000..=1_995_000).contains(&us), "less than the caller's two seconds: {us}");

    let late = SendOptions { deadline: Some(clock.now()), ..WRITE };
    let error = pool.send(request(), late).await.err().unwrap();
    assert_eq!((error.phase, error.executed), (Phase::Deadline, Executed::False));
    assert_eq!(server.calls(), 1);
}
