//! Lanes: threads that each serve their share of the connections from end to end.
//!
//! A connection, its calls and the upstream connections that they use stay on one thread with a scheduler of
//! its own. What is woken there runs in turn, so that the answers to many calls are ready before their
//! connection is flushed, once for all; and nothing on the way of a call wakes another thread
//! (docs/decisions/lanes.md).

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Most lanes of a process.
const LANES_MAX: usize = 256;
/// A timer of each lane that is nearly always the next to go off. tokio wakes its own thread, with a system
/// call, for every timer that is set for earlier than all that were there when the thread last waited; the
/// deadlines of most calls are later than this one (`Handle::reregister` of tokio 1.54, runtime/time/mod.rs).
/// Not shorter: with 50 ms a call alone took a tenth longer (docs/decisions/lanes.md).
const BEAT: Duration = Duration::from_millis(500);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static WATCH: OnceCell<Rc<Watch>> = const { OnceCell::new() };
}

/// How a lane stays awake after a call.
struct Watch {
    /// How long.
    time: Duration,
    /// Until when; none while it sleeps.
    until: Cell<Option<Instant>>,
    wake: Notify,
}

/// A call came or went on this lane: the next event may be near.
pub fn active() {
    // Not there any more while the thread ends.
    let _ = WATCH.try_with(|watch| {
        if let Some(watch) = watch.get()
            && watch.until.replace(Some(Instant::now() + watch.time)).is_none()
        {
            watch.wake.notify_one();
        }
    });
}

impl Watch {
    /// Has the lane ask for events without sleeping in between, for some time after each call.
    async fn run(&self) -> Infallible {
        loop {
            self.wake.notified().await;
            while self.until.get().is_some_and(|until| Instant::now() < until) {
                // Whoever the answer waits for may need this core.
                std::thread::yield_now();
                tokio::task::yield_now().await;
            }
            self.until.set(None);
        }
    }
}

/// The lane that runs this, from 1; 0 outside of all lanes.
#[must_use]
pub fn current() -> usize {
    CURRENT.get()
}

/// Running lanes. What was spawned on them ends with the last clone.
#[derive(Clone, Debug, Default)]
pub struct Lanes(Arc<[Lane]>);

#[derive(Debug)]
struct Lane {
    handle: Handle,
    open: Arc<AtomicUsize>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<Infallible>,
}

/// A place on a lane; given back on drop.
#[derive(Debug)]
pub struct Place {
    /// Where to spawn; none where there are no lanes.
    pub handle: Option<Handle>,
    open: Arc<AtomicUsize>,
}

impl Lanes {
    /// Starts as many lanes, or one for each core when `count` is 0. Each stays awake for `watch` after a call.
    ///
    /// # Errors
    /// When a thread or its runtime can't be made.
    pub fn start(count: usize, watch: Duration) -> io::Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism()?.get(),
            count => count,
        };
        (1..=count.min(LANES_MAX))
            .map(|number| Lane::start(number, watch))
            .collect::<io::Result<Vec<_>>>()
            .map(|all| Self(all.into()))
    }

    /// A place on the lane with the fewest.
    #[must_use]
    pub fn place(&self) -> Place {
        let least = self.0.iter().min_by_key(|lane| lane.open.load(Ordering::Acquire));
        let open = least.map(|lane| Arc::clone(&lane.open)).unwrap_or_default();
        open.fetch_add(1, Ordering::AcqRel);
        Place { handle: least.map(|lane| lane.handle.clone()), open }
    }
}

impl Lane {
    fn start(number: usize, watch: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (stop, stopped)) = (runtime.handle().clone(), oneshot::channel());
        std::thread::Builder::new()
            .name(format!("lane-{number}"))
            .spawn(move || run(number, watch, runtime, stopped))?;
        Ok(Self { handle, open: Arc::default(), _stop: stop })
    }
}

fn run(number: usize, watch: Duration, runtime: Runtime, stopped: oneshot::Receiver<Infallible>) {
    CURRENT.set(number);
    let watch = Rc::new(Watch { time: watch, until: Cell::new(None), wake: Notify::new() });
    if !watch.time.is_zero() {
        let _ = WATCH.with(|own| own.set(Rc::clone(&watch)));
    }
    runtime.block_on(async {
        let mut stopped = std::pin::pin!(stopped);
        // Nothing is ever sent: it ends when the sender is dropped.
        let beat = async { while tokio::time::timeout(BEAT, &mut stopped).await.is_err() {} };
        tokio::select! {
            () = beat => {}
            never = watch.run() => match never {},
        }
    });
    // What blocks meanwhile must not hold up the end of the process.
    runtime.shutdown_background();
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_shared_out_evenly_and_each_lane_is_one_thread() {
        let lanes = Lanes::start(3, Duration::ZERO).unwrap();
        let places: Vec<Place> = (0..6).map(|_| lanes.place()).collect();
        let mut seen = Vec::new();
        for place in &places {
            let handle = place.handle.clone().unwrap();
            seen.push(handle.spawn(async { current() }).await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 1, 2, 2, 3, 3]);
        assert_eq!(current(), 0);
        drop(places);
        assert!(lanes.0.iter().all(|lane| lane.open.load(Ordering::Acquire) == 0));
    }

    #[tokio::test]
    async fn what_runs_on_a_lane_ends_with_the_lanes() {
        let lanes = Lanes::start(1, Duration::ZERO).unwrap();
        let place = lanes.place();
        let forever = place.handle.as_ref().unwrap().spawn(std::future::pending::<()>());
        drop(lanes);
        assert!(forever.await.unwrap_err().is_cancelled());
    }

    #[test]
    fn without_lanes_there_is_a_place_all_the_same() {
        assert!(Lanes::default().place().handle.is_none());
    }

    #[tokio::test]
    async fn a_lane_that_watches_goes_to_sleep_again() {
        let lanes = Lanes::start(1, Duration::from_millis(1)).unwrap();
        let awake = || WATCH.with(|watch| watch.get().unwrap().until.get().is_some());
        let place = lanes.place();
        let seen = place.handle.clone().unwrap().spawn(async move {
            active();
            let at_once = awake();
            tokio::time::sleep(Duration::from_millis(100)).await;
            (at_once, awake())
        });
        assert_eq!(seen.await.unwrap(), (true, false));
    }
}
