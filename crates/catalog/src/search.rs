//! Finds services by words in English and Chinese.
//!
//! Latin words are compared whole and by their beginnings; Chinese has no spaces, so runs of it are cut into
//! overlapping pairs of characters (bigrams), as Lucene's CJKAnalyzer does.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::callers::Application;
use crate::service::{ServiceEntry, Stage};
use crate::snapshot::Snapshot;

/// Characters of a query that are read.
const QUERY_CHARS_MAX: usize = 200;
/// Share of a query's Chinese pairs that a service must hold, percent.
const BIGRAMS_PERCENT_MIN: usize = 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'q> {
    /// Words; empty for all services.
    pub text: &'q str,
    /// Only this domain.
    pub domain: Option<&'q str>,
    /// Only services with this tag.
    pub tag: Option<&'q str>,
    /// Only this stage.
    pub stage: Option<Stage>,
    /// Who asks: what they may not see is not found.
    pub viewer: Viewer<'q>,
}

/// Who looks at the catalog.
#[derive(Clone, Copy, Debug, Default)]
pub enum Viewer<'q> {
    /// The owner of the files: sees everything.
    Everything,
    /// Nobody that we know.
    #[default]
    Anonymous,
    /// This application.
    Application(&'q Application),
}

impl<'q> From<Option<&'q Application>> for Viewer<'q> {
    fn from(caller: Option<&'q Application>) -> Self {
        caller.map_or(Self::Anonymous, Self::Application)
    }
}

/// A service that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The service.
    pub service: Arc<ServiceEntry>,
    /// How well it fits; 0 without words.
    pub score: u32,
}

/// The services that the query asks for: best first, or by name when it has no words.
#[must_use]
pub fn search(snapshot: &Snapshot, query: &Query<'_>) -> Vec<Hit> {
    let words = Words::of(&query.text.chars().take(QUERY_CHARS_MAX).collect::<String>());
    let mut hits: Vec<Hit> = snapshot
        .services
        .values()
        .filter(|service| query.admits(snapshot, service))
        .filter_map(|service| Some(Hit { score: words.score(service)?, service: Arc::clone(service) }))
        .collect();
    // Stable, so that equally good ones stay in the order of their names.
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.score));
    hits
}

impl Query<'_> {
    fn admits(&self, snapshot: &Snapshot, service: &ServiceEntry) -> bool {
        let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
        self.domain.is_none_or(|domain| *service.domain == *domain)
            && self.stage.is_none_or(|stage| service.stage == stage)
            && self.tag.is_none_or(|tag| service.tags.iter().any(|there| same(there, tag)))
            && match self.viewer {
                Viewer::Everything => true,
                Viewer::Anonymous => snapshot.visible(service, None),
                Viewer::Application(caller) => snapshot.visible(service, Some(caller)),
            }
    }
}

/// A text, cut for comparison.
#[derive(Debug, Default)]
struct Words {
    latin: BTreeSet<String>,
    bigrams: BTreeSet<String>,
}

impl Words {
    fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.add(text);
        words
    }

    fn add(&mut self, text: &str) {
        let mut run = String::new();
        let mut chinese = Vec::new();
        let mut before = ' ';
        for c in text.chars().chain([' ']) {
            let wide = is_wide(c);
            // "CalculateRebate" is two words to whoever looks for "rebate".
            let starts = c.is_uppercase() && before.is_lowercase();
            if (wide || starts || !c.is_alphanumeric()) && !run.is_empty() {
                self.latin.insert(std::mem::take(&mut run));
            }
            if !wide && !chinese.is_empty() {
                self.add_chinese(&std::mem::take(&mut chinese));
            }
            if wide {
                chinese.push(c);
            } else if c.is_alphanumeric() {
                run.extend(c.to_lowercase());
            }
            before = c;
        }
    }

    fn add_chinese(&mut self, run: &[char]) {
        if let [one] = run {
            self.bigrams.insert(one.to_string());
        }
        self.bigrams.extend(run.windows(2).map(|pair| pair.iter().collect::<String>()));
    }

    fn is_empty(&self) -> bool {
        self.latin.is_empty() && self.bigrams.is_empty()
    }

    /// How well the service fits; `None` when it doesn't.
    fn score(&self, service: &ServiceEntry) -> Option<u32> {
        if self.is_empty() {
            return Some(0);
        }
        let fields = fields(service);
        let mut score = 0u32;
        for word in &self.latin {
            let best = fields.iter().map(|(weight, words)| weight * words.latin_fit(word)).max().unwrap_or(0);
            score = (best > 0).then(|| score.saturating_add(best))?;
        }
        let mut found = 0usize;
        for pair in &self.bigrams {
            let best =
                fields.iter().map(|(weight, words)| weight * words.bigram_fit(pair)).max().unwrap_or(0);
            found = found.saturating_add(usize::from(best > 0));
            score = score.saturating_add(best);
        }
        (found * 100 >= self.bigrams.len() * BIGRAMS_PERCENT_MIN).then_some(score)
    }

    /// 4 for the word itself, 2 for one that begins so, 0 otherwise.
    fn latin_fit(&self, word: &str) -> u32 {
        if self.latin.contains(word) {
            return 4;
        }
        let after = self.latin.range(word.to_owned()..).next();
        if after.is_some_and(|there| there.starts_with(word)) { 2 } else { 0 }
    }

    fn bigram_fit(&self, pair: &str) -> u32 {
        if self.bigrams.contains(pair) {
            return 4;
        }
        // A single character is in the middle of a pair as often as at its start.
        let single = pair.chars().nth(1).is_none();
        if single && self.bigrams.iter().any(|there| there.contains(pair)) { 2 } else { 0 }
    }
}

/// What a service is found by, with weights.
fn fields(service: &ServiceEntry) -> Vec<(u32, Words)> {
    let mut title = Words::of(&service.title.en);
    title.add(&service.title.zh);
    let mut tags = Words::default();
    service.tags.iter().for_each(|tag| tags.add(tag));
    let mut names = Words::of(&service.name);
    names.latin.insert(service.name.to_lowercase());
    names.add(&service.domain);
    let mut summary = Words::of(&service.summary.en);
    summary.add(&service.summary.zh);
    for method in service.methods.values() {
        names.add(&method.name);
        summary.add(&method.summary.en);
        summary.add(&method.summary.zh);
    }
    vec![(8, title), (6, tags), (5, names), (2, summary)]
}

/// Characters that are written without spaces between words.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn texts_are_cut_into_words_and_pairs() {
        let words = Words::of("CalculateRebate 返利计算, v1 税");
        assert_eq!(words.latin.iter().collect::<Vec<_>>(), ["calculate", "rebate", "v1"]);
        assert_eq!(words.bigrams.iter().collect::<Vec<_>>(), ["利计", "税", "计算", "返利"]);
        assert!(Words::of(" ,。 ").is_empty());
    }
}
