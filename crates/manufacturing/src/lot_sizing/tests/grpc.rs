//! The adapter: the same figures through the wire, and refusals that name the field.

use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::lot_sizing_service_server::LotSizingService as _;
use pb::choose_policy_request::Model;
use tonic::{Code, Request};

use crate::lot_sizing::grpc::LotSizing;

/// The twelve-month example of Wagner & Whitin (1958).
fn example_1958() -> pb::SizeLotsRequest {
    let demand = [69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56];
    let setup = [85, 102, 102, 101, 98, 114, 105, 86, 119, 110, 98, 114];
    let period = |(demand, setup): (i64, i64)| pb::LotPeriod {
        demand,
        setup_cost_minor: Some(setup),
        ..Default::default()
    };
    let periods = demand.into_iter().zip(setup).map(period).collect();
    pb::SizeLotsRequest { periods, holding_micros: 1_000_000, ..Default::default() }
}

#[tokio::test]
async fn the_example_of_1958_with_all_methods_beside_it() {
    let answer = LotSizing.size_lots(Request::new(example_1958())).await.unwrap().into_inner();
    assert_eq!(answer.method(), pb::LotMethod::WagnerWhitin);
    let lots: Vec<(u32, i64, u32)> =
        answer.lots.iter().map(|lot| (lot.period, lot.quantity, lot.covers_until_period)).collect();
    assert_eq!(lots, [(1, 98, 2), (3, 97, 4), (5, 121, 7), (8, 112, 9), (10, 67, 10), (11, 135, 12)]);
    let costs: Vec<(pb::LotMethod, i64, i64)> = answer
        .comparisons
        .iter()
        .map(|row| (row.method(), row.cost.unwrap().total_minor, row.above_optimum_basis_points))
        .collect();
    for published in [
        (pb::LotMethod::WagnerWhitin, 864, 0),
        (pb::LotMethod::PartPeriod, 912, 556),
        (pb::LotMethod::SilverMeal, 913, 567),
        (pb::LotMethod::LotForLot, 1234, 4282),
    ] {
        assert!(costs.contains(&published), "{published:?} is not in {costs:?}");
    }
    let cost = answer.cost.unwrap();
    assert_eq!(cost.setup_minor + cost.units_minor + cost.holding_minor, cost.total_minor);
}

#[tokio::test]
async fn a_fixed_quantity_needs_a_quantity() {
    let request = pb::SizeLotsRequest { method: pb::LotMethod::FixedQuantity.into(), ..example_1958() };
    let status = LotSizing.size_lots(Request::new(request.clone())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("fixed_quantity"), "{status}");
    let request = pb::SizeLotsRequest { fixed_quantity: 100, ..request };
    let answer = LotSizing.size_lots(Request::new(request)).await.unwrap().into_inner();
    assert!(answer.lots.iter().all(|lot| lot.quantity % 100 == 0));
    assert_eq!(answer.left_over, answer.lots.iter().map(|lot| lot.quantity).sum::<i64>() - 630);
}

#[tokio::test]
async fn a_policy_and_what_is_outside_its_model() {
    let demand = pb::RandomDemand { distribution: Some(pb::random_demand::Distribution::PoissonMean(6.0)) };
    let mut model = pb::MinMaxModel {
        setup_cost_micros: 5_000_000,
        holding_cost_micros: 1_000_000,
        stockout_cost_micros: 4_000_000,
        demand: Some(demand),
        lead_time: 0.0,
    };
    let request = |model: &pb::MinMaxModel| {
        Request::new(pb::ChoosePolicyRequest { model: Some(Model::MinMax(model.clone())) })
    };
    let answer = LotSizing.choose_policy(request(&model)).await.unwrap().into_inner();
    assert_eq!((answer.reorder_point, answer.order_up_to, answer.exact), (Some(4.0), Some(10.0), true));
    assert_eq!(answer.expected_cost_micros, Some(8_034_112));
    let log = pb::LogNormalDemand { mu: 1.0, sigma: 0.5 };
    model.demand =
        Some(pb::RandomDemand { distribution: Some(pb::random_demand::Distribution::LogNormal(log)) });
    let status = LotSizing.choose_policy(request(&model)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let nothing = Request::new(pb::ChoosePolicyRequest { model: None });
    assert_eq!(LotSizing.choose_policy(nothing).await.unwrap_err().code(), Code::InvalidArgument);
}
