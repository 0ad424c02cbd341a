//! The shape of what the effects leave unexplained: residual quantiles from finished and censored cases.

use super::normal;

/// Quantiles kept: 0.01 to 0.99.
const POINTS: usize = 99;
/// Halvings of a search: a range of 20 to the third decimal.
const HALVINGS: usize = 16;
/// Weight of the prior shape, in cases.
const PRIOR_CASES: f64 = 30.0;

/// A residual, on the log scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Residual {
    pub value: f64,
    pub weight: f64,
    /// Whether it is known, or only that the true one is larger.
    pub finished: bool,
}

/// A quantile function of residuals, never falling.
#[derive(Clone, Debug)]
pub(super) struct Shape(Vec<f64>);

impl Shape {
    /// The normal shape; for a model without data.
    pub(super) fn normal(sigma: f64) -> Self {
        Self((1..=POINTS).map(|i| sigma * normal::quantile(probability(i))).collect())
    }

    /// The product-limit estimate (Kaplan & Meier, J. Am. Stat. Assoc. 53, 1958) with case weights, drawn
    /// to `prior` by n/(n + 30). Where the cases don't reach a quantile, the prior stands alone.
    pub(super) fn kaplan_meier(mut residuals: Vec<Residual>, prior: &Self) -> Self {
        let mut shape = prior.clone();
        // A censored case at the same value is longer than the finished ones there.
        residuals.sort_by(|a, b| a.value.total_cmp(&b.value).then(b.finished.cmp(&a.finished)));
        let total: f64 = residuals.iter().map(|r| r.weight).sum();
        let own = total / (total + PRIOR_CASES);
        let (mut at_risk, mut survival, mut next) = (total, 1.0, 0);
        for residual in &residuals {
            if residual.finished && at_risk > 0.0 {
                survival *= (1.0 - residual.weight / at_risk).max(0.0);
                while let Some(slot) = shape.0.get_mut(next)
                    && 1.0 - survival >= probability(next + 1) - 1e-12
                {
                    *slot += own * (residual.value - *slot);
                    next += 1;
                }
            }
            at_risk -= residual.weight;
        }
        // The seam between the estimate and the normal tail must not fall.
        let mut highest = f64::NEG_INFINITY;
        for value in &mut shape.0 {
            highest = highest.max(*value);
            *value = highest;
        }
        shape
    }

    /// The quantile function of a distribution between two values, by halving.
    pub(super) fn from_distribution(below: impl Fn(f64) -> f64, low: f64, high: f64) -> Self {
        let mut points = Vec::with_capacity(POINTS);
        let mut from = low;
        for i in 1..=POINTS {
            let (mut a, mut b) = (from, high);
            for _ in 0..HALVINGS {
                let middle = 0.5 * (a + b);
                if below(middle) < probability(i) { a = middle } else { b = middle }
            }
            points.push(b);
            from = a;
        }
        Self(points)
    }

    /// The share of cases that don't exceed `value`: what [`Shape::quantile`] inverts.
    pub(super) fn probability(&self, value: f64) -> f64 {
        let next = self.0.partition_point(|point| *point <= value);
        let (Some(last), Some(first)) = (self.0.last(), self.0.first()) else { return 0.0 };
        if value < *first {
            return 0.0;
        }
        if value >= *last {
            return 1.0;
        }
        let at = |i: usize| self.0.get(i).copied().unwrap_or_default();
        let (low, high) = (at(next - 1), at(next));
        probability(next) + (value - low) / (high - low) / (POINTS + 1) as f64
    }

    /// The residual that `probability` of cases don't exceed, between the points by straight lines.
    pub(super) fn quantile(&self, probability: f64) -> f64 {
        let position = (probability * (POINTS + 1) as f64 - 1.0).clamp(0.0, (POINTS - 1) as f64);
        let below = position.floor();
        let at = |i: f64| self.0.get(i as usize).copied().unwrap_or_default();
        at(below) + (position - below) * (at((below + 1.0).min((POINTS - 1) as f64)) - at(below))
    }
}

fn probability(point: usize) -> f64 {
    point as f64 / (POINTS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residual(value: f64, finished: bool) -> Residual {
        Residual { value, weight: 1000.0, finished }
    }

    /// The estimate by hand: at 1 of four 3/4 are left, at 3 of two 3/8, at 4 of one 0.
    #[test]
    fn censored_cases_leave_the_risk_set() {
        let cases = vec![residual(1.0, true), residual(2.0, false), residual(3.0, true), residual(4.0, true)];
        let shape = Shape::kaplan_meier(cases, &Shape::normal(1e-9));
        let close = |p: f64, value: f64| {
            let got = shape.quantile(p);
            assert!((got - value).abs() < 0.05, "quantile({p}) = {got}, not {value}");
        };
        close(0.20, 1.0);
        close(0.30, 3.0);
        close(0.62, 3.0);
        close(0.64, 4.0);
    }

    #[test]
    fn without_cases_it_is_normal() {
        let shape = Shape::kaplan_meier(Vec::new(), &Shape::normal(2.0));
        assert!((shape.quantile(0.9) - 2.0 * 1.281_551_565_5).abs() < 1e-6);
        assert!(shape.quantile(0.5).abs() < 1e-9);
    }
}
