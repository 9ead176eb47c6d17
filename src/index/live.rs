//! The live layer: what feed lists say since the last seal, searchable at once.
//!
//! A layer is immutable. A batch of changes makes a new one by merging sorted arrays, which for the sizes between
//! two seals costs less than the catalogue's transaction that came before it; in return a question reads a layer
//! without any lock, and a snapshot holds one by an `Arc`. Codes of perceptual kinds stand in a BK-tree besides, which
//! grows from layer to layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hamming::{BkTree, HammingIndex};
use crate::fingerprint::{Fingerprint, Kind, Radius};
use crate::list::{Label, ListId};

/// What a list says of a fingerprint from now on.
#[derive(Clone, Debug)]
pub struct LiveChange {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// The list.
    pub list: ListId,
    /// All that it says; empty if it says nothing any more.
    pub labels: Vec<Label>,
}

/// Of each value that changes: what each list says of it from now on.
type Changes = BTreeMap<Box<[u8]>, BTreeMap<ListId, Vec<Label>>>;

/// (fingerprint, list) → labels, for the changes since the last seal.
#[derive(Clone, Default)]
pub struct LiveLayer(BTreeMap<Kind, Arc<LiveMap>>);

impl LiveLayer {
    /// A layer that says nothing.
    pub fn empty() -> LiveLayer {
        LiveLayer::default()
    }

    /// This layer after `changes`, of which the last one counts where two name the same (fingerprint, list).
    pub fn with(&self, changes: Vec<LiveChange>) -> LiveLayer {
        let mut by_kind: BTreeMap<Kind, Changes> = BTreeMap::new();
        for change in changes {
            let of_kind = by_kind.entry(change.fingerprint.kind()).or_default();
            of_kind.entry(change.fingerprint.value().into()).or_default().insert(change.list, change.labels);
        }
        let mut layer = self.clone();
        for (kind, changed) in by_kind {
            let map = match layer.0.get(&kind) {
                Some(map) => map.with(&changed),
                None => LiveMap::empty(kind).with(&changed),
            };
            if map.labels.is_empty() {
                layer.0.remove(&kind);
            } else {
                layer.0.insert(kind, Arc::new(map));
            }
        }
        layer
    }

    /// Distinct fingerprints in the layer.
    pub fn len(&self) -> usize {
        self.0.values().map(|map| map.labels.len()).sum()
    }

    /// Whether the layer says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds it holds.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.0.keys().copied()
    }

    /// All values of `kind` with their labels, ascending by value.
    pub fn iter_kind(&self, kind: Kind) -> impl Iterator<Item = (&[u8], &Arc<[Label]>)> {
        self.0.get(&kind).into_iter().flat_map(|map| map.values().zip(&map.labels))
    }

    /// The map of one kind, if it holds any.
    pub(crate) fn of_kind(&self, kind: Kind) -> Option<&LiveMap> {
        self.0.get(&kind).map(Arc::as_ref)
    }
}

/// Sorted values of one kind, with a directory by leading bits that leads to about one value.
pub(crate) struct LiveMap {
    width: usize,
    /// Packed and ascending.
    values: Vec<u8>,
    /// Of each value: the labels of all lists, ascending.
    labels: Vec<Arc<[Label]>>,
    /// `directory[p]..directory[p + 1]` are the values whose leading bits are `p`.
    directory: Vec<u32>,
    /// 64 less the bits that select a place in the directory.
    shift: u32,
    /// Of a perceptual kind: all values, and some that were there once.
    tree: Option<BkTree>,
}

/// A live value near to a row of a batch.
pub(crate) struct LiveNear<'a> {
    pub(crate) row: u32,
    pub(crate) value: &'a [u8],
    pub(crate) labels: &'a Arc<[Label]>,
    pub(crate) distance: u16,
}

/// A tree that holds more than this many times the values that are left is planted anew.
const TREE_WASTE_MAX: usize = 2;

impl LiveMap {
    fn empty(kind: Kind) -> LiveMap {
        let tree = (!kind.is_exact()).then(|| BkTree::new(kind.width()));
        LiveMap::build(kind.width(), Vec::new(), Vec::new(), tree)
    }

    fn build(width: usize, values: Vec<u8>, labels: Vec<Arc<[Label]>>, tree: Option<BkTree>) -> LiveMap {
        let bits = labels.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - bits;
        let mut directory = vec![0; (1 << bits) + 1];
        for value in values.chunks_exact(width) {
            directory[(leading_bits(value) >> shift) as usize + 1] += 1;
        }
        let mut total = 0;
        for slot in &mut directory {
            total += *slot;
            *slot = total;
        }
        LiveMap { width, values, labels, directory, shift, tree }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.values.chunks_exact(self.width)
    }

    /// The labels of `value`, and the value as it stands here.
    pub(crate) fn find(&self, value: &[u8]) -> Option<(&[u8], &Arc<[Label]>)> {
        self.place(value).map(|place| (&self.values[place * self.width..][..self.width], &self.labels[place]))
    }

    /// All values of a perceptual kind within `radius` of each of the packed `questions`.
    pub(crate) fn find_near(&self, questions: &[u8], radius: Radius) -> Vec<LiveNear<'_>> {
        let Some(tree) = &self.tree else { return Vec::new() };
        let mut found = Vec::new();
        tree.search(questions, radius, &mut found);
        let live = found.into_iter().filter_map(|near| {
            let place = self.place(tree.code(near.ordinal))?;
            let value = &self.values[place * self.width..][..self.width];
            Some(LiveNear { row: near.row, value, labels: &self.labels[place], distance: near.distance })
        });
        live.collect()
    }

    fn place(&self, value: &[u8]) -> Option<usize> {
        let prefix = (leading_bits(value) >> self.shift) as usize;
        let (mut low, mut high) = (self.directory[prefix] as usize, self.directory[prefix + 1] as usize);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.values[middle * self.width..][..self.width].cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// A map in which each (value, list) of `changes` has the labels given there.
    fn with(&self, changes: &Changes) -> LiveMap {
        let mut values = Vec::with_capacity(self.values.len() + changes.len() * self.width);
        let mut labels = Vec::with_capacity(self.labels.len() + changes.len());
        let mut push = |value: &[u8], said: Arc<[Label]>| {
            if !said.is_empty() {
                values.extend_from_slice(value);
                labels.push(said);
            }
        };
        let mut old = self.values().zip(&self.labels).peekable();
        for (value, by_list) in changes {
            while let Some((before, said)) = old.next_if(|(old_value, _)| *old_value < &**value) {
                push(before, said.clone());
            }
            let kept = old.next_if(|(old_value, _)| *old_value == &**value);
            let kept = kept.iter().flat_map(|(_, said)| said.iter());
            let kept = kept.filter(|label| !by_list.contains_key(&label.source.list)).cloned();
            let mut said: Vec<Label> = kept.chain(by_list.values().flatten().cloned()).collect();
            said.sort();
            said.dedup();
            push(value, said.into());
        }
        old.for_each(|(value, said)| push(value, said.clone()));
        let tree = self.tree.as_ref().map(|tree| {
            let mut grown = tree.clone();
            changes.keys().for_each(|value| {
                grown.insert(value);
            });
            if grown.len() as usize > TREE_WASTE_MAX * labels.len() {
                grown = BkTree::new(self.width);
                values.chunks_exact(self.width).for_each(|value| {
                    grown.insert(value);
                });
            }
            grown
        });
        LiveMap::build(self.width, values, labels, tree)
    }
}

fn leading_bits(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().expect("every kind is at least eight bytes wide"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Category, Flags, Source, VersionNumber};
    use proptest::prelude::*;

    type Model = BTreeMap<(Kind, Vec<u8>, ListId), Vec<Label>>;

    fn label(list: ListId, code: u8) -> Label {
        let source = Source { list, version: VersionNumber::LIVE };
        Label { source, category: Some(Category::new(None, &code.to_string())), flags: Flags::NONE }
    }

    fn change() -> impl Strategy<Value = LiveChange> {
        // Few values, and values that share their leading bytes, so that changes meet.
        let value = (prop_oneof![Just(0u8), Just(1), Just(0xFF)], 0u8..4);
        let kind = proptest::sample::select(&KINDS[..]);
        (value, kind, 16u32..19, proptest::collection::btree_set(0u8..3, 0..3)).prop_map(
            |((first, last), kind, list, codes)| {
                let mut value = vec![first; kind.width()];
                *value.last_mut().unwrap() = last;
                let labels = codes.into_iter().map(|code| label(ListId(list), code)).collect();
                LiveChange { fingerprint: Fingerprint::new(kind, &value).unwrap(), list: ListId(list), labels }
            },
        )
    }

    const KINDS: [Kind; 3] = [Kind::Md5, Kind::Sha1, Kind::Phash64];

    fn check(layer: &LiveLayer, model: &Model) {
        for kind in KINDS {
            let mut expected: BTreeMap<Vec<u8>, Vec<Label>> = BTreeMap::new();
            for ((_, value, _), labels) in model.iter().filter(|((of, ..), labels)| *of == kind && !labels.is_empty()) {
                expected.entry(value.clone()).or_default().extend(labels.iter().cloned());
            }
            expected.values_mut().for_each(|labels| labels.sort());
            let found: BTreeMap<_, _> =
                layer.iter_kind(kind).map(|(value, labels)| (value.to_vec(), labels.to_vec())).collect();
            assert_eq!(found, expected);
            for first in [0, 1, 2, 0xFF] {
                for last in 0..5 {
                    let mut value = vec![first; kind.width()];
                    *value.last_mut().unwrap() = last;
                    let labels =
                        layer.of_kind(kind).and_then(|map| map.find(&value)).map(|(_, labels)| labels.to_vec());
                    assert_eq!(labels.as_ref(), expected.get(&value));
                    check_near(layer, kind, &expected, &value);
                }
            }
        }
    }

    /// Holds what lies near `value` against a scan of all that the layer should hold.
    fn check_near(layer: &LiveLayer, kind: Kind, expected: &BTreeMap<Vec<u8>, Vec<Label>>, value: &[u8]) {
        for radius in kind.radius_max().map_or(0..0, |max| 0..max.0 + 1) {
            let near = layer.of_kind(kind).map(|map| map.find_near(value, Radius(radius))).unwrap_or_default();
            let found: BTreeMap<_, _> =
                near.iter().map(|near| (near.value.to_vec(), (near.labels.to_vec(), near.distance))).collect();
            let bits = |other: &[u8]| other.iter().zip(value).map(|(a, b)| (a ^ b).count_ones() as u16).sum::<u16>();
            let within = expected.iter().filter(|(other, _)| bits(other) <= radius);
            let within = within.map(|(other, labels)| (other.clone(), (labels.clone(), bits(other)))).collect();
            assert_eq!((near.len(), found), (BTreeMap::len(&within), within));
        }
    }

    proptest! {
        #[test]
        fn a_layer_says_what_a_plain_map_says(batches in proptest::collection::vec(proptest::collection::vec(change(), 0..8), 0..12)) {
            let (mut layer, mut model) = (LiveLayer::empty(), Model::new());
            for batch in batches {
                for change in &batch {
                    let key = (change.fingerprint.kind(), change.fingerprint.value().to_vec(), change.list);
                    model.insert(key, change.labels.clone());
                }
                layer = layer.with(batch);
                check(&layer, &model);
            }
        }
    }
}
