//! The levels of the form.

use super::super::plan::{Levels, SameLevel};
use super::reader::{Fields, Reader, describe};
use super::tree::{Kind, Node};
use super::{Word, both, values};

/// A same-level policy that pays.
type Policy = fn(u32) -> SameLevel;

impl Reader {
    pub(super) fn levels(&mut self, node: &Node) -> Option<Levels> {
        let fields = self.fields(node, "levels", &["fixed", "by grade", "deep", "same level"])?;
        self.marks.insert("differential".to_owned(), (node.mark, "levels".to_owned()));
        match (fields.get("fixed"), fields.get("by grade")) {
            (Some(fixed), None) => {
                self.marks.insert("fixed".to_owned(), (fixed.mark, "levels.fixed".to_owned()));
                let mut rates = Vec::new();
                for (index, item) in self.list(fixed, "levels.fixed").iter().enumerate() {
                    let (path, core) = (format!("levels.fixed[{index}]"), format!("fixed.rates_bp[{index}]"));
                    rates.extend(self.scalar(item, &path, &core, values::share));
                }
                Some(Levels::Fixed(rates))
            }
            (None, Some(grades)) => self.differential(&fields, grades),
            _ => {
                let expected = both(
                    "either fixed, a list of shares, or by grade, a map of shares".to_owned(),
                    "fixed（比例列表）或 by grade（等级与比例）之一".to_owned(),
                );
                self.fault(
                    node.mark,
                    "levels",
                    expected,
                    both("both or none".to_owned(), "两者或皆无".to_owned()),
                )
            }
        }
    }

    fn differential(&mut self, fields: &Fields<'_>, node: &Node) -> Option<Levels> {
        let Kind::Map(entries) = &node.kind else {
            let expected = both("grades with their shares".to_owned(), "等级与比例".to_owned());
            return self.fault(node.mark, "levels.by grade", expected, describe(node));
        };
        let mut grades = Vec::new();
        for (index, (grade, _, rate)) in entries.iter().enumerate() {
            let (path, core) =
                (format!("levels.by grade.{grade}"), format!("differential.grades[{index}].rate_bp"));
            self.marks.insert(format!("differential.grades[{index}]"), (rate.mark, path.clone()));
            grades.extend(self.scalar(rate, &path, &core, values::share).map(|rate| (grade.clone(), rate)));
        }
        let depth = self.must(fields, "deep", "differential.depth_max", |text| {
            values::whole(text).map(|depth| usize::try_from(depth).unwrap_or(usize::MAX))
        });
        let same_level = match fields.get("same level") {
            None => SameLevel::None,
            Some(node) => {
                let same = self.fields(node, "levels.same level", &["pays", "to"])?;
                let pays = self.must(&same, "pays", "differential.same_level_rate_bp", values::share);
                let words: [Word<Policy>; 2] = [("every", SameLevel::Every), ("nearest", SameLevel::Once)];
                let to = self.must(&same, "to", "differential.same_level", |text| values::word(text, &words));
                to?(pays?)
            }
        };
        Some(Levels::Differential { grades, depth_max: depth?, same_level })
    }
}
