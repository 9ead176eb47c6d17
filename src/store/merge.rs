//! Segments side by side, in the order of their digests: merged into one, or counted against each other. Memory stays
//! small whatever their size.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::StoreError;
use super::command::Changes;
use crate::fingerprint::Kind;
use crate::index::sealed::{SegmentReader, SegmentWriter, WriteOptions};
use crate::list::{ListId, Source};
use crate::segment::{LabelSetId, LabelTable};

/// The most digests in one segment: places, of which there are at most half as many again, are bits of a bitmap of
/// 32-bit numbers.
pub(super) const SEGMENT_DIGESTS_MAX: u64 = 1 << 31;

/// A version's files, open for reading, with what was withdrawn from each.
pub(super) type OpenVersion = BTreeMap<Kind, (SegmentReader, BTreeSet<Box<[u8]>>)>;

pub(super) fn open_reader(path: &Path) -> Result<SegmentReader, StoreError> {
    Ok(SegmentReader::open(path)?)
}

/// What is to be merged.
pub(super) struct MergeInput {
    pub(super) reader: SegmentReader,
    pub(super) applied_seq: u64,
}

/// What decides which labels are kept.
pub(super) struct Keep {
    /// Sources whose labels are kept.
    pub(super) sources: BTreeSet<Source>,
    /// (digest, list, batch), ascending: the list's labels go from inputs that are older.
    pub(super) withdrawn: Vec<(Box<[u8]>, ListId, u64)>,
}

/// Merges segments of one kind into a new one at `path`, with the union of their labels. Returns whether there is one: not
/// if no label was left.
pub(super) fn merge(
    path: &Path,
    kind: Kind,
    inputs: Vec<MergeInput>,
    keep: &Keep,
    applied_seq: u64,
) -> Result<bool, StoreError> {
    let mut labels = LabelTable::new();
    let mut inputs: Vec<Input> =
        inputs.into_iter().map(|input| Input::start(input, keep, &mut labels)).collect::<Result<_, _>>()?;
    let mut writer = SegmentWriter::create(path, kind, WriteOptions { locator: None, applied_seq })?;
    let mut withdrawn = keep.withdrawn.as_slice();
    let (mut digest, mut said, mut written) = (Vec::new(), Vec::new(), 0u64);
    while let Some(smallest) = inputs.iter().filter_map(Input::digest).min() {
        digest.clear();
        digest.extend_from_slice(smallest);
        while withdrawn.first().is_some_and(|(value, ..)| **value < *digest) {
            withdrawn = &withdrawn[1..];
        }
        let until = withdrawn.iter().take_while(|(value, ..)| **value == *digest).count();
        let holders = inputs.iter_mut().filter(|input| input.digest() == Some(&digest));
        said.clear();
        let (mut holders_count, mut only) = (0, LabelSetId(0));
        for input in holders {
            holders_count += 1;
            only = input.whole[input.set.0 as usize];
            let gone = |list| withdrawn[..until].iter().any(|(_, of, seq)| *of == list && *seq > input.applied_seq);
            let kept = &input.kept[input.set.0 as usize];
            said.extend(kept.iter().filter(|(list, _)| !gone(*list)).map(|(_, label)| *label));
            input.advance()?;
        }
        if said.is_empty() {
            continue;
        }
        // Nearly always one segment holds the digest and nothing was withdrawn: then the set is known already.
        let set = if holders_count == 1 && until == 0 { only } else { labels.intern_set(&said) };
        writer.push(&digest, set)?;
        written += 1;
    }
    if written == 0 {
        return Ok(false);
    }
    writer.finish(&labels)?;
    Ok(true)
}

/// A segment being merged, at one of its digests.
struct Input {
    reader: SegmentReader,
    applied_seq: u64,
    /// Of each of its label sets: the labels that are kept, as numbers in the new table, with their lists.
    kept: Vec<Vec<(ListId, u32)>>,
    /// Of each of its label sets: the same as a set of the new table.
    whole: Vec<LabelSetId>,
    digest: Vec<u8>,
    set: LabelSetId,
    ended: bool,
}

impl Input {
    fn start(input: MergeInput, keep: &Keep, labels: &mut LabelTable) -> Result<Input, StoreError> {
        let MergeInput { reader, applied_seq } = input;
        let (mut kept, mut whole) = (Vec::new(), Vec::new());
        for set in 0..reader.labels().set_count() {
            let counted = reader.labels().set(LabelSetId(set as u32)).filter(|l| keep.sources.contains(&l.source));
            let of_set: Vec<_> = counted.map(|l| (l.source.list, labels.intern_label(l.clone()))).collect();
            // A set of which nothing is kept is never written.
            let numbers: Vec<u32> = of_set.iter().map(|(_, label)| *label).collect();
            whole.push(if numbers.is_empty() { LabelSetId(0) } else { labels.intern_set(&numbers) });
            kept.push(of_set);
        }
        let (digest, set) = (Vec::new(), LabelSetId(0));
        let mut input = Input { reader, applied_seq, kept, whole, digest, set, ended: false };
        input.advance()?;
        Ok(input)
    }

    fn digest(&self) -> Option<&[u8]> {
        if self.ended { None } else { Some(&self.digest) }
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        match self.reader.next()? {
            None => self.ended = true,
            Some((digest, _, set)) => {
                self.digest.clear();
                self.digest.extend_from_slice(digest);
                self.set = set;
            }
        }
        Ok(())
    }
}

/// Counts what two versions have in common, kind by kind.
pub(super) fn compare(new: OpenVersion, old: OpenVersion) -> Result<BTreeMap<Kind, Changes>, StoreError> {
    let mut sides: BTreeMap<Kind, [Option<Side>; 2]> = BTreeMap::new();
    for (index, version) in [new, old].into_iter().enumerate() {
        for (kind, (reader, withdrawn)) in version {
            sides.entry(kind).or_default()[index] = Some(Side { reader, withdrawn, digest: Vec::new() });
        }
    }
    let counted = sides.into_iter().map(|(kind, [new, old])| Ok((kind, compare_kind(new, old)?)));
    counted.collect()
}

fn compare_kind(mut new: Option<Side>, mut old: Option<Side>) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    // Where one side is all there is, its length says enough, and a first import need not be read again.
    match (&new, &old) {
        (Some(only), None) if only.withdrawn.is_empty() => return Ok(Changes { added: only.reader.len(), ..changes }),
        (None, Some(only)) if only.withdrawn.is_empty() => {
            return Ok(Changes { removed: only.reader.len(), ..changes });
        }
        _ => {}
    }
    let advance = |side: &mut Option<Side>| -> Result<(), StoreError> {
        if let Some(at) = side
            && !at.advance()?
        {
            *side = None;
        }
        Ok(())
    };
    advance(&mut new)?;
    advance(&mut old)?;
    loop {
        let order = match (&new, &old) {
            (None, None) => return Ok(changes),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(new), Some(old)) => new.digest.cmp(&old.digest),
        };
        match order {
            std::cmp::Ordering::Less => {
                changes.added += 1;
                advance(&mut new)?;
            }
            std::cmp::Ordering::Greater => {
                changes.removed += 1;
                advance(&mut old)?;
            }
            std::cmp::Ordering::Equal => {
                changes.kept += 1;
                advance(&mut new)?;
                advance(&mut old)?;
            }
        }
    }
}

/// One of two versions, at one of its digests.
struct Side {
    reader: SegmentReader,
    withdrawn: BTreeSet<Box<[u8]>>,
    digest: Vec<u8>,
}

impl Side {
    /// To the next digest that was not withdrawn; false after the last.
    fn advance(&mut self) -> Result<bool, StoreError> {
        while let Some((digest, ..)) = self.reader.next()? {
            if self.withdrawn.is_empty() || !self.withdrawn.contains(digest) {
                self.digest.clear();
                self.digest.extend_from_slice(digest);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
