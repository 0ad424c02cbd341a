//! Floods and gaps: whatever comes, records and sums together say exactly how many.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::record::Refusal;
use crate::tally::{FLOOD_KEYS_MAX, FloodTally, GAP_METHODS_MAX, GapTally};

fn refusal(application: &str, method: &str, reason: &str) -> Refusal {
    Refusal { head: Some(head(1, application, method)), reason: reason.into(), ..Refusal::default() }
}

proptest! {
    #[test]
    fn own_records_and_sums_add_up(
        steps in prop::collection::vec((0..3usize, 0..2usize, 0..20_000u64, prop::bool::ANY, prop::bool::ANY), 1..400),
    ) {
        let mut tally = FloodTally::new(5);
        let clock = clock();
        let mut sent: HashMap<(String, String), u64> = HashMap::new();
        let mut told: HashMap<(String, String), u64> = HashMap::new();
        let mut own_a_minute: HashMap<(String, String, i64), u64> = HashMap::new();
        for (application, reason, pause_ms, flush, writable) in steps {
            let (application, reason) = (["a", "b", "c"][application], ["R", "S"][reason]);
            let refusal = refusal(application, "/x.Y/Z", reason);
            let key = (application.to_owned(), reason.to_owned());
            *sent.entry(key.clone()).or_default() += 1;
            if tally.note(&refusal, clock.now()) {
                if writable {
                    *told.entry(key.clone()).or_default() += 1;
                } else {
                    tally.note_unwritten(&refusal, clock.now());
                }
                let minute = clock.now().unix_ns / 60_000_000_000;
                *own_a_minute.entry((key.0, key.1, minute)).or_default() += 1;
            }
            if flush {
                for sum in tally.take() {
                    if writable {
                        *told.entry((sum.application, sum.reason)).or_default() += sum.count;
                    } else {
                        tally.put_back(sum);
                    }
                }
            }
            clock.advance(Duration::from_millis(pause_ms));
        }
        for sum in tally.take() {
            prop_assert_eq!(&sum.service, "x.Y");
            prop_assert!(sum.first_time_unix_ns <= sum.last_time_unix_ns);
            *told.entry((sum.application, sum.reason)).or_default() += sum.count;
        }
        prop_assert_eq!(sent, told);
        prop_assert!(own_a_minute.values().all(|own| *own <= 5));
    }
}

#[test]
fn invented_names_cost_bounded_memory_and_are_still_counted() {
    let mut floods = FloodTally::new(1);
    let mut gaps = GapTally::default();
    let now = clock().now();
    let names = 3 * FLOOD_KEYS_MAX.max(GAP_METHODS_MAX);
    let mut own = 0;
    for name in 0..names {
        let method = format!("/s{name}.X/Y");
        own += usize::from(floods.note(&refusal("", &method, "METHOD_UNKNOWN"), now));
        gaps.note(&method, now);
    }
    let sums = floods.take();
    assert!(own <= FLOOD_KEYS_MAX + 1, "{own} records");
    let summed: u64 = sums.iter().map(|sum| sum.count).sum();
    assert_eq!(own + usize::try_from(summed).unwrap(), names);
    assert_eq!(sums.last().map(|sum| sum.service.as_str()), Some("*"));
    let gaps = gaps.take();
    assert!(gaps.len() <= GAP_METHODS_MAX + 1);
    assert_eq!(gaps.iter().map(|gap| gap.count).sum::<u64>(), u64::try_from(names).unwrap());
}
