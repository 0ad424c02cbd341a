//! Bills: low-level codes, cycles, exact quantities.

use std::collections::BTreeMap;

use crate::production::bill::{BillError, Levels, cycle, needed};
use crate::production::plant::{Component, Id};

fn part(item: &str, quantity: i64) -> Component {
    Component { item: item.into(), quantity, per: 1, scrap_basis_points: 0 }
}

fn bills(parents: &[(&str, &[&str])]) -> BTreeMap<Id, Vec<Component>> {
    parents.iter().map(|(id, parts)| (Id::from(*id), parts.iter().map(|p| part(p, 1)).collect())).collect()
}

fn levels(parents: &[(&str, &[&str])], top: &str) -> Result<Levels, BillError> {
    let bills = bills(parents);
    Levels::of(&top.into(), |id| bills.get(id).map(Vec::as_slice))
}

#[test]
fn a_part_is_as_low_as_its_deepest_use() {
    let levels = levels(
        &[("bike", &["bolt", "wheel"]), ("wheel", &["hub"]), ("hub", &["bolt"]), ("bolt", &[])],
        "bike",
    );
    let order = levels.unwrap().order;
    let codes: Vec<(&str, u32)> = order.iter().map(|(id, code)| (&**id, *code)).collect();
    assert_eq!(codes, [("bike", 0), ("wheel", 1), ("hub", 2), ("bolt", 3)]);
}

#[test]
fn a_cycle_is_named() {
    let ring: &[(&str, &[&str])] = &[("a", &["x", "b"]), ("b", &["c"]), ("c", &["b"]), ("x", &[])];
    let error = levels(ring, "a").unwrap_err();
    assert_eq!(error.to_string(), "bill of materials has a cycle: b -> c -> b");
    // The wanted item may be in the ring itself.
    assert_eq!(levels(ring, "c").unwrap_err().to_string(), "bill of materials has a cycle: c -> b -> c");
    let bills = bills(ring);
    assert_eq!(cycle(bills.keys(), &|id: &Id| bills.get(id).map(Vec::as_slice)).unwrap(), ["b", "c", "b"]);
}

#[test]
fn an_item_of_itself_is_a_cycle_and_a_missing_part_is_named() {
    assert_eq!(levels(&[("a", &["a"])], "a"), Err(BillError::Cycle { path: vec!["a".into(), "a".into()] }));
    let missing = levels(&[("a", &["b"])], "a").unwrap_err();
    assert_eq!(missing.to_string(), "item b is not known; a is made of it");
}

#[test]
fn quantities_are_exact_and_rounded_up_once() {
    for (quantity, per, scrap, parent, units) in [
        (2, 1, 0, 10, Some(20)),
        (1, 3, 0, 10, Some(4)),     // 3.33
        (1, 3, 0, 9, Some(3)),      // exactly 3
        (1, 1, 200, 98, Some(100)), // 98 / 0.98
        (1, 1, 200, 99, Some(102)), // 101.02
        (1, 1, 9_000, 1, Some(10)),
        (1_000_000_000, 1, 0, 2, None),
    ] {
        let component = Component { item: "p".into(), quantity, per, scrap_basis_points: scrap };
        assert_eq!(needed(&component, parent), units, "{quantity}/{per} {scrap} {parent}");
    }
}
