//! One machine with heads and tails, 1 | r_j, q_j | C_max: Jackson's preemptive schedule as a bound,
//! Schrage's schedule, and Carlier's exact branch and bound.
//!
//! J. Carlier, "The one-machine sequencing problem", European Journal of Operational Research 11 (1982);
//! J. R. Jackson, "Scheduling a production line to minimize maximum tardiness", UCLA (1955).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nodes of one branch and bound; the bound is still one when they are used up, and then not exact.
pub const NODES_MAX: usize = 20_000;

/// An operation on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// It starts no earlier.
    pub head: i64,
    /// How long it takes.
    pub duration: i64,
    /// What follows it, after the machine.
    pub tail: i64,
}

/// A bound, and whether it is the optimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneMachine {
    /// No schedule ends earlier.
    pub bound: i64,
    /// Some schedule of this machine alone ends then.
    pub exact: bool,
}

/// Jackson's preemptive schedule: always the ready task with the longest tail, interrupted when a
/// longer one becomes ready. Its end is the optimum with preemption, so a lower bound without.
#[must_use]
pub fn jackson_preemptive(tasks: &[Task]) -> i64 {
    let mut by_head: Vec<&Task> = tasks.iter().collect();
    by_head.sort_by_key(|task| task.head);
    let mut coming = by_head.into_iter().peekable();
    // Ready tasks: tail, what is left to do.
    let mut ready: BinaryHeap<(i64, i64)> = BinaryHeap::new();
    let (mut now, mut end) = (0, 0);
    while !ready.is_empty() || coming.peek().is_some() {
        if ready.is_empty()
            && let Some(task) = coming.peek()
        {
            now = now.max(task.head);
        }
        while let Some(task) = coming.next_if(|task| task.head <= now) {
            ready.push((task.tail, task.duration));
        }
        let Some((tail, left)) = ready.pop() else { continue };
        let until = coming.peek().map_or(i64::MAX, |task| task.head);
        let run = left.min(until - now);
        now += run;
        if run < left {
            ready.push((tail, left - run));
        } else {
            end = end.max(now + tail);
        }
    }
    end
}

/// Schrage's schedule: always the ready task with the longest tail, to its end. Returns the order and
/// when all ends.
fn schrage(tasks: &[Task]) -> (Vec<usize>, i64) {
    let mut by_head: Vec<(i64, usize)> = tasks.iter().enumerate().map(|(i, t)| (t.head, i)).collect();
    by_head.sort_unstable();
    let mut coming = by_head.into_iter().peekable();
    let mut ready: BinaryHeap<(i64, i64, Reverse<usize>)> = BinaryHeap::new();
    let (mut now, mut end, mut order) = (0, 0, Vec::with_capacity(tasks.len()));
    while order.len() < tasks.len() {
        if ready.is_empty()
            && let Some((head, _)) = coming.peek()
        {
            now = now.max(*head);
        }
        while let Some((_, i)) = coming.next_if(|(head, _)| *head <= now) {
            if let Some(task) = tasks.get(i) {
                ready.push((task.tail, task.duration, Reverse(i)));
            }
        }
        let Some((tail, duration, Reverse(i))) = ready.pop() else { break };
        now += duration;
        end = end.max(now + tail);
        order.push(i);
    }
    (order, end)
}

/// What Carlier's theorem says of a Schrage schedule.
enum Insight {
    /// It is optimal.
    Optimal,
    /// The critical task must come before all of the set, or after all.
    Branch { critical: usize, set: Vec<usize> },
}

fn insight(tasks: &[Task], order: &[usize], end: i64) -> Insight {
    // Ends of tasks and starts of the runs without a pause.
    let (mut now, mut run_from) = (0, 0);
    let mut critical_path: Option<(usize, usize)> = None;
    for (position, i) in order.iter().enumerate() {
        let Some(task) = tasks.get(*i) else { continue };
        if position == 0 || task.head > now {
            (now, run_from) = (now.max(task.head), position);
        }
        now += task.duration;
        if now + task.tail == end {
            critical_path = Some((run_from, position));
            break;
        }
    }
    let Some((from, to)) = critical_path else { return Insight::Optimal };
    let path: Vec<usize> = order.iter().copied().skip(from).take(to - from + 1).collect();
    let tail_of = |i: usize| tasks.get(i).map_or(0, |task| task.tail);
    let last_tail = path.last().map_or(0, |i| tail_of(*i));
    match path.iter().rposition(|i| tail_of(*i) < last_tail) {
        None => Insight::Optimal,
        Some(at) => {
            let set = path.iter().copied().skip(at + 1).collect();
            path.get(at).map_or(Insight::Optimal, |critical| Insight::Branch { critical: *critical, set })
        }
    }
}

/// Carlier's branch and bound, best bound first, within [`NODES_MAX`] nodes.
#[must_use]
pub fn carlier(tasks: &[Task]) -> OneMachine {
    carlier_within(tasks, NODES_MAX)
}

/// Carlier's branch and bound within a number of nodes.
#[must_use]
pub fn carlier_within(tasks: &[Task], nodes: usize) -> OneMachine {
    let root = jackson_preemptive(tasks);
    let mut open: BinaryHeap<(Reverse<i64>, Reverse<usize>)> = BinaryHeap::new();
    let mut made: Vec<Vec<Task>> = vec![tasks.to_vec()];
    open.push((Reverse(root), Reverse(0)));
    let mut best = i64::MAX;
    let mut seen = 0;
    while let Some((Reverse(bound), Reverse(number))) = open.pop() {
        if bound >= best {
            return OneMachine { bound: best, exact: true };
        }
        seen += 1;
        if seen > nodes {
            return OneMachine { bound, exact: false };
        }
        let Some(node) = made.get_mut(number).map(std::mem::take) else { continue };
        let (order, end) = schrage(&node);
        best = best.min(end);
        let Insight::Branch { critical, set } = insight(&node, &order, end) else { continue };
        let members = || set.iter().filter_map(|i| node.get(*i));
        let head = members().map(|task| task.head).min().unwrap_or_default();
        let work: i64 = members().map(|task| task.duration).sum();
        let tail = members().map(|task| task.tail).min().unwrap_or_default();
        // With the critical task before the set: its tail holds all of them. After: its head does.
        let before = |task: &mut Task| task.tail = task.tail.max(work + tail);
        let after = |task: &mut Task| task.head = task.head.max(head + work);
        let changes: [&dyn Fn(&mut Task); 2] = [&before, &after];
        for change in changes {
            let mut child = node.clone();
            if let Some(task) = child.get_mut(critical) {
                change(task);
            }
            let bound = jackson_preemptive(&child).max(bound);
            if bound < best {
                open.push((Reverse(bound), Reverse(made.len())));
                made.push(child);
            }
        }
    }
    OneMachine { bound: best, exact: true }
}
