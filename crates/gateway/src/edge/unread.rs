//! Ends a stream whose client does not read.
//!
//! HTTP/2 asks a body for its next part only when the client has given room for one, so a body can't
//! keep its own deadline while its client reads nothing. The body says here how long it may wait for that;
//! the stream's task keeps the time, and a stream that is not read by then is dropped, which resets it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

/// What the body asked for when it was polled last.
#[derive(Clone, Copy, Debug, Default)]
enum Wish {
    /// It was not polled since.
    #[default]
    AsBefore,
    /// It waits for the capability, and watches the time itself.
    Unwatched,
    /// It handed out a part, and the next one is to be asked for within this time.
    Within(Duration),
}

tokio::task_local! {
    static WISH: Cell<Wish>;
}

/// The part that a body hands out now is to be read within `time`.
pub fn read_within(time: Duration) {
    // Outside a stream of the edge (in tests of a layer alone) nobody keeps the time.
    let _ = WISH.try_with(|wish| wish.set(Wish::Within(time)));
}

/// The body has no part to hand out now, or it is at its end.
pub fn nothing_to_read() {
    let _ = WISH.try_with(|wish| wish.set(Wish::Unwatched));
}

/// Runs HTTP/2 streams as tasks that end when what they send is not read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(WISH.scope(Cell::default(), Watched { stream, timer: None }));
    }
}

pin_project! {
    struct Watched<F> {
        #[pin]
        stream: F,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match WISH.with(Cell::take) {
            Wish::AsBefore => {}
            Wish::Unwatched => *this.timer = None,
            Wish::Within(time) => *this.timer = Some(Box::pin(tokio::time::sleep(time))),
        }
        match this.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
