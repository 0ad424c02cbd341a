//! What is sent again, what never is, and what the caller hears.

use super::*;

#[tokio::test]
async fn nobody_there_fails_soon_and_provably_unexecuted() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let pool = pool(PoolConfig::new(vec![format!("http://{dead}").parse().unwrap()]));
    let error = timeout(SOON, pool.send(request(), WRITE)).await.unwrap().err().unwrap();
    assert_eq!(
        (error.phase, error.executed, error.code()),
        (Phase::Connect, Executed::False, Code::Unavailable)
    );
    assert!(error.retry_after.is_some() && error.source.is_some());
    let none = Pool::new(PoolConfig::default(), SystemClock::shared());
    assert_eq!(none.send(request(), WRITE).await.err().unwrap().phase, Phase::NoEndpoint);
}

#[tokio::test]
async fn retries_keep_to_their_budget() {
    let refuse = |call: Call| async move { call.refuse("14", None) };
    let (one, two) =
        (Server::start(Http2::default(), refuse).await, Server::start(Http2::default(), refuse).await);
    let config = PoolConfig {
        retry_backoff: Duration::from_micros(10),
        eject_after: u32::MAX,
        ..PoolConfig::new(vec![one.uri(), two.uri()])
    };
    let pool = pool(config);
    let calls = 500;
    for _ in 0..calls {
        let sent = pool.send(request(), READ).await.unwrap();
        assert_eq!(outcome(sent).await.1, Some(Code::Unavailable), "the upstream's own answer");
    }
    let made = one.calls() + two.calls();
    assert!(made > calls, "some were retried: {made}");
    assert!(made <= calls + calls / 10 + 10, "{made} of at most a tenth more, and the reserve");
}

#[tokio::test]
async fn idempotent_calls_are_retried_elsewhere_unless_told_not_to() {
    let good = Server::start(Http2::default(), Call::pong).await;
    let bad = Server::start(Http2::default(), |call| async move {
        let previous = call.request.headers().contains_key("grpc-previous-rpc-attempts");
        assert!(!previous, "a retry never comes to the same endpoint");
        call.refuse("14", None);
    })
    .await;
    let never = Server::start(Http2::default(), |call| async move { call.refuse("14", Some("-1")) }).await;
    let config =
        |uris| PoolConfig { eject_after: u32::MAX, failure_penalty: Duration::ZERO, ..PoolConfig::new(uris) };
    let both = pool(config(vec![good.uri(), bad.uri()]));
    // Before the budget's reserve is used up.
    while bad.calls() < 5 {
        let sent = both.send(request(), READ).await.unwrap();
        assert!(sent.attempts <= 2);
        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
    }
    let told = pool(config(vec![good.uri(), never.uri()]));
    while never.calls() < 5 {
        let before = never.calls();
        let sent = told.send(request(), READ).await.unwrap();
        let expect = if never.calls() > before { Code::Unavailable } else { Code::Ok };
        assert_eq!((sent.attempts, outcome(sent).await.1), (1, Some(expect)));
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once_whatever_the_method() {
    let once = Server::start(Http2::default(), |mut call| async move {
        if call.number == 0 { call.respond.send_reset(Reason::REFUSED_STREAM) } else { call.pong().await }
    })
    .await;
    let sent = pool_of(&[&once]).send(request(), WRITE).await.unwrap();
    assert_eq!((sent.attempts, outcome(sent).await), (2, (Bytes::from_static(b"pong"), Some(Code::Ok))));

    let always =
        Server::start(
            Http2::default(),
            |mut call| async move { call.respond.send_reset(Reason::REFUSED_STREAM) },
        )
        .await;
    let error = pool_of(&[&always]).send(request(), WRITE).await.err().unwrap();
    assert_eq!((error.attempts, error.executed, error.code()), (2, Executed::False, Code::Unavailable));
    assert_eq!((error.phase, always.calls()), (Phase::Reset(7), 2));
}

#[tokio::test]
async fn other_resets_are_told_apart_and_not_repeated() {
    for (reason, code) in [
        (Reason::CANCEL, Code::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::INTERNAL_ERROR, Code::Internal),
    ] {
        let server =
            Server::start(Http2::default(), move |mut call| async move { call.respond.send_reset(reason) })
                .await;
        let error = pool_of(&[&server]).send(request(), READ).await.err().unwrap();
        assert_eq!(
            (error.code(), error.executed, error.attempts),
            (code, Executed::Unknown, 1),
            "{reason:?}"
        );
    }
    // After the head it is the body that says so.
    let server = Server::start(Http2::default(), |mut call| async move {
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        sleep(Duration::from_millis(20)).await;
        stream.send_reset(Reason::CANCEL);
    })
    .await;
    let sent = pool_of(&[&server]).send(request(), READ).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(reset_code(&error).unwrap().code, Code::Cancelled);
}

#[tokio::test]
async fn going_away_under_load_loses_no_call() {
    let http2 = Http2 { goaway_after: 20, ..Http2::default() };
    let (one, two) = (Server::start(http2.clone(), Call::pong).await, Server::start(http2, Call::pong).await);
    for options in [READ, WRITE] {
        let pool = pool_of(&[&one, &two]);
        let before = one.connections() + two.connections();
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let sent = pool.send(request(), options).await.unwrap();
                        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(one.connections() + two.connections() - before >= 20, "connections did go away");
    }
    assert_eq!(one.calls() + two.calls(), 1_600, "none was executed twice");
}
