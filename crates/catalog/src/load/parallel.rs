//! The same work on many things, shared between the cores. Order stays, so that what is reported does too.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;

/// Threads at most: what can't be shared sets the time before that.
const THREADS_MAX: usize = 8;
/// Things that are worth a thread: starting one takes as long as reading a handful of files.
const THINGS_MIN: usize = 64;

/// How many threads work at once.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX)
}

/// What `work` makes of each thing, in their order.
pub(super) fn each<T: Send, R: Send>(things: &mut [T], work: impl Fn(&mut T) -> R + Sync) -> Vec<R> {
    each_of(things, THINGS_MIN, work)
}

/// As [`each`], for fewer and larger things.
pub(super) fn each_of<T: Send, R: Send>(
    things: &mut [T],
    worth_a_thread: usize,
    work: impl Fn(&mut T) -> R + Sync,
) -> Vec<R> {
    let threads = threads().min(things.len() / worth_a_thread.max(1));
    if threads <= 1 {
        return things.iter_mut().map(work).collect();
    }
    let share = things.len().div_ceil(threads);
    let work = &work;
    std::thread::scope(|scope| {
        let mut shares = things.chunks_mut(share);
        // The first share is done here.
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter_mut().map(work).collect::<Vec<R>>())).collect();
        let mut made: Vec<R> = first.iter_mut().map(work).collect();
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_things() {
        for count in [0, 1, 63, 64, 127, 128, 1_000, 1_001] {
            let mut things: Vec<usize> = (0..count).collect();
            let made = each(&mut things, |n| *n * 2);
            assert_eq!(made, (0..count).map(|n| n * 2).collect::<Vec<_>>());
        }
        let mut few = [1, 2, 3];
        assert_eq!(each_of(&mut few, 1, |n| *n + 1), [2, 3, 4]);
    }
}
