//! Exact amounts: minor units with four more digits, rounded once, and split so that the parts are
//! the whole.

/// Ten-thousandths in one minor unit, and basis points in the whole.
pub const SCALE: i128 = 10_000;

/// How an exact amount becomes minor units. Amounts are never negative where this is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, a half up.
    HalfUp,
    /// To the nearest, a half to the even neighbour.
    HalfEven,
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// An exact amount in ten-thousandths of a minor unit: what basis points of whole minor units give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(i128);

impl Exact {
    /// `rate_bp` basis points of `base` minor units; `None` beyond 128 bits.
    #[must_use]
    pub fn share(base: i128, rate_bp: u32) -> Option<Self> {
        base.checked_mul(i128::from(rate_bp)).map(Self)
    }

    /// `units` times `unit_minor` minor units; `None` beyond 128 bits.
    #[must_use]
    pub fn per_unit(units: i128, unit_minor: i64) -> Option<Self> {
        units.checked_mul(i128::from(unit_minor))?.checked_mul(SCALE).map(Self)
    }

    /// The sum; `None` beyond 128 bits.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` beyond 128 bits.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `part / of` of it, cut at the ten-thousandth; `None` beyond 128 bits and of nothing.
    #[must_use]
    pub fn portion(self, part: i128, of: i128) -> Option<Self> {
        if part == of {
            return Some(self);
        }
        self.0.checked_mul(part)?.checked_div_euclid(of).map(Self)
    }

    /// Ten-thousandths of a minor unit.
    #[must_use]
    pub fn ten_thousandths(self) -> i128 {
        self.0
    }

    /// Whole minor units by `rule`.
    #[must_use]
    pub fn rounded(self, rule: Rounding) -> i128 {
        let (whole, rest) = (self.0.div_euclid(SCALE), self.0.rem_euclid(SCALE));
        let up = match rule {
            Rounding::HalfUp => rest * 2 >= SCALE,
            Rounding::HalfEven => rest * 2 > SCALE || (rest * 2 == SCALE && whole.rem_euclid(2) == 1),
            Rounding::Down => false,
            Rounding::Up => rest > 0,
        };
        whole + i128::from(up)
    }
}

/// Rounds the sum of `parts` once and gives each part its floor or its ceiling so that together they
/// are that sum: largest remainder (Hamilton's method), equal remainders in the order of the keys.
///
/// The result has the order of `parts`. `None` when the sum is beyond 128 bits.
#[must_use]
pub fn split<K: Ord>(parts: &[(K, Exact)], rule: Rounding) -> Option<Vec<i128>> {
    let sum = parts.iter().try_fold(Exact::default(), |sum, (_, part)| sum.plus(*part))?;
    let quotas = parts.iter().map(|(key, part)| Quota {
        key,
        floor: part.0.div_euclid(SCALE),
        remainder: part.0.rem_euclid(SCALE),
    });
    Some(hand_out(sum.rounded(rule), quotas.collect()))
}

/// Shares `total` in proportion to `weights`, none of them negative, by largest remainder with equal
/// remainders in the order of the keys. All shares are zero when all weights are.
///
/// The result has the order of `weights`. `None` beyond 128 bits.
#[must_use]
pub fn apportion<K: Ord>(total: i128, weights: &[(K, i128)]) -> Option<Vec<i128>> {
    let sum = weights.iter().try_fold(0i128, |sum, (_, weight)| sum.checked_add(*weight))?;
    if sum == 0 {
        return Some(vec![0; weights.len()]);
    }
    let quotas = weights.iter().map(|(key, weight)| {
        let product = total.checked_mul(*weight)?;
        Some(Quota { key, floor: product.div_euclid(sum), remainder: product.rem_euclid(sum) })
    });
    Some(hand_out(total, quotas.collect::<Option<_>>()?))
}

struct Quota<'a, K> {
    key: &'a K,
    floor: i128,
    remainder: i128,
}

/// Adds one to the floors with the largest remainders until they sum to `total`.
fn hand_out<K: Ord>(total: i128, quotas: Vec<Quota<'_, K>>) -> Vec<i128> {
    let mut shares: Vec<i128> = quotas.iter().map(|quota| quota.floor).collect();
    let mut left = total - shares.iter().sum::<i128>();
    if left == 0 {
        return shares;
    }
    let mut order: Vec<(usize, Quota<'_, K>)> = quotas.into_iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| b.remainder.cmp(&a.remainder).then_with(|| a.key.cmp(b.key)));
    for (place, _) in order {
        if left == 0 {
            break;
        }
        if let Some(share) = shares.get_mut(place) {
            *share += 1;
            left -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_rounds_a_half_its_own_way() {
        for (ten_thousandths, expected) in [
            (25_000, [3, 2, 2, 3]),
            (35_000, [4, 4, 3, 4]),
            (24_999, [2, 2, 2, 3]),
            (25_001, [3, 3, 2, 3]),
            (20_000, [2, 2, 2, 2]),
        ] {
            let rules = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Down, Rounding::Up];
            assert_eq!(rules.map(|rule| Exact(ten_thousandths).rounded(rule)), expected);
        }
    }

    #[test]
    fn equal_remainders_go_to_the_smaller_id() {
        let third = Exact(3_333);
        let parts = [("c", third), ("a", third), ("b", third)];
        assert_eq!(split(&parts, Rounding::HalfUp), Some(vec![0, 1, 0]));
        assert_eq!(apportion(2, &[("c", 1), ("a", 1), ("b", 1)]), Some(vec![0, 1, 1]));
        assert_eq!(apportion(5, &[("a", 0)]), Some(vec![0]));
    }
}
