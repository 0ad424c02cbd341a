//! The reader of delivery histories, and the backtest on cases of our own.

use proptest::prelude::*;

use super::*;
use crate::clearance_time::backtest::{self, BacktestError, Case, Method};
use crate::clearance_time::{FileError, Moment, olist, plot, scms};

const HEADER: &str = "ASN/DN #,Country,Shipment Mode,Vendor INCO Term,PO Sent to Vendor Date,\
    Delivered to Client Date,Delivery Recorded Date,Sub Classification,Vendor,Manufacturing Site";

fn read(lines: &[&str]) -> Result<scms::Import, FileError> {
    let text = format!("\u{feff}{HEADER}\n{}\n", lines.join("\n"));
    scms::read(text.as_bytes(), "h.csv")
}

#[test]
fn both_forms_of_dates_are_read_and_each_shipment_once() {
    let import = read(&[
        r#"A-1,Côte d'Ivoire,Air,EXW,8/13/06,5-Oct-06,9-Oct-06,HIV test,ABBVIE,"Abbvie, ""GmbH"" Wiesbaden""#,
        r#"A-1,Côte d'Ivoire,Air,EXW,8/13/06,5-Oct-06,9-Oct-06,Adult,ABBVIE,Other line"#,
        "A-2,Zambia,N/A,N/A,08/13/2006,13-Aug-06,13-Aug-06,Adult,V,S",
        "A-3,Zambia,Ocean,CIP,8/14/06,13-Aug-06,13-Aug-06,Adult,V,S",
        "A-4,Zambia,Truck,DDP,Date Not Captured,13-Aug-06,13-Aug-06,Adult,V,S",
        "A-5,Zambia,Truck,N/A - From RDC,N/A - From RDC,13-Aug-06,13-Aug-06,Adult,V,S",
    ])
    .unwrap();
    let skipped = scms::Skipped { repeated_lines: 1, from_stock: 1, undated: 1, reversed: 1, same_day: 1 };
    assert_eq!(import.skipped, skipped);
    let [shipment] = import.shipments.as_slice() else { panic!("{:?}", import.shipments) };
    assert_eq!(shipment.traits.destination.code(), "CI");
    assert_eq!(shipment.traits.mode, Some(TransportMode::Air));
    assert_eq!(shipment.traits.origin_site, r#"Abbvie, "GmbH" Wiesbaden"#);
    assert_eq!(shipment.traits.product_group, "HIV test");
    assert_eq!((shipment.delivered_ms - shipment.ordered_ms) / DAY, 53);

    let [ordered, delivered] = shipment.records();
    assert_eq!(ordered.known_at_ms, 1_155_427_200_000, "2006-08-13T00:00:00Z");
    assert_eq!(ordered.milestones.at(Moment::Delivered), None);
    assert_eq!(delivered.known_at_ms - shipment.delivered_ms, 4 * DAY);
    assert_eq!(delivered.milestones.check(delivered.known_at_ms), Ok(()));
}

#[test]
fn errors_say_where() {
    let good = "A-1,Zambia,Air,EXW,8/13/06,5-Oct-06,9-Oct-06,Adult,V,S";
    for (line, error) in [
        (
            "A-2,Zambia,Air,EXW,13/8/06,5-Oct-06,9-Oct-06,Adult,V,S",
            "h.csv:3:5: PO Sent to Vendor Date: \"13/8/06\" is not a date such as 8/13/06, 13-Aug-06 or \
             Date Not Captured",
        ),
        (
            "A-2,Atlantis,Air,EXW,8/13/06,5-Oct-06,9-Oct-06,Adult,V,S",
            "h.csv:3:2: Country: \"Atlantis\" is not a country of the programme",
        ),
        (
            "A-2,Zambia,Rocket,EXW,8/13/06,5-Oct-06,9-Oct-06,Adult,V,S",
            "h.csv:3:3: Shipment Mode: \"Rocket\" is not one of Air, Air Charter, Ocean, Truck, N/A",
        ),
        (",Zambia,Air,EXW,8/13/06,5-Oct-06,9-Oct-06,Adult,V,S", "h.csv:3:1: ASN/DN #: is empty"),
    ] {
        assert_eq!(read(&[good, line]).unwrap_err().to_string(), error);
    }
    let missing = scms::read("ASN/DN #,Country\n".as_bytes(), "h.csv").unwrap_err().to_string();
    assert_eq!(missing, "h.csv:1: column \"Shipment Mode\" is missing from the header");
    let short = read(&[good, "A-2,Zambia"]).unwrap_err().to_string();
    assert!(short.starts_with("h.csv: ") && short.contains("line: 3"), "{short}");
}

const ORDERS: &str = "order_id,carrier,delivered,customer_state,seller_state,seller_id,category";

#[test]
fn orders_of_a_marketplace_are_timed_from_the_hand_over_to_the_delivery() {
    assert!(olist::is_header(ORDERS) && !olist::is_header(HEADER));
    let text = format!(
        "{ORDERS}\no1,2017-10-04 19:55:00,2017-10-10 21:25:13,SP,RJ,s1,toys\no2,2017-10-04 19:55:00,,SP,RJ,s1,toys\n\
         o3,2017-10-04 19:55:00,2017-10-03 21:25:13,SP,RJ,s1,toys\n"
    );
    let import = olist::read(text.as_bytes(), "o.csv").unwrap();
    assert_eq!((import.undated, import.reversed), (1, 1));
    let [case] = import.cases.as_slice() else { panic!("{:?}", import.cases) };
    assert_eq!(case.end_ms - case.start_ms, 6 * DAY + HOUR + (30 * 60 + 13) * 1000);
    assert_eq!((case.traits.origin_site.as_str(), case.traits.office.as_str()), ("RJ", "SP"));
    let wrong = format!("{ORDERS}\no1,yesterday,2017-10-10 21:25:13,SP,RJ,s1,toys\n");
    assert_eq!(
        olist::read(wrong.as_bytes(), "o.csv").unwrap_err().to_string(),
        "o.csv:2:2: carrier: \"yesterday\" is not a time such as 2017-10-02 10:56:33"
    );
}

/// Two lanes over four years, a case a day each: ten days by air and a hundred by sea, give or take.
fn two_lanes() -> Vec<Case> {
    let lanes =
        [traits("ZM", "IN", TransportMode::Air), traits("ZM", "IN", TransportMode::Sea)].map(Arc::new);
    let mut cases = Vec::new();
    for day in 0..4 * 365i64 {
        for (lane, days) in lanes.iter().zip([10, 100]) {
            let start_ms = NOW + day * DAY;
            // A spread of one to two that never falls into step with the calendar.
            let spread = 1.0 + (day * 37 % 101) as f64 / 101.0;
            let end_ms = start_ms + (days as f64 * spread * DAY as f64) as i64;
            cases.push(Case { start_ms, end_ms, traits: Arc::clone(lane) });
        }
    }
    cases
}

#[test]
fn a_backtest_tells_a_method_that_knows_the_lane_from_one_that_does_not() {
    let report = backtest::run(Stage::OrderToDelivery, &two_lanes(), 6).unwrap();
    let score = |method| report.scores.iter().find(|score| score.method == method).unwrap();
    let (model, lane, global) = (score(Method::Model), score(Method::Lane), score(Method::Global));
    // The best that can be had of a uniform spread of width w is a mean pinball of 11 w / 120.
    let best = 11.0 / 120.0 * (10.0 + 100.0) / 2.0;
    assert!(lane.pinball_days > 0.95 * best && lane.pinball_days < 1.15 * best, "{lane:?}, {best}");
    assert!(model.pinball_days < 1.15 * best, "{model:?}");
    assert!(global.pinball_days > 2.0 * best, "{global:?}");
    assert!((model.coverage - 0.8).abs() < 0.07 && model.lanes.0 == 2, "{model:?}");
    assert_eq!(model.crps_days, 2.0 * model.pinball_days);
    assert!((report.mean_days - 82.5).abs() < 2.0, "{}", report.mean_days);
}

#[test]
fn the_picture_has_a_mark_for_every_figure() {
    let report = backtest::run(Stage::OrderToDelivery, &two_lanes(), 6).unwrap();
    for score in &report.scores {
        assert_eq!(score.widths_days[0], score.width_days);
        assert!(score.widths_days.is_sorted_by(|a, b| a >= b) && score.held.is_sorted(), "{score:?}");
    }
    for lang in [oaas_model::Lang::En, oaas_model::Lang::Zh] {
        let svg = plot::svg(&report, lang);
        // Nine quantiles, four bands and two ends of the legend's line.
        assert_eq!(svg.matches("<circle").count(), 9 + 4 + 2);
        for method in Method::ALL {
            assert!(svg.contains(method.name(lang)), "{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let opened = svg.matches('<').count() - svg.matches("</").count();
        assert_eq!(opened, svg.matches("</").count() + svg.matches("/>").count(), "tags are closed");
    }
}

#[test]
fn too_little_data_is_said_to_be_so() {
    let few: Vec<Case> = two_lanes().into_iter().take(20).collect();
    let error = backtest::run(Stage::OrderToDelivery, &few, 6).unwrap_err();
    assert!(matches!(error, BacktestError::TooShort { cases: 20, .. }));
    assert!(backtest::run(Stage::OrderToDelivery, &[], 6).is_err());
}

proptest! {
    /// No leak: how the cases went on after the origin is nothing to what was known at it.
    #[test]
    fn a_backtest_learns_only_what_was_known(
        cases in prop::collection::vec((0..300i64, 1..300i64, 0..300i64), 1..40),
        origin in 0..400i64,
    ) {
        let origin = NOW + origin * DAY;
        let lane = Arc::new(traits("ZM", "IN", TransportMode::Air));
        let case = |start: i64, took: i64| Case {
            start_ms: NOW + start * DAY,
            end_ms: NOW + (start + took) * DAY,
            traits: Arc::clone(&lane),
        };
        let real: Vec<Case> = cases.iter().map(|&(start, took, _)| case(start, took)).collect();
        let other: Vec<Case> = (real.iter().zip(&cases))
            .map(|(real, &(_, _, more))| match real.end_ms >= origin {
                true => Case { end_ms: real.end_ms + more * DAY, ..real.clone() },
                false => real.clone(),
            })
            .collect();
        let stage = Stage::OrderToDelivery;
        prop_assert_eq!(
            backtest::known_at(stage, &real, origin),
            backtest::known_at(stage, &other, origin)
        );
    }
}
