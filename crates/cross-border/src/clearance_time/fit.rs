//! Fitting a stage's model to what was known at a moment: backfitting with empirical-Bayes shrinkage and
//! EM imputation of the shipments still under way.

use std::collections::HashMap;

use super::forecast::CASES_MIN;
use super::hours::Configured;
use super::inspection::Inspections;
use super::model::{Effects, Level, Observation, TAU2_PRIOR, VARIANCE_MIN, weight_of_age};
use super::offices::Offices;
use super::priors;
use super::shape::{Residual, Shape};
use super::tracker::Tracker;
use super::{Factor, Model, Stage, normal};

/// Rounds of backfitting, each with one imputation.
const SWEEPS: usize = 12;
/// Weight of a factor's prior variance, in levels.
const TAU2_PRIOR_LEVELS: f64 = 3.0;
/// Weight of the prior variance within a country, in cases.
const SIGMA2_PRIOR_CASES: f64 = 10.0;
/// Prior variance of μ and of β about their priors: half a log unit, half the published figure's slope.
const MU_VARIANCE: f64 = 0.25;
const BETA_VARIANCE: f64 = 0.25;
/// Level number of a case that lacks the factor.
const ABSENT: usize = usize::MAX;

impl Model {
    /// Fits `stage` to `observations`, which were known at `as_of_ms`; those of other stages are left out.
    /// Cost: observations × factors × 12, and the same for each month that the tracker replays.
    #[must_use]
    pub fn fit(stage: Stage, observations: &[Observation], as_of_ms: i64) -> Self {
        Self::fit_with(stage, observations, &Configured::default(), as_of_ms)
    }

    /// The same, in the hours that were said of offices.
    #[must_use]
    pub fn fit_with(
        stage: Stage,
        observations: &[Observation],
        configured: &Configured,
        as_of_ms: i64,
    ) -> Self {
        let mut model = Self::prior(stage, as_of_ms);
        model.offices = Offices::learn(stage, observations, as_of_ms).told(stage, configured);
        model = model.fit_effects(observations, as_of_ms);
        let used: Vec<&Observation> = observations.iter().filter(|o| o.stage == stage).collect();
        model.tracker = Tracker::replay(&model, &used);
        model
    }

    /// The same for this model's stage and in the time of its offices, without a tracker.
    pub(super) fn fit_effects(&self, observations: &[Observation], as_of_ms: i64) -> Self {
        let stage = self.stage;
        let mut model = Self { offices: self.offices.clone(), ..Self::prior(stage, as_of_ms) };
        let used: Vec<&Observation> =
            observations.iter().filter(|o| o.stage == stage && (o.finished || o.hours > 0.0)).collect();
        if !used.iter().any(|o| o.finished) {
            // With the unfinished alone there is nothing to set a scale by.
            return model;
        }
        if stage == Stage::DeclarationToRelease {
            model.inspections = Inspections::count(used.iter().copied(), as_of_ms);
        }
        let mut fitter = Fitter::new(&model, &used);
        for _ in 0..SWEEPS {
            fitter.impute(&model);
            for factor in Factor::ALL {
                fitter.backfit(&mut model, factor);
            }
            fitter.spread(&mut model);
        }
        fitter.finish(model)
    }
}

struct Case {
    /// log(1 + hours), of an unfinished case so far.
    z: f64,
    /// The same, for an unfinished case what it will be.
    filled: f64,
    /// Variance of `filled`.
    open: f64,
    /// What the model says.
    center: f64,
    weight: f64,
    finished: bool,
}

/// One factor's levels while the fit goes on, by number.
#[derive(Default)]
struct Column {
    names: Vec<Box<str>>,
    /// Prior mean without β, that is the published figure; zero but for countries.
    figures: Vec<f64>,
    /// Level of each case, or [`ABSENT`].
    of_case: Vec<usize>,
    cases: Vec<Level>,
    effects: Vec<f64>,
}

struct Fitter {
    cases: Vec<Case>,
    columns: Vec<Column>,
}

impl Fitter {
    fn new(model: &Model, used: &[&Observation]) -> Self {
        let cases = used
            .iter()
            .map(|o| {
                let z = o.z(&model.offices.time(&o.traits));
                let weight = weight_of_age((model.fitted_at_ms - o.start_ms) as f64);
                Case { z, filled: z, open: 0.0, center: model.mu, weight, finished: o.finished }
            })
            .collect();
        let columns = Factor::ALL.iter().map(|&factor| Column::new(factor, used)).collect();
        Self { cases, columns }
    }

    /// E-step of the censored normal (Tobin 1958; Buckley & James, Biometrika 66, 1979): an unfinished
    /// case takes its expectation beyond its age.
    fn impute(&mut self, model: &Model) {
        let sigma = model.sigma2.sqrt();
        for case in self.cases.iter_mut().filter(|case| !case.finished) {
            let a = (case.z - case.center) / sigma;
            let hazard = normal::hazard(a);
            case.filled = case.center + sigma * hazard;
            case.open = model.sigma2 * (1.0 - hazard * (hazard - a)).clamp(0.0, 1.0);
        }
    }

    /// One step of backfitting: the factor's effects from what all others leave to it.
    fn backfit(&mut self, model: &mut Model, factor: Factor) {
        let Some(column) = self.columns.get_mut(factor.index()) else { return };
        if column.names.is_empty() {
            return;
        }
        let mu_before = model.mu;
        column.gather(&self.cases);
        column.between(model, factor);
        if factor == Factor::Country {
            column.regress(model);
        }
        let Some(tau2) = model.factors.get(factor.index()).map(|effects| effects.tau2) else { return };
        let moved: Vec<f64> = (column.cases.iter().zip(&column.figures).zip(&mut column.effects))
            .map(|((level, figure), effect)| {
                let prior = model.beta * figure;
                let own = level.weight / (level.weight + model.sigma2 / tau2);
                let fresh = prior + own * (level.mean() - (model.mu - mu_before) - prior);
                fresh - std::mem::replace(effect, fresh)
            })
            .collect();
        for (case, &level) in self.cases.iter_mut().zip(&column.of_case) {
            case.center += model.mu - mu_before + moved.get(level).copied().unwrap_or(0.0);
        }
    }

    /// Variance within, with that which imputation leaves open, over what the effects leave of the cases.
    fn spread(&self, model: &mut Model) {
        let (weight, used) = (self.weight(), self.used(model));
        let squares = |case: &Case| case.weight * ((case.filled - case.center).powi(2) + case.open);
        let sum: f64 = self.cases.iter().map(squares).sum();
        let prior = SIGMA2_PRIOR_CASES * model.prior.sigma2;
        model.sigma2 = ((prior + sum) / (SIGMA2_PRIOR_CASES + weight - used)).max(VARIANCE_MIN);
    }

    fn weight(&self) -> f64 {
        self.cases.iter().map(|case| case.weight).sum()
    }

    /// Effective number of parameters: each level as far as it is not drawn back (Gelman & Hill, ch. 24);
    /// at most half of the cases.
    fn used(&self, model: &Model) -> f64 {
        let own = |level: &Level, tau2: f64| level.weight / (level.weight + model.sigma2 / tau2);
        let of_factor = |(column, effects): (&Column, &Effects)| -> f64 {
            column.cases.iter().map(|level| own(level, effects.tau2)).sum()
        };
        let used: f64 = self.columns.iter().zip(&model.factors).map(of_factor).sum();
        used.min(self.weight() / 2.0)
    }

    fn finish(mut self, mut model: Model) -> Model {
        model.weight = self.weight();
        self.shapes(&mut model);
        for (effects, column) in model.factors.iter_mut().zip(&mut self.columns) {
            column.gather(&self.cases);
            let names = std::mem::take(&mut column.names);
            effects.levels = names.into_iter().zip(column.cases.iter().copied()).collect();
        }
        model
    }

    /// The shape of all residuals, and each country's drawn to it. The effects were made to fit these very
    /// cases, so the residuals are stretched to what those of new cases will be.
    fn shapes(&self, model: &mut Model) {
        let stretch = (model.weight / (model.weight - self.used(model))).sqrt();
        let residual = |case: &Case| Residual {
            value: stretch * (case.z - case.center),
            weight: case.weight,
            finished: case.finished,
        };
        let normal = Shape::normal(model.sigma2.sqrt());
        model.shape = Shape::kaplan_meier(self.cases.iter().map(residual).collect(), &normal);
        let Some(countries) = self.columns.get(Factor::Country.index()) else { return };
        let mut groups = vec![Vec::new(); countries.names.len()];
        for (case, &country) in self.cases.iter().zip(&countries.of_case) {
            if let Some(group) = groups.get_mut(country) {
                group.push(residual(case));
            }
        }
        let shapes = groups.into_iter().map(|group| Shape::kaplan_meier(group, &model.shape));
        model.country_shapes = countries.names.iter().cloned().zip(shapes).collect();
        self.lane_shapes(model, &residual);
    }

    /// The shape of each lane's residuals, drawn to its country's.
    fn lane_shapes(&self, model: &mut Model, residual: &impl Fn(&Case) -> Residual) {
        let (countries, lanes) =
            (self.columns.get(Factor::Country.index()), self.columns.get(Factor::Lane.index()));
        let (Some(countries), Some(lanes)) = (countries, lanes) else { return };
        let mut groups = vec![(ABSENT, Vec::new()); lanes.names.len()];
        for ((case, &lane), &country) in self.cases.iter().zip(&lanes.of_case).zip(&countries.of_case) {
            if let Some((of, group)) = groups.get_mut(lane) {
                *of = country;
                group.push(residual(case));
            }
        }
        for ((country, group), lane) in groups.into_iter().zip(&lanes.names) {
            let country = countries.names.get(country).and_then(|name| model.country_shapes.get(name));
            let weight: f64 = group.iter().map(|residual| residual.weight).sum();
            if let Some(country) = country.filter(|_| weight >= CASES_MIN) {
                let shape = Shape::kaplan_meier(group, country);
                model.lane_shapes.insert(lane.clone(), shape);
            }
        }
    }
}

impl Column {
    fn new(factor: Factor, used: &[&Observation]) -> Self {
        let mut column = Self::default();
        let mut numbers: HashMap<Box<str>, usize> = HashMap::new();
        for observation in used {
            let traits = &observation.traits;
            let number = factor.level_of(observation.stage, traits).map_or(ABSENT, |name| {
                if let Some(&number) = numbers.get(name.as_ref()) {
                    return number;
                }
                let number = column.names.len();
                numbers.insert(name.as_ref().into(), number);
                column.names.push(name.as_ref().into());
                let figure = priors::published(observation.stage, traits.destination);
                column.figures.push(if factor == Factor::Country { figure.unwrap_or(0.0) } else { 0.0 });
                number
            });
            column.of_case.push(number);
        }
        column.cases = vec![Level::default(); column.names.len()];
        column.effects = vec![0.0; column.names.len()];
        column
    }

    /// What the other factors leave to each level.
    fn gather(&mut self, cases: &[Case]) {
        self.cases.fill(Level::default());
        for (case, &number) in cases.iter().zip(&self.of_case) {
            if let (Some(level), Some(effect)) = (self.cases.get_mut(number), self.effects.get(number)) {
                level.weight += case.weight;
                level.sum += case.weight * (case.filled - case.center + effect);
            }
        }
    }

    /// Variance between levels by moments, E Σ n·m² = τ² Σ n + k σ², drawn to its prior.
    fn between(&self, model: &mut Model, factor: Factor) {
        let (sigma2, beta, prior) = (model.sigma2, model.beta, model.prior.tau2_country);
        let Some(effects) = model.factors.get_mut(factor.index()) else { return };
        let (mut squares, mut weight) = (0.0, 0.0);
        for (level, figure) in self.cases.iter().zip(&self.figures) {
            squares += level.weight * (level.mean() - beta * figure).powi(2);
            weight += level.weight;
        }
        let k = self.cases.len() as f64;
        let moments = ((squares - k * sigma2) / weight.max(f64::MIN_POSITIVE)).max(0.0);
        let prior = if factor == Factor::Country { prior } else { TAU2_PRIOR };
        effects.tau2 =
            ((k * moments + TAU2_PRIOR_LEVELS * prior) / (k + TAU2_PRIOR_LEVELS)).max(VARIANCE_MIN);
    }

    /// μ and β from the countries' means, each weighing by its precision 1/(τ² + σ²/n), with their priors:
    /// a thousand cases of one country say little of another.
    fn regress(&self, model: &mut Model) {
        let tau2 = model.factors.get(Factor::Country.index()).map_or(VARIANCE_MIN, |effects| effects.tau2);
        let mut normal = [[1.0 / MU_VARIANCE, 0.0], [0.0, 1.0 / BETA_VARIANCE]];
        let mut right = [model.prior.mu / MU_VARIANCE, model.prior.beta / BETA_VARIANCE];
        for (level, x) in self.cases.iter().zip(&self.figures) {
            let precision = 1.0 / (tau2 + model.sigma2 / level.weight.max(f64::MIN_POSITIVE));
            let y = level.mean() + model.mu;
            normal[0][0] += precision;
            normal[0][1] += precision * x;
            normal[1][1] += precision * x * x;
            right[0] += precision * y;
            right[1] += precision * x * y;
        }
        let determinant = normal[0][0] * normal[1][1] - normal[0][1] * normal[0][1];
        model.mu = (right[0] * normal[1][1] - right[1] * normal[0][1]) / determinant;
        model.beta = (right[1] * normal[0][0] - right[0] * normal[0][1]) / determinant;
    }
}

impl Level {
    fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}
