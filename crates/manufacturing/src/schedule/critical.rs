//! The critical path of a schedule: why it can't end earlier without another order.

use super::moves::walk;
use super::shop::Shop;
use super::state::State;
use super::verify::At;

/// The operations of one critical path, first to last: to the last end of all, or, for tardiness, to the
/// job that costs most by its lateness.
pub(super) fn path(shop: &Shop, order: &[u32]) -> Vec<At> {
    let state = State::new(shop, order);
    let mut path = walk(shop, &state, shop.costliest(&state.ends), || true);
    path.reverse();
    path.into_iter().filter_map(|x| shop.at(x)).map(|(job, operation)| At { job, operation }).collect()
}
