//! The standard normal distribution and its loss functions.
//!
//! Distribution: G. Marsaglia, "Evaluating the normal distribution", J. Stat. Software 11 (2004);
//! loss functions: E. L. Porteus, Foundations of Stochastic Inventory Theory (2002).

use std::f64::consts::PI;

/// Beyond this the tail is computed by a continued fraction, below it by the series of the middle.
const TAIL_FROM: f64 = 3.0;
/// Terms of the series: enough for double precision up to [`TAIL_FROM`].
const TERMS_MAX: u32 = 200;
/// Depth of the continued fraction: double precision from [`TAIL_FROM`] on.
const DEPTH: u32 = 100;
/// Newton steps of the quantile; it converges in about six.
const STEPS_MAX: u32 = 60;

/// Density at `x`.
#[must_use]
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// P(Z > x).
#[must_use]
pub fn above(x: f64) -> f64 {
    if x > TAIL_FROM {
        // Laplace's continued fraction of the inverse Mills ratio.
        density(x) / (1..=DEPTH).rev().fold(x, |below, k| x + f64::from(k) / below)
    } else if x < -TAIL_FROM {
        1.0 - above(-x)
    } else {
        0.5 - density(x) * middle(x)
    }
}

/// x + x³/3 + x⁵/(3·5) + …, so that P(Z ≤ x) = ½ + φ(x)·middle(x).
fn middle(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    for _ in 0..TERMS_MAX {
        k += 2.0;
        term *= x * x / k;
        sum += term;
        if term.abs() < 1e-18 {
            break;
        }
    }
    sum
}

/// The z with P(Z ≤ z) = `share`; the share is kept between 1e-12 and 1 − 1e-12.
#[must_use]
pub fn quantile(share: f64) -> f64 {
    let share = share.clamp(1e-12, 1.0 - 1e-12);
    let mut z = 0.0;
    for _ in 0..STEPS_MAX {
        let step = (1.0 - above(z) - share) / density(z);
        z -= step;
        if step.abs() < 1e-13 {
            break;
        }
    }
    z
}

/// E(Z − x)⁺.
#[must_use]
pub fn loss(x: f64) -> f64 {
    density(x) - x * above(x)
}

/// ∫ loss from x to ∞ = ½·E((Z − x)⁺)².
#[must_use]
pub fn second_loss(x: f64) -> f64 {
    0.5 * ((x * x + 1.0) * above(x) - x * density(x))
}
