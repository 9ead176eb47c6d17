//! Every structure against brute force, at every radius, on codes that are spread evenly, that cluster, and that are
//! all but equal.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::mih::{self, Mih};
use super::*;

/// SplitMix64 (Vigna): seeded, so that a failure comes again.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn code(&mut self, width: usize) -> Vec<u8> {
        (0..width / 8).flat_map(|_| self.next().to_le_bytes()).collect()
    }

    /// A code with at most so many bits flipped.
    fn near(&mut self, code: &[u8], flips: usize) -> Vec<u8> {
        let mut code = code.to_vec();
        for _ in 0..self.below(flips + 1) {
            let bit = self.below(code.len() * 8);
            code[bit / 8] ^= 1 << (bit % 8);
        }
        code
    }
}

/// Ways in which codes lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spread {
    Even,
    /// Around a few centres.
    Clustered,
    /// Around zero, within a few bits.
    Degenerate,
}

const SPREADS: [Spread; 3] = [Spread::Even, Spread::Clustered, Spread::Degenerate];

/// Packed, ascending, distinct codes.
pub(super) fn codes(random: &mut Random, spread: Spread, width: usize, count: usize) -> Vec<u8> {
    let centres: Vec<Vec<u8>> = (0..5).map(|_| random.code(width)).collect();
    let codes: BTreeSet<Vec<u8>> = (0..count)
        .map(|_| match spread {
            Spread::Even => random.code(width),
            Spread::Clustered => {
                let centre = &centres[random.below(centres.len())];
                random.near(centre, width * 3)
            }
            Spread::Degenerate => random.near(&vec![0; width], 6),
        })
        .collect();
    codes.into_iter().flatten().collect()
}

/// Questions: some are codes, some are near one, some are anything.
fn questions(random: &mut Random, width: usize, codes: &[u8], count: usize) -> Vec<u8> {
    let some = |random: &mut Random| match codes.len() / width {
        0 => vec![0; width],
        all => codes[random.below(all) * width..][..width].to_vec(),
    };
    let one = |_| match random.below(4) {
        0 => some(random),
        1 => random.code(width),
        _ => {
            let code = some(random);
            random.near(&code, width * 2)
        }
    };
    (0..count).flat_map(one).collect()
}

/// Brute force, which shares nothing with what it is held against.
fn brute(width: usize, codes: &[u8], questions: &[u8], radius: Radius) -> Vec<Near> {
    let mut found = vec![];
    for (question, row) in questions.chunks(width).zip(0..) {
        for (code, ordinal) in codes.chunks(width).zip(0..) {
            let mut distance = 0;
            for word in 0..width / 8 {
                let of = |bytes: &[u8]| u64::from_ne_bytes(bytes[word * 8..][..8].try_into().unwrap());
                distance += (of(question) ^ of(code)).count_ones() as u16;
            }
            if distance <= radius.0 {
                found.push(Near { row, ordinal, distance });
            }
        }
    }
    found
}

fn answers(index: &impl HammingIndex, questions: &[u8], radius: Radius) -> Vec<Near> {
    // What is there already is left alone.
    let before = Near { row: 7, ordinal: 7, distance: 7 };
    let mut found = vec![before];
    index.search(questions, radius, &mut found);
    assert_eq!(found.remove(0), before);
    found.sort();
    found
}

/// The structures over the same codes, each in all its ways.
struct All<'a> {
    width: usize,
    codes: &'a [u8],
    mih: Vec<Mih<'a>>,
    tree: BkTree,
}

impl<'a> All<'a> {
    /// `sections` are of [`sections`].
    fn new(width: usize, codes: &'a [u8], sections: &'a [Vec<u8>]) -> All<'a> {
        let mut tree = BkTree::new(width);
        for (code, ordinal) in codes.chunks(width).zip(0..) {
            assert_eq!(tree.insert(code), ordinal);
        }
        let mut mih = vec![];
        for section in sections {
            // Never scanned; always scanned; given up on soon; and as the costs say.
            let never = Kernel::available().into_iter().map(|kernel| (kernel, f64::INFINITY));
            let others = [0.0, 3.0, mih::SHARE].map(|share| (Kernel::best(), share));
            for (kernel, share) in never.chain(others) {
                let mut one = Mih::open(width, codes, section).unwrap();
                (one.kernel, one.share) = (kernel, share);
                mih.push(one);
            }
            mih.last().unwrap().verify().unwrap();
        }
        All { width, codes, mih, tree }
    }

    fn check(&self, questions: &[u8], radius: Radius) {
        let expected = brute(self.width, self.codes, questions, radius);
        for kernel in Kernel::available() {
            let flat = Flat::with_kernel(self.width, self.codes, kernel);
            assert_eq!(answers(&flat, questions, radius), expected, "flat, {}, {radius}", kernel.name());
        }
        for mih in &self.mih {
            assert_eq!(
                answers(mih, questions, radius),
                expected,
                "mih, {}, share {}, {radius}",
                mih.kernel.name(),
                mih.share
            );
        }
        assert_eq!(answers(&self.tree, questions, radius), expected, "tree, {radius}");
    }
}

/// Sections over the codes: as planned, and as planned for other radii.
fn sections(width: usize, codes: &[u8]) -> Vec<Vec<u8>> {
    let mut planned = vec![];
    mih::build(width, codes, &mut planned).unwrap();
    let forced = [5, 31].map(|radius| mih::built_for(width, codes, radius));
    std::iter::once(planned).chain(forced).collect()
}

fn radius_max(width: usize) -> u16 {
    if width == 32 { 63 } else { 16 }
}

#[test]
fn all_structures_find_what_brute_force_finds() {
    let mut random = Random(1);
    for width in [8, 32] {
        for spread in SPREADS {
            for count in [0, 1, 70, 1500] {
                let codes = codes(&mut random, spread, width, count);
                let sections = sections(width, &codes);
                let all = All::new(width, &codes, &sections);
                for radius in 0..=radius_max(width) {
                    let questions = questions(&mut random, width, &codes, 3);
                    all.check(&questions, Radius(radius));
                }
                for radius in [width as u16 * 8, u16::MAX] {
                    all.check(&questions(&mut random, width, &codes, 2), Radius(radius));
                }
            }
        }
    }
}

/// A hundred thousand questions in all, each to every structure.
#[test]
fn no_question_of_many_misses_anything() {
    let mut random = Random(4);
    let mut asked = 0;
    for width in [8, 32] {
        for spread in SPREADS {
            let codes = codes(&mut random, spread, width, 80);
            let section = mih::built_for(width, &codes, if width == 8 { 4 } else { 31 });
            let mut mih = Mih::open(width, &codes, &section).unwrap();
            mih.share = f64::INFINITY;
            let all = All { mih: vec![mih], ..All::new(width, &codes, &[]) };
            for radius in 0..=radius_max(width) {
                let questions = questions(&mut random, width, &codes, 412);
                all.check(&questions, Radius(radius));
                asked += 412;
            }
        }
    }
    assert!(asked >= 100_000, "{asked} questions");
}

/// What a section can be damaged into: no search panics or runs on, and no verification passes unless nothing that
/// matters has changed.
#[test]
fn damaged_sections_are_refused_and_do_no_harm() {
    let mut random = Random(5);
    for width in [8, 32] {
        let codes = codes(&mut random, Spread::Clustered, width, 120);
        let section = mih::built_for(width, &codes, if width == 8 { 4 } else { 31 });
        let asked = questions(&mut random, width, &codes, 2);
        let harmless = |section: &[u8]| match Mih::open(width, &codes, section) {
            Err(_) => false,
            Ok(mut mih) => {
                mih.share = f64::INFINITY;
                for radius in [0, 9, 31] {
                    mih.search(&asked, Radius(radius), &mut vec![]);
                }
                mih.verify().is_ok()
            }
        };
        assert!(harmless(&section));
        for length in [0, 1, 63, 64, 100, section.len() - 1] {
            assert!(!harmless(&section[..length]), "cut to {length}");
        }
        assert!(!harmless(&[&section[..], &[0; 64]].concat()), "too long");
        for _ in 0..3000 {
            let mut damaged = section.clone();
            // The head as often as all the rest.
            let at = if random.below(2) == 0 { random.below(64 * 8) } else { random.below(section.len()) };
            damaged[at] ^= 1 << random.below(8);
            if random.below(2) == 0 {
                damaged[at] = [0, 1, 0x7F, 0xFF][random.below(4)];
            }
            assert!(!harmless(&damaged) || damaged == section, "byte {at} of {}", section.len());
        }
    }
}

#[test]
fn a_section_of_other_codes_is_refused() {
    let mut random = Random(6);
    let (one, other) = (codes(&mut random, Spread::Even, 32, 99), codes(&mut random, Spread::Even, 32, 99));
    let section = mih::built_for(32, &one, 31);
    assert!(Mih::open(32, &other[32..], &section).is_err());
    assert!(Mih::open(32, &other, &section).unwrap().verify().is_err());
}

#[test]
fn the_same_codes_give_the_same_section() {
    let codes = codes(&mut Random(7), Spread::Clustered, 32, 5000);
    let (mut one, mut other) = (vec![], vec![]);
    mih::build(32, &codes, &mut one).unwrap();
    mih::build(32, &codes, &mut other).unwrap();
    assert_eq!(one, other);
    assert!(one.len() > 5000 * 5, "not scanned");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_structures_agree_on_any_codes(
        width in prop_oneof![Just(8usize), Just(32)],
        // Bytes of few values, so that all distances come up.
        codes in vec(prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => Just(0xFF), 1 => any::<u8>()], 0..32 * 60),
        questions in vec(prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => any::<u8>()], 0..32 * 3),
        radius in 0u16..70,
    ) {
        let codes: BTreeSet<&[u8]> = codes.chunks_exact(width).collect();
        let codes: Vec<u8> = codes.into_iter().flatten().copied().collect();
        let sections = sections(width, &codes);
        let all = All::new(width, &codes, &sections);
        all.check(&questions[..questions.len() / width * width], Radius(radius));
    }
}

#[test]
fn more_questions_than_are_worked_on_at_once_keep_their_rows() {
    let mut random = Random(2);
    for width in [8, 32] {
        let codes = codes(&mut random, Spread::Clustered, width, 300);
        let sections = sections(width, &codes);
        let all = All::new(width, &codes, &sections);
        all.check(&questions(&mut random, width, &codes, 150), Radius(9));
    }
}

#[test]
#[should_panic(expected = "packed codes of 32 bytes")]
fn a_piece_of_a_question_is_refused() {
    Flat::new(32, &[0; 32]).search(&[0; 33], Radius(1), &mut vec![]);
}

#[test]
fn the_tree_holds_a_code_once_and_old_versions_stay() {
    let mut random = Random(3);
    for width in [8, 32] {
        let mut versions = vec![(BkTree::new(width), BTreeSet::new())];
        for _ in 0..6 {
            let (mut tree, mut model) = versions.last().unwrap().clone();
            for _ in 0..700 {
                let before = tree.len();
                let code = random.near(&vec![0; width], 3);
                let ordinal = tree.insert(&code);
                assert_eq!(tree.code(ordinal), code);
                assert_eq!(ordinal == before, model.insert(code.clone()), "a new ordinal for a new code");
                assert_eq!(tree.len() as usize, model.len());
            }
            versions.push((tree, model));
        }
        for (tree, model) in &versions {
            let mut found = vec![];
            tree.search(&vec![0; width], Radius(u16::MAX), &mut found);
            let found: BTreeSet<Vec<u8>> = found.iter().map(|near| tree.code(near.ordinal).to_vec()).collect();
            assert_eq!(&found, model);
        }
    }
}
