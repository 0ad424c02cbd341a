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
/// A lane stays awake after so many short turns: four calls.
const TURNS_BEFORE: u32 = 8;
/// What follows faster than this was there already, as one of many.
const SHORTEST: Duration = Duration::from_micros(3);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static TURNS: OnceCell<Rc<Turns>> = const { OnceCell::new() };
}

/// Calls that come one by one, each as soon as the one before was answered. Then most of the latency is the
/// waking of this thread, and the lane stays awake for the next event.
struct Turns {
    /// The longest wait that the lane stays awake for.
    longest: Duration,
    /// Calls in flight.
    open: Cell<usize>,
    /// When the last call began or ended.
    last: Cell<Option<Instant>>,
    /// Turns in a row that were short enough, of a call that was alone.
    short: Cell<u32>,
    /// Until when the lane stays awake; none while it may sleep.
    until: Cell<Option<Instant>>,
    wake: Notify,
}

/// A call came on this lane.
pub fn began() {
    with_turns(|turns| {
        let open = turns.open.get();
        turns.open.set(open + 1);
        if open == 0 { turns.turn(Instant::now()) } else { turns.crowd() }
    });
}

/// A call on this lane is over.
pub fn ended() {
    with_turns(|turns| {
        let open = turns.open.get().saturating_sub(1);
        turns.open.set(open);
        if open == 0 && turns.last.get().is_some() {
            turns.turn(Instant::now());
        }
    });
}

fn with_turns(act: impl FnOnce(&Turns)) {
    // Not there any more while the thread ends, and nowhere but on a lane that may stay awake.
    let _ = TURNS.try_with(|turns| turns.get().map(|turns| act(turns)));
}

impl Turns {
    fn new(longest: Duration) -> Self {
        Self {
            longest,
            open: Cell::new(0),
            last: Cell::new(None),
            short: Cell::new(0),
            until: Cell::new(None),
            wake: Notify::new(),
        }
    }

    /// A call that is alone begins or ends.
    fn turn(&self, now: Instant) {
        let waited = self.last.replace(Some(now)).map(|last| now - last);
        let short = waited.is_some_and(|waited| (SHORTEST..=self.longest).contains(&waited));
        self.short.set(if short { self.short.get().saturating_add(1) } else { 0 });
        if self.short.get() >= TURNS_BEFORE && self.until.replace(Some(now + self.longest)).is_none() {
            self.wake.notify_one();
        }
    }

    /// A second call is in flight: there is enough to do without staying awake.
    fn crowd(&self) {
        self.last.set(None);
        self.short.set(0);
        self.until.set(None);
    }

    /// Has the lane ask for events without sleeping in between, as long as it is to stay awake.
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
    /// Starts as many lanes, or one for each core when `count` is 0. Each stays awake for up to
    /// `awake` between calls that come one by one, where there is another core for whoever it waits for.
    ///
    /// # Errors
    /// When a thread or its runtime can't be made.
    pub fn start(count: usize, awake: Duration) -> io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let count = if count == 0 { cores } else { count };
        let awake = if cores == 1 { Duration::ZERO } else { awake };
        (1..=count.min(LANES_MAX))
            .map(|number| Lane::start(number, awake))
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
    fn start(number: usize, awake: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (stop, stopped)) = (runtime.handle().clone(), oneshot::channel());
        std::thread::Builder::new()
            .name(format!("lane-{number}"))
            .spawn(move || run(number, awake, runtime, stopped))?;
        Ok(Self { handle, open: Arc::default(), _stop: stop })
    }
}

fn run(number: usize, awake: Duration, runtime: Runtime, stopped: oneshot::Receiver<Infallible>) {
    CURRENT.set(number);
    let turns = Rc::new(Turns::new(awake));
    if !awake.is_zero() {
        let _ = TURNS.with(|own| own.set(Rc::clone(&turns)));
    }
    runtime.block_on(async {
        let mut stopped = std::pin::pin!(stopped);
        // Nothing is ever sent: it ends when the sender is dropped.
        let beat = async { while tokio::time::timeout(BEAT, &mut stopped).await.is_err() {} };
        tokio::select! {
            () = beat => {}
            never = turns.run() => match never {},
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

    /// What a lane of 200 µs does after turns that come so many µs after one another.
    fn awake_after(waits: impl IntoIterator<Item = u64>) -> bool {
        let turns = Turns::new(Duration::from_micros(200));
        let mut now = Instant::now();
        turns.turn(now);
        for wait in waits {
            now += Duration::from_micros(wait);
            turns.until.set(None);
            turns.turn(now);
        }
        turns.until.get().is_some_and(|until| until == now + turns.longest)
    }

    #[test]
    fn it_stays_awake_when_calls_come_one_by_one_and_fast() {
        assert!(awake_after([50; 8]));
        assert!(!awake_after([50; 7]));
        assert!(!awake_after([50, 50, 50, 50, 50, 50, 50, 201]), "one came late");
        assert!(!awake_after([50, 50, 50, 50, 50, 50, 50, 1]), "one was there already");
        assert!(awake_after([201; 5].into_iter().chain([200; 8])));
    }

    fn awake() -> bool {
        TURNS.with(|turns| turns.get().is_some_and(|turns| turns.until.get().is_some()))
    }

    /// Calls one by one until the lane stays awake.
    async fn one_by_one() {
        let pause = || tokio::time::sleep(Duration::from_millis(2));
        for _ in 0..TURNS_BEFORE {
            began();
            pause().await;
            ended();
            pause().await;
        }
    }

    #[tokio::test]
    async fn it_sleeps_again_when_a_second_call_comes() {
        let lane = Lane::start(1, Duration::from_secs(5)).unwrap();
        let seen = lane.handle.spawn(async {
            one_by_one().await;
            began();
            let alone = awake();
            began();
            (alone, awake())
        });
        assert_eq!(seen.await.unwrap(), (true, false));
    }

    #[tokio::test]
    async fn it_sleeps_again_when_nothing_comes() {
        let longest = Duration::from_millis(500);
        let lane = Lane::start(1, longest).unwrap();
        let seen = lane.handle.spawn(async move {
            one_by_one().await;
            let at_once = awake();
            tokio::time::sleep(longest * 2).await;
            (at_once, awake())
        });
        assert_eq!(seen.await.unwrap(), (true, false));
    }
}
