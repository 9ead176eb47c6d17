//! What the records say of their fingerprints, numbered: a row carries the number, not the words.

use std::collections::{BTreeMap, HashMap};

use hashward::list::{Category, Flags, Label, Source};

use super::BuildError;
use super::rows::LabelId;

/// Distinct (category, flags) that one version may hold. Real lists have dozens; a list with more has something else
/// in the column that was taken for the category, and would fill memory and every answer with it.
pub(super) const LABELS_MAX: usize = 1 << 16;

/// Gives numbers to (category, flags), and counts the records of each.
pub struct LabelBook {
    /// By the flags' bits: in most lists every record is such, so this is on the path of each.
    uncategorised: [Option<LabelId>; 1 << u8::BITS],
    categorised: HashMap<Box<[u8]>, LabelId>,
    labels: Vec<(Option<Category>, Flags)>,
    records: Vec<u64>,
    /// The key looked up last, and what was found: neighbours in a list mostly say the same.
    key: Vec<u8>,
    last: Option<LabelId>,
}

impl Default for LabelBook {
    fn default() -> LabelBook {
        LabelBook {
            uncategorised: [None; 1 << u8::BITS],
            categorised: HashMap::new(),
            labels: Vec::new(),
            records: Vec::new(),
            key: Vec::new(),
            last: None,
        }
    }
}

impl LabelBook {
    /// The number of what a record says.
    ///
    /// # Errors
    /// More categories than a list can have.
    pub fn number(
        &mut self,
        scheme: Option<&str>,
        category: Option<&str>,
        flags: Flags,
    ) -> Result<LabelId, BuildError> {
        let Some(code) = category else {
            if let Some(id) = self.uncategorised[usize::from(flags.0)] {
                return Ok(id);
            }
            let id = self.add(None, flags)?;
            self.uncategorised[usize::from(flags.0)] = Some(id);
            return Ok(id);
        };
        let scheme_mark = [u8::from(scheme.is_some()), flags.0];
        let key = [&scheme_mark, scheme.unwrap_or("").as_bytes(), &[0xFF], code.as_bytes()];
        if let Some(last) = self.last.filter(|_| is_concat(&self.key, &key)) {
            return Ok(last);
        }
        self.key.clear();
        key.iter().for_each(|part| self.key.extend_from_slice(part));
        let id = match self.categorised.get(&*self.key) {
            Some(id) => *id,
            None => {
                let id = self.add(Some(Category::new(scheme, code)), flags)?;
                self.categorised.insert(self.key.as_slice().into(), id);
                id
            }
        };
        self.last = Some(id);
        Ok(id)
    }

    /// The number of a label as a segment holds it.
    ///
    /// # Errors
    /// As [`LabelBook::number`].
    pub fn number_of(&mut self, label: &Label) -> Result<LabelId, BuildError> {
        let category = label.category.as_ref();
        self.number(category.and_then(|c| c.scheme.as_deref()), category.map(|c| &*c.code), label.flags)
    }

    /// Notes one more record that says this.
    #[inline]
    pub fn count_record(&mut self, id: LabelId) {
        self.records[id.0 as usize] += 1;
    }

    /// What the number stands for, said by `source`.
    pub fn label(&self, id: LabelId, source: Source) -> Label {
        let (category, flags) = self.labels[id.0 as usize].clone();
        Label { source, category, flags }
    }

    /// How many numbers were given.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether nothing was said yet.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Records of each category; `None` stands for those without one.
    pub fn records_by_category(&self) -> BTreeMap<Option<Category>, u64> {
        let mut counts = BTreeMap::new();
        for ((category, _), records) in self.labels.iter().zip(&self.records).filter(|(_, records)| **records > 0) {
            *counts.entry(category.clone()).or_insert(0) += records;
        }
        counts
    }

    fn add(&mut self, category: Option<Category>, flags: Flags) -> Result<LabelId, BuildError> {
        if self.labels.len() >= LABELS_MAX {
            return Err(BuildError::TooManyCategories);
        }
        let id = LabelId(self.labels.len() as u32);
        self.labels.push((category, flags));
        self.records.push(0);
        Ok(id)
    }
}

/// Whether `whole` is `parts`, one after the other.
fn is_concat(whole: &[u8], parts: &[&[u8]]) -> bool {
    let mut rest = whole;
    for part in parts {
        match rest.strip_prefix(*part) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashward::list::{ListId, VersionNumber};
    use proptest::prelude::*;

    const SOURCE: Source = Source { list: ListId(16), version: VersionNumber(3) };

    proptest! {
        #[test]
        fn a_number_stands_for_what_was_said(
            said in proptest::collection::vec((proptest::option::of("[a-b:]{0,2}"), proptest::option::of("[a-b:]{0,2}"), 0u8..3), 0..60),
        ) {
            let mut book = LabelBook::default();
            let mut counts = BTreeMap::new();
            for (scheme, category, flags) in &said {
                let id = book.number(scheme.as_deref(), category.as_deref(), Flags(*flags)).unwrap();
                book.count_record(id);
                let expected = category.as_deref().map(|code| Category::new(scheme.as_deref(), code));
                let label = book.label(id, SOURCE);
                prop_assert_eq!(book.number_of(&label).unwrap(), id);
                prop_assert_eq!(label, Label { source: SOURCE, category: expected.clone(), flags: Flags(*flags) });
                *counts.entry(expected).or_insert(0u64) += 1;
            }
            prop_assert_eq!(book.records_by_category(), counts);
        }
    }

    #[test]
    fn a_column_of_names_is_no_category() {
        let mut book = LabelBook::default();
        let numbered =
            (0..=LABELS_MAX).try_for_each(|i| book.number(None, Some(&i.to_string()), Flags::NONE).map(drop));
        assert!(matches!(numbered, Err(BuildError::TooManyCategories)));
    }
}
