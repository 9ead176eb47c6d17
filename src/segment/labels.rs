//! The label table: what the label-set ids beside a segment's digests mean.
//!
//! A list has few distinct labels and few distinct sets of them, so each is written once and digests hold a small
//! id. The table is read whole when a segment is opened, and checked then, so that the lookup path only counts.

use std::collections::HashMap;

use super::Flaw;
use super::layout::u32_at;
use crate::list::{Category, Flags, Label, ListId, Source, VersionNumber};

/// A label set's number within its segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSetId(pub u32);

/// The labels of a segment and the sets of them, each once.
#[derive(Clone, Debug, Default)]
pub struct LabelTable {
    labels: Vec<Label>,
    sets: Vec<Box<[u32]>>,
    label_ids: HashMap<Label, u32>,
    set_ids: HashMap<Box<[u32]>, LabelSetId>,
}

/// Tables are equal when they say the same under the same ids.
impl PartialEq for LabelTable {
    fn eq(&self, other: &LabelTable) -> bool {
        self.labels == other.labels && self.sets == other.sets
    }
}

impl LabelTable {
    /// An empty table.
    pub fn new() -> LabelTable {
        LabelTable::default()
    }

    /// The label's index, given now if it is new.
    pub fn intern_label(&mut self, label: Label) -> u32 {
        let next = self.labels.len() as u32;
        *self.label_ids.entry(label).or_insert_with_key(|label| {
            self.labels.push(label.clone());
            next
        })
    }

    /// The id of the set of these label indexes, given now if the set is new. Order and repetition do not matter.
    ///
    /// # Panics
    /// If an index did not come from [`LabelTable::intern_label`].
    pub fn intern_set(&mut self, labels: &[u32]) -> LabelSetId {
        let mut set = labels.to_vec();
        set.sort_unstable();
        set.dedup();
        assert!(set.last().is_none_or(|label| (*label as usize) < self.labels.len()), "a label index of another table");
        let next = LabelSetId(self.sets.len() as u32);
        *self.set_ids.entry(set.into_boxed_slice()).or_insert_with_key(|set| {
            self.sets.push(set.clone());
            next
        })
    }

    /// The labels of a set, in the order of their indexes; none for an id that is not of this table.
    pub fn set(&self, set: LabelSetId) -> impl Iterator<Item = &Label> {
        self.set_indexes(set).iter().map(|label| &self.labels[*label as usize])
    }

    /// The label indexes of a set, ascending; none for an id that is not of this table.
    pub fn set_indexes(&self, set: LabelSetId) -> &[u32] {
        self.sets.get(set.0 as usize).map_or(&[], |set| set)
    }

    /// How many sets there are: ids are below it.
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }

    /// All labels, by index.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The sources of all labels, ascending, each once.
    pub fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<Source> = self.labels.iter().map(|label| label.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// The section `labels`:
    ///
    /// ```text
    ///  4  number of labels, then each:
    ///       4  list id
    ///       4  version
    ///       1  flags
    ///       1  category: 0 none, 1 a code, 2 a scheme and a code; then each of these texts as
    ///            4  length
    ///            …  UTF-8
    ///  4  number of sets, then each:
    ///       4  number of labels in it
    ///       4  each label's index, ascending
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, number: usize| out.extend_from_slice(&(number as u32).to_le_bytes());
        number(&mut out, self.labels.len());
        for Label { source, category, flags } in &self.labels {
            number(&mut out, source.list.0 as usize);
            number(&mut out, source.version.0 as usize);
            out.push(flags.0);
            let texts = match category {
                None => vec![],
                Some(Category { scheme: None, code }) => vec![code],
                Some(Category { scheme: Some(scheme), code }) => vec![scheme, code],
            };
            out.push(texts.len() as u8);
            for text in texts {
                number(&mut out, text.len());
                out.extend_from_slice(text.as_bytes());
            }
        }
        number(&mut out, self.sets.len());
        for set in &self.sets {
            number(&mut out, set.len());
            set.iter().for_each(|label| number(&mut out, *label as usize));
        }
        out
    }

    /// Reads what [`LabelTable::encode`] wrote, and nothing else: each table has exactly one encoding.
    pub(crate) fn decode(bytes: &[u8]) -> Result<LabelTable, Flaw> {
        let mut input = Input(bytes);
        let mut table = LabelTable::new();
        for index in 0..input.number()? {
            let source = Source { list: ListId(input.number()?), version: VersionNumber(input.number()?) };
            let flags = Flags(input.byte()?);
            let category = match input.byte()? {
                0 => None,
                1 => Some(Category::new(None, input.text()?)),
                2 => Some(Category::new(Some(input.text()?), input.text()?)),
                other => return Err(Flaw::new("a category of 0, 1 or 2 texts", other)),
            };
            if table.intern_label(Label { source, category, flags }) != index {
                return Err(Flaw::new("each label once", format_args!("label {index} a second time")));
            }
        }
        for index in 0..input.number()? {
            let length = input.number()? as usize;
            let set: Vec<u32> =
                input.bytes(length.saturating_mul(4))?.chunks_exact(4).map(|four| u32_at(four, 0)).collect();
            let ascending = set.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascending || set.last().is_some_and(|label| *label as usize >= table.labels.len()) {
                return Err(Flaw::new("ascending label indexes", format_args!("others in set {index}")));
            }
            if table.intern_set(&set).0 != index {
                return Err(Flaw::new("each label set once", format_args!("set {index} a second time")));
            }
        }
        match input.0.len() {
            0 => Ok(table),
            rest => Err(Flaw::new("the end of the label table", format_args!("{rest} bytes more"))),
        }
    }
}

/// What is left to read. Nothing is allocated for a length that has not been held against it.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Flaw::new(format_args!("{count} bytes more"), format_args!("{} bytes", self.0.len())))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Flaw> {
        Ok(self.bytes(1)?[0])
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        Ok(u32_at(self.bytes(4)?, 0))
    }

    fn text(&mut self) -> Result<&'a str, Flaw> {
        let length = self.number()? as usize;
        std::str::from_utf8(self.bytes(length)?).map_err(|error| Flaw::new("UTF-8", error))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_table() -> impl Strategy<Value = LabelTable> {
        let label = (0..4u32, 0..3u32, any::<u8>(), proptest::option::of(("[a-zé:]{0,3}", any::<bool>())));
        let labels = proptest::collection::vec(label, 0..6);
        (labels, proptest::collection::vec(proptest::collection::vec(0..6usize, 0..4), 0..6)).prop_map(
            |(labels, sets)| {
                let mut table = LabelTable::new();
                for (list, version, flags, category) in labels {
                    let source = Source { list: ListId(list), version: VersionNumber(version) };
                    let category = category.map(|(text, scheme)| Category::new(scheme.then_some("XX"), &text));
                    table.intern_label(Label { source, category, flags: Flags(flags) });
                }
                for set in sets {
                    let known = table.labels().len();
                    let set: Vec<u32> =
                        set.into_iter().filter(|label| *label < known).map(|label| label as u32).collect();
                    table.intern_set(&set);
                }
                table
            },
        )
    }

    proptest! {
        #[test]
        fn a_table_reads_back_and_no_part_of_it_does(table in any_table(), cut in any::<proptest::sample::Index>()) {
            let bytes = table.encode();
            prop_assert_eq!(&LabelTable::decode(&bytes).unwrap(), &table);
            prop_assert!(LabelTable::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0..4u8, 0..80)) {
            if let Ok(table) = LabelTable::decode(&bytes) {
                prop_assert_eq!(table.encode(), bytes);
            }
        }
    }

    #[test]
    fn order_and_repetition_do_not_make_another_set() {
        let mut table = LabelTable::new();
        let label = |list| Label {
            source: Source { list: ListId(list), version: VersionNumber::LIVE },
            category: None,
            flags: Flags::NONE,
        };
        let (one, two) = (table.intern_label(label(1)), table.intern_label(label(2)));
        assert_eq!(table.intern_set(&[one, two]), table.intern_set(&[two, one, two]));
        assert_eq!(table.set_count(), 1);
        assert_eq!(table.set(LabelSetId(7)).count(), 0);
    }
}
