//! The normal distribution, as far as censored log-normal times need it.

use std::f64::consts::PI;

/// Beyond this the tail is computed by a continued fraction, below it by the series of the middle.
const TAIL_FROM: f64 = 3.0;
/// Terms of the series: enough for double precision up to [`TAIL_FROM`].
const SERIES_TERMS_MAX: u32 = 200;
/// Depth of the continued fraction: double precision from [`TAIL_FROM`] on.
const FRACTION_DEPTH: u32 = 80;
/// Newton steps of the quantile; it converges in about six.
const NEWTON_STEPS_MAX: u32 = 60;

/// Density at `x`.
pub(super) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// P(Z > x).
pub(super) fn survival(x: f64) -> f64 {
    if x > TAIL_FROM {
        density(x) / hazard_tail(x)
    } else if x < -TAIL_FROM {
        1.0 - survival(-x)
    } else {
        0.5 - density(x) * series(x)
    }
}

/// Inverse Mills ratio E[Z | Z > x] = φ(x) / P(Z > x).
pub(super) fn hazard(x: f64) -> f64 {
    if x > TAIL_FROM { hazard_tail(x) } else { density(x) / survival(x) }
}

/// The z with P(Z ≤ z) = `p`, for 0 < p < 1, by Newton from the middle, where it converges from one side.
pub(super) fn quantile(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    let mut x = 0.0;
    for _ in 0..NEWTON_STEPS_MAX {
        let step = (1.0 - survival(x) - p) / density(x);
        x -= step;
        if step.abs() < 1e-12 {
            break;
        }
    }
    x
}

/// x + x³/3 + x⁵/(3·5) + …, so that Φ(x) = ½ + φ(x)·series (Marsaglia, "Evaluating the Normal
/// Distribution", J. Stat. Software 11, 2004).
fn series(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    for _ in 0..SERIES_TERMS_MAX {
        k += 2.0;
        term *= x * x / k;
        sum += term;
        if term.abs() < 1e-17 {
            break;
        }
    }
    sum
}

/// Laplace's continued fraction x + 1/(x + 2/(x + 3/(x + …))) of φ(x) / P(Z > x).
fn hazard_tail(x: f64) -> f64 {
    (1..=FRACTION_DEPTH).rev().fold(x, |below, k| x + f64::from(k) / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of standard tables.
    #[test]
    fn agrees_with_published_values() {
        for (x, sf) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457),
            (1.959_963_984_540_054, 0.025),
            (3.0, 1.349_898_031_630_094e-3),
            (3.5, 2.326_290_790_355_25e-4),
            (6.0, 9.865_876_450_376_98e-10),
            (-2.0, 0.977_249_868_051_821),
        ] {
            assert!((survival(x) / sf - 1.0).abs() < 1e-10, "P(Z > {x}) = {} against {sf}", survival(x));
        }
        for (p, z) in [(0.5, 0.0), (0.9, 1.281_551_565_544_6), (0.01, -2.326_347_874_040_8)] {
            assert!((quantile(p) - z).abs() < 1e-9, "quantile({p}) = {}", quantile(p));
        }
        assert!((hazard(0.0) - 0.797_884_560_802_865).abs() < 1e-12);
        assert!((hazard(3.0 + 1e-12) - hazard(3.0)).abs() < 1e-9);
    }
}
