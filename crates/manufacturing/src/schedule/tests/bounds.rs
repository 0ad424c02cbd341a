//! The bounds of one machine: against all orders, and against what Carlier published.

use proptest::prelude::*;

use crate::schedule::one_machine::{Task, carlier, jackson_preemptive};

fn end(tasks: &[Task], order: &[usize]) -> i64 {
    let (mut now, mut end) = (0, 0);
    for i in order {
        now = tasks[*i].head.max(now) + tasks[*i].duration;
        end = end.max(now + tasks[*i].tail);
    }
    end
}

/// The best of all orders.
fn brute(tasks: &[Task], order: &mut Vec<usize>, left: &mut Vec<usize>) -> i64 {
    if left.is_empty() {
        return end(tasks, order);
    }
    let mut best = i64::MAX;
    for at in 0..left.len() {
        let i = left.remove(at);
        order.push(i);
        best = best.min(brute(tasks, order, left));
        order.pop();
        left.insert(at, i);
    }
    best
}

#[test]
fn carliers_example() {
    // The seven tasks of Carlier 1982, table 1: preemptive 49 (Schrage 53), optimum 50.
    let of = |(head, duration, tail)| Task { head, duration, tail };
    let tasks: Vec<Task> =
        [(10, 5, 7), (13, 6, 26), (11, 7, 24), (20, 4, 21), (30, 3, 8), (0, 6, 17), (30, 2, 0)]
            .map(of)
            .into();
    assert_eq!(brute(&tasks, &mut vec![], &mut (0..7).collect()), 50);
    let found = carlier(&tasks);
    assert_eq!((found.bound, found.exact), (50, true));
    assert_eq!(jackson_preemptive(&tasks), 49);
}

proptest! {
    #[test]
    fn carlier_is_the_best_of_all_orders(
        tasks in prop::collection::vec((0i64..30, 1i64..12, 0i64..30), 1..8)
    ) {
        let tasks: Vec<Task> =
            tasks.into_iter().map(|(head, duration, tail)| Task { head, duration, tail }).collect();
        let best = brute(&tasks, &mut vec![], &mut (0..tasks.len()).collect());
        let found = carlier(&tasks);
        prop_assert_eq!(found.bound, best);
        prop_assert!(found.exact);
        prop_assert!(jackson_preemptive(&tasks) <= best);
    }
}
