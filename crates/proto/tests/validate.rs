//! The generated checks: what each rule refuses, how the path reads, and that our own contract is kept.

#![allow(clippy::all, missing_docs)]

use std::collections::HashMap;

use oaas_proto::oaas::catalog::v1::ListServicesRequest;
use oaas_proto::oaas::gateway::v1::{BreakerMode, ForceBreakerRequest};
use oaas_proto::validate::VIOLATIONS_MAX;
use oaas_proto::{Validate, Violation};

include!(concat!(env!("OUT_DIR"), "/test_contract/mod.rs"));

mod checks {
    include!(concat!(env!("OUT_DIR"), "/test_contract/validate.rs"));
}

use rules::v1::{Color, Enums, Line, Lists, Numbers, Texts, Times, Tree, Unruled, tree};

/// "field: description" of each violation.
fn told(message: &impl Validate) -> Vec<String> {
    message
        .violations()
        .into_iter()
        .map(|Violation { field, description }| format!("{field}: {description}"))
        .collect()
}

fn numbers() -> Numbers {
    Numbers {
        small: -5,
        big: 20,
        seven: 7,
        even: 0,
        share: 1.0,
        any: -3.5,
        yes: true,
        maybe: None,
        zero_or_ten: 0,
        free: 1,
        needed: 1,
        needed_even_zero: Some(0),
    }
}

#[test]
fn numbers_keep_their_bounds() {
    assert_eq!(told(&numbers()), [""; 0]);
    let wrong = Numbers {
        small: 5,
        big: 13,
        seven: 0,
        even: 3,
        share: f64::NAN,
        any: f32::INFINITY,
        yes: false,
        maybe: Some(0),
        zero_or_ten: 9,
        free: 0,
        needed: 0,
        needed_even_zero: None,
    };
    assert_eq!(
        told(&wrong),
        [
            "small: must be less than 5, is 5",
            "big: must not be 13",
            "seven: must be 7, is 0",
            "even: must be one of 0, 2, 4, is 3",
            "share: must be at most 1, is NaN",
            "share: must be at least 0, is NaN",
            "share: must be finite, is NaN",
            "any: must be finite, is inf",
            "yes: must be true, is false",
            "maybe: must be at least 1, is 0",
            "zero_or_ten: must be at least 10, is 9",
            "needed: is required",
            "needed_even_zero: is required",
        ]
    );
    let edges = Numbers { small: -6, big: 10, ..numbers() };
    assert_eq!(told(&edges), ["small: must be at least -5, is -6", "big: must be greater than 10, is 10"]);
}

#[test]
fn texts_are_measured_in_characters_and_never_repeated() {
    let good = Texts {
        currency: "CNY".into(),
        name: "返利计算".into(),
        code: "éàü".into(),
        bytes: "返".into(),
        kind: "b\"c".into(),
        other: "user".into(),
        fixed: "x".into(),
        url: "https://a/".into(),
        digest: vec![1, 2],
        blob: vec![0],
    };
    assert_eq!(told(&good), [""; 0]);
    let wrong = Texts {
        currency: "secret".into(),
        name: "返利计算吗".into(),
        code: "ab".into(),
        bytes: "返利".into(),
        kind: "c".into(),
        other: "root".into(),
        fixed: "".into(),
        url: "http://a".into(),
        digest: vec![1],
        blob: vec![1, 2, 3],
    };
    assert_eq!(
        told(&wrong),
        [
            "currency: must match ^[A-Z]{3}$",
            "name: must have at most 4 characters, has 5",
            "code: must have exactly 3 characters, has 2",
            "bytes: must have at most 3 bytes, has 6",
            "kind: must be one of \"a\", \"b\\\"c\"",
            "other: must be none of \"root\"",
            "fixed: must be \"x\"",
            "url: must start with \"https://\"",
            "url: must end with \"/\"",
            "digest: must have exactly 2 bytes, has 1",
            "blob: must have at most 2 bytes, has 3",
        ]
    );
    let short = Texts { name: "返".into(), bytes: "".into(), blob: vec![], ..good };
    assert_eq!(
        told(&short),
        [
            "name: must have at least 2 characters, has 1",
            "bytes: must have at least 1 byte, has 0",
            "blob: must have at least 1 byte, has 0",
        ]
    );
}

#[test]
fn enums_are_named() {
    let wrong = Enums { color: 0, only: 0, fixed: Some(Color::Red as i32) };
    assert_eq!(
        told(&wrong),
        [
            "color: must not be COLOR_UNSPECIFIED",
            "only: must be COLOR_RED or COLOR_BLUE, is 0",
            "fixed: must be COLOR_BLUE, is 1"
        ]
    );
    let unknown = Enums { color: 2, only: 5, fixed: None };
    assert_eq!(told(&unknown), ["color: must be a value of rules.v1.Color, is 2"]);
    assert_eq!(told(&Enums { color: 5, only: 1, fixed: Some(5) }), [""; 0]);
}

fn lists() -> Lists {
    Lists { lines: vec![Line { quantity: 1 }], needed: vec![0], ..Lists::default() }
}

#[test]
fn lists_and_maps_name_the_item() {
    assert_eq!(told(&lists()), [""; 0]);
    assert_eq!(told(&Lists::default()), ["lines: must have at least 1 item, has 0", "needed: is required"]);
    let wrong = Lists {
        lines: vec![Line { quantity: 1 }, Line { quantity: 1 }, Line { quantity: 0 }],
        tags: vec!["a".into(), "".into(), "a".into()],
        stock: HashMap::from([
            ("b".into(), Line { quantity: -1 }),
            ("a".into(), Line { quantity: 0 }),
            ("ok".into(), Line { quantity: 1 }),
            ("long".into(), Line { quantity: 1 }),
        ]),
        numbers: HashMap::from([(-3, 10), (4, 9)]),
        colors: vec![1, 2],
        needed: vec![0],
    };
    assert_eq!(
        told(&wrong),
        [
            "lines[2].quantity: must be at least 1, is 0",
            "tags: must not hold an item twice, item 2 repeats an earlier one",
            "tags[1]: must have at least 1 character, has 0",
            "stock: must have at most 3 pairs, has 4",
            "stock[\"a\"].quantity: must be at least 1, is 0",
            "stock[\"b\"].quantity: must be at least 1, is -1",
            "stock[\"long\"]: key must have at most 2 characters, has 4",
            "numbers[-3]: must be at most 9, is 10",
            "colors[1]: must be a value of rules.v1.Color, is 2",
        ]
    );
}

#[test]
fn a_report_has_a_limit() {
    let many = Lists { lines: vec![Line { quantity: 0 }; 100], ..lists() };
    let violations = many.violations();
    assert_eq!(violations.len(), VIOLATIONS_MAX);
    assert_eq!(violations.last().unwrap().field, format!("lines[{}].quantity", VIOLATIONS_MAX - 1));
}

#[test]
fn a_long_key_is_cut_in_the_path() {
    let stock = HashMap::from([("返".repeat(1000), Line { quantity: 1 })]);
    let violations = Lists { stock, ..lists() }.violations();
    assert_eq!(violations[0].field, format!("stock[\"{}\"…]", "返".repeat(64)));
}

#[test]
fn times_compare_whatever_their_form() {
    let wait = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let since = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    assert_eq!(told(&Times { wait: wait(1, 500_000_000), since: since(1_577_836_800) }), [""; 0]);
    assert_eq!(told(&Times { wait: None, since: None }), ["wait: is required"]);
    assert_eq!(
        told(&Times { wait: wait(0, 1_600_000_000), since: since(0) }),
        [
            "wait: must be at most 1.500s, is 1.600s",
            "since: must be at least 2020-01-01T00:00:00Z, is 1970-01-01T00:00:00Z",
        ]
    );
    assert_eq!(told(&Times { wait: wait(0, 0), since: None }), ["wait: must be greater than 0s, is 0s"]);
}

#[test]
fn nested_boxed_and_oneof_fields_are_reached() {
    let inner = tree::self_::Loop { r#while: 2 };
    let leaf = Tree { choice: Some(tree::ChoiceOneOf::Text("".into())), ..Tree::default() };
    let tree = Tree {
        line: Some(Line { quantity: 0 }),
        child: Some(Box::new(leaf.clone())),
        self_: Some(tree::Self_ { r#loop: Some(inner) }),
        choice: Some(tree::ChoiceOneOf::Tree(Box::new(leaf))),
    };
    assert_eq!(
        told(&tree),
        [
            "line.quantity: must be at least 1, is 0",
            "child.text: must have at least 1 character, has 0",
            "self.loop.while: must be at most 1, is 2",
            "tree.text: must have at least 1 character, has 0",
        ]
    );
    assert_eq!(told(&Tree::default()), ["choice: is required"]);
    let code = Tree { choice: Some(tree::ChoiceOneOf::HttpCode(99)), ..Tree::default() };
    assert_eq!(told(&code), ["HTTPCode: must be at least 100, is 99"]);
    assert_eq!(told(&Unruled { anything: "x".into() }), [""; 0]);
}

#[test]
fn our_contract_is_kept() {
    let page = |page_size| ListServicesRequest { page_size, ..Default::default() };
    assert_eq!(told(&page(500)), [""; 0]);
    assert_eq!(told(&page(501)), ["page_size: must be at most 500, is 501"]);
    let force = ForceBreakerRequest {
        service: String::new(),
        mode: BreakerMode::Unspecified as i32,
        reason: "r".into(),
    };
    assert_eq!(
        told(&force),
        ["service: must have at least 1 character, has 0", "mode: must not be BREAKER_MODE_UNSPECIFIED"]
    );
    let force = ForceBreakerRequest { service: "s".into(), mode: 9, reason: "长".repeat(513) };
    assert_eq!(
        told(&force),
        [
            "mode: must be a value of oaas.gateway.v1.BreakerMode, is 9",
            "reason: must have at most 512 characters, has 513",
        ]
    );
}
