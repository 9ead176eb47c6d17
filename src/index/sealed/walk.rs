//! A segment's digests in order, each with its place and label set, and the rules that a lookup relies on.
//!
//! One walk serves the reader, the verification of a file and that of a mapping. It can start anywhere, so that a
//! large mapping is checked on all cores.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Place;
use super::open::{Opened, Parameters};
use crate::index::exact::GROUP;
use crate::index::exact::bucket::{self, BucketParameters};
use crate::index::exact::filter::{Filter, Probe};
use crate::index::exact::fst::FstParameters;
use crate::index::exact::transducer::Transducer;
use crate::index::hamming::Mih;
use crate::segment::layout::{HEAD_BYTES, LINE_BYTES, LINE_SLOTS, Section, SectionTag};
use crate::segment::{BitReader, Flaw, LabelSetId, SectionReader, SegmentError, hex};

/// A digest, its place and its label set.
pub type Row<'a> = (&'a [u8], Place, LabelSetId);

/// A walk starts at a multiple of this: there, packed label-set ids of any width start with a byte, and lines
/// with a slot.
pub(super) const STRIDE: u64 = 32;

const _: () = assert!(STRIDE.is_multiple_of(8) && STRIDE.is_multiple_of(LINE_SLOTS as u64));

/// A walk over a range of places.
pub(super) struct Walk<R> {
    path: PathBuf,
    layout: Layout<R>,
    sets: BitReader<R>,
    /// The digest that was read last, if any was.
    value: Vec<u8>,
    any: bool,
    /// The next place, and the end of the range.
    place: u64,
    end: u64,
}

enum Layout<R> {
    Ordered {
        digests: SectionReader<R>,
    },
    Bucket {
        heads: SectionReader<R>,
        tails: SectionReader<R>,
        parameters: BucketParameters,
        /// The last line so far that has an empty slot.
        gap: Option<u64>,
    },
}

impl<R: Read> Walk<R> {
    /// A walk over `places`, which starts at a multiple of [`STRIDE`]. `input` reads a section from an offset on.
    /// With `hashing`, and for all places only, [`Walk::finish`] checks the BLAKE3 of the sections.
    pub(super) fn new(
        opened: &Opened,
        places: Range<u64>,
        hashing: bool,
        input: impl Fn(&Section, u64) -> Result<R, SegmentError>,
    ) -> Result<Walk<R>, SegmentError> {
        let Opened { path, header, labels, parameters, .. } = opened;
        // What stands before the range decides what may stand in it: the digest before, and the empty slots of as
        // many lines as a digest can be away from home. (A digest still further back is smaller in any case, or
        // is itself too far from home, which the walk over its own range finds.)
        let lead = match parameters {
            Parameters::Fst(_) | Parameters::Codes => STRIDE,
            Parameters::Bucket(bucket) => ((u64::from(bucket.spill) + 1) * LINE_SLOTS as u64).next_multiple_of(STRIDE),
        };
        let start = places.start.saturating_sub(lead);
        let section = |tag, offset| {
            let section = header.section(tag);
            Ok::<_, SegmentError>(SectionReader::new(input(section, offset)?, path, section, offset, hashing))
        };
        let width = header.kind.width();
        let layout = match parameters {
            Parameters::Fst(_) | Parameters::Codes => {
                Layout::Ordered { digests: section(SectionTag::Digests, start * width as u64)? }
            }
            Parameters::Bucket(parameters) => Layout::Bucket {
                heads: section(SectionTag::Heads, start / LINE_SLOTS as u64 * LINE_BYTES as u64)?,
                tails: section(SectionTag::Tails, start * (width - HEAD_BYTES) as u64)?,
                parameters: *parameters,
                gap: None,
            },
        };
        let sets = section(SectionTag::Sets, start / 8 * u64::from(header.set_bits))?;
        let mut walk = Walk {
            path: path.clone(),
            layout,
            sets: BitReader::new(sets, header.set_bits, labels.set_count()),
            value: vec![0; width],
            any: false,
            place: start,
            end: places.end,
        };
        while walk.place < places.start {
            walk.step(false)?;
        }
        Ok(walk)
    }

    /// The next digest of the range.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, SegmentError> {
        while self.place < self.end {
            if let Some((place, set)) = self.step(true)? {
                return Ok(Some((&self.value, place, set)));
            }
        }
        Ok(None)
    }

    /// The digest that was read last, also before the range.
    fn last(&self) -> Option<&[u8]> {
        self.any.then_some(&self.value)
    }

    /// Goes on by one place, to a digest or an empty slot.
    #[inline]
    fn step(&mut self, checking: bool) -> Result<Option<(Place, LabelSetId)>, SegmentError> {
        let place = self.place;
        self.place += 1;
        let set = LabelSetId(self.sets.next()?);
        match &mut self.layout {
            Layout::Ordered { digests } => {
                let value = digests.take(self.value.len())?;
                if checking && self.any && value <= self.value.as_slice() {
                    let flaw = Flaw::new(format_args!("a digest above {}", hex(&self.value)), hex(value));
                    return Err(flaw.within(&self.path, SectionTag::Digests.name()));
                }
                self.value.copy_from_slice(value);
            }
            Layout::Bucket { heads, tails, parameters, gap } => {
                let line = place / LINE_SLOTS as u64;
                let head: &[u8; HEAD_BYTES] = heads.take(HEAD_BYTES)?.try_into().expect("as many as were asked for");
                let tail = tails.take(self.value.len() - HEAD_BYTES)?;
                if bucket::is_unstorable(head) {
                    *gap = Some(line);
                    return Ok(None);
                }
                // No empty slot between the home line's first and this one, and not further from home than the
                // header says.
                let home = parameters.home(head);
                let near = (home..=home + u64::from(parameters.spill)).contains(&line);
                let (last_head, last_tail) = self.value.split_at_mut(HEAD_BYTES);
                let above = !self.any
                    || bucket::key(last_head) < bucket::key(head)
                    || (&*last_head, &*last_tail) < (&head[..], tail);
                if checking && (!near || gap.is_some_and(|gap| gap >= home) || !above) {
                    let expected = if above { "a digest in or right after its home line" } else { "ascending digests" };
                    let found = format_args!("{}{} in slot {place}", hex(head), hex(tail)).to_string();
                    return Err(Flaw::new(expected, found).within(&self.path, SectionTag::Heads.name()));
                }
                last_head.copy_from_slice(head);
                last_tail.copy_from_slice(tail);
            }
        }
        self.any = true;
        Ok(Some((Place(place), set)))
    }

    /// After the last place: with `hashing`, refuses sections that are not what the header says.
    pub(super) fn finish(self) -> Result<(), SegmentError> {
        match self.layout {
            Layout::Ordered { digests } => digests.finish()?,
            Layout::Bucket { heads, tails, .. } => {
                heads.finish()?;
                tails.finish()?;
            }
        }
        self.sets.finish()
    }
}

/// The sections that `fst` reads at random, whole; empty with `bucket`.
#[derive(Clone, Copy, Default)]
pub(super) struct IndexBytes<'a> {
    pub(super) fst: &'a [u8],
    pub(super) filter: &'a [u8],
}

/// Walks to the end, and checks that a lookup would find each digest where it stands. Returns how many there were.
pub(super) fn check<R: Read>(opened: &Opened, mut walk: Walk<R>, index: IndexBytes<'_>) -> Result<u64, SegmentError> {
    let damaged = |flaw: Flaw, tag: SectionTag| flaw.within(&opened.path, tag.name());
    let mut digests = 0;
    match opened.parameters {
        // Where a digest stands is all there is to it.
        Parameters::Bucket(_) | Parameters::Codes => {
            while walk.next()?.is_some() {
                digests += 1;
            }
        }
        Parameters::Fst(FstParameters { filter, prefix }) => {
            let transducer = Transducer::new(index.fst).map_err(|flaw| damaged(flaw, SectionTag::Fst))?;
            let filter = Filter::new(filter, index.filter);
            let mut probes = [Probe::default(); GROUP];
            let filled = |probes: &[Probe]| match probes.iter().all(|probe| filter.may_hold(probe)) {
                true => Ok(()),
                false => Err(damaged(Flaw::new("a filter that lets every digest pass", "another"), SectionTag::Filter)),
            };
            let mut last_prefix = walk.last().unwrap_or_default().iter().take(prefix).copied().collect::<Vec<u8>>();
            while let Some((digest, Place(ordinal), _)) = walk.next()? {
                let at = digests as usize % GROUP;
                probes[at] = filter.prepare(bucket::key(digest));
                if at == GROUP - 1 {
                    filled(&probes)?;
                }
                if last_prefix != digest[..prefix] {
                    last_prefix.clear();
                    last_prefix.extend_from_slice(&digest[..prefix]);
                    let found = transducer.get(&last_prefix);
                    if found != Some(ordinal) {
                        let expected = format_args!("{ordinal} for prefix {}", hex(&last_prefix)).to_string();
                        return Err(damaged(Flaw::new(expected, format_args!("{found:?}")), SectionTag::Fst));
                    }
                }
                digests += 1;
            }
            filled(&probes[..digests as usize % GROUP])?;
        }
    }
    walk.finish()?;
    Ok(digests)
}

/// Checks that `mih` leads to every code, which needs all of them at once.
pub(super) fn check_mih(path: &Path, mih: Result<Mih<'_>, Flaw>) -> Result<(), SegmentError> {
    mih.and_then(|mih| mih.verify()).map_err(|flaw| flaw.within(path, SectionTag::Mih.name()))
}

/// Refuses a file that holds more or fewer digests than its header says.
pub(super) fn check_count(opened: &Opened, found: u64) -> Result<(), SegmentError> {
    let expected = opened.header.digests;
    if found == expected {
        return Ok(());
    }
    Err(Flaw::new(format_args!("{expected} digests"), found).within(&opened.path, "header"))
}
