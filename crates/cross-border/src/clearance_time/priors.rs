//! What is believed of a stage before the first clearance is recorded.

use super::Stage;
use super::priors_table::IMPORT_HOURS_2018;
use crate::Country;

/// Label of the country prior, for answers.
pub const COUNTRY_PRIOR_SOURCE: &str = "World Bank, Doing Business 2018, trading across borders, import; \
     discontinued in 2021 after irregularities in four countries' data: a weak prior";
/// Label of the prior of a stage without country figures.
pub const GLOBAL_PRIOR_SOURCE: &str = "the platform's own weak prior for the stage";

/// Mean over countries of log(1 + hours), and its variance, of [`IMPORT_HOURS_2018`].
const BORDER: (f64, f64) = (3.42, 2.9);
const DOCUMENTS: (f64, f64) = (3.17, 2.6);

/// The prior of a stage, on the scale z = log(1 + hours).
#[derive(Clone, Copy, Debug)]
pub(super) struct StagePrior {
    /// Mean over all countries.
    pub mu: f64,
    /// How z rises with the country's published z: 1 takes the figure as it is.
    pub beta: f64,
    /// Variance within a country.
    pub sigma2: f64,
    /// Variance between countries that the published figure leaves open.
    pub tau2_country: f64,
    /// Variance between countries when there is no published figure.
    pub tau2_unknown: f64,
}

impl StagePrior {
    /// The prior of `stage`.
    pub(super) fn of(stage: Stage) -> Self {
        match stage {
            // Documentary compliance is what stands between the goods' arrival and the declaration.
            Stage::ArrivalToDeclaration => Self::published(DOCUMENTS),
            // Border compliance: clearance and inspections.
            Stage::DeclarationToRelease => Self::published(BORDER),
            // No figures by country; a day, within a factor of about four.
            Stage::ReleaseToGateOut => Self::flat(24.0, 1.0, 0.5),
            // The median of 3,453 directly shipped orders of a public health programme (SCMS, 2006 to
            // 2015; quartiles 60, 98 and 149 days).
            Stage::OrderToDelivery => Self::flat(98.0 * 24.0, 0.4, 0.1),
        }
    }

    fn published((mu, tau2_unknown): (f64, f64)) -> Self {
        Self { mu, beta: 1.0, sigma2: 1.0, tau2_country: 0.5, tau2_unknown }
    }

    fn flat(median_hours: f64, sigma2: f64, tau2_country: f64) -> Self {
        Self { mu: median_hours.ln_1p(), beta: 0.0, sigma2, tau2_country, tau2_unknown: tau2_country }
    }
}

/// The published figure of `country` for `stage`: log(1 + hours), less the mean over countries; `None`
/// when there is no figure.
pub(super) fn published(stage: Stage, country: Country) -> Option<f64> {
    let at = IMPORT_HOURS_2018.binary_search_by(|(code, ..)| (*code).cmp(country.code())).ok()?;
    let (_, border, documents) = *IMPORT_HOURS_2018.get(at)?;
    match stage {
        Stage::ArrivalToDeclaration => Some(documents.ln_1p() - DOCUMENTS.0),
        Stage::DeclarationToRelease => Some(border.ln_1p() - BORDER.0),
        Stage::ReleaseToGateOut | Stage::OrderToDelivery => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_moments_are_the_constants() {
        assert!(IMPORT_HOURS_2018.is_sorted_by(|a, b| a.0 < b.0));
        let n = IMPORT_HOURS_2018.len() as f64;
        for (moments, column) in [
            (BORDER, IMPORT_HOURS_2018.map(|row| row.1.ln_1p())),
            (DOCUMENTS, IMPORT_HOURS_2018.map(|row| row.2.ln_1p())),
        ] {
            let mean = column.iter().sum::<f64>() / n;
            let variance = column.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
            assert!((mean - moments.0).abs() < 0.01, "mean {mean}");
            assert!((variance - moments.1).abs() < 0.1, "variance {variance}");
        }
    }

    #[test]
    fn figures_are_those_of_the_edition_of_2018() {
        for (code, border, documents) in
            [("CN", 48.0, 24.0), ("DE", 0.0, 1.0), ("US", 1.5, 7.5), ("IN", 96.7, 29.7), ("NG", 263.7, 144.0)]
        {
            let row = IMPORT_HOURS_2018.iter().find(|row| row.0 == code).unwrap();
            assert_eq!((row.1, row.2), (border, documents), "{code}");
        }
    }
}
