//! A tree that grows by insertion: the live layer's structure.
//!
//! The tree of Burkhard and Keller ("Some approaches to best-match file searching", 1973) sorts codes by their distance
//! to a pivot, and the triangle inequality says which distances a question need not look at. Theirs has a code in each
//! node and a child for each distance, so that a question waits for memory at every step. Here the leaves are *blocks*
//! of codes that are scanned, and a node's children are *bands* of distances that hold about equally many codes. With
//! a small radius a few blocks are scanned, and with a large one all of them, which costs little more than a scan of
//! everything.
//!
//! Codes are never removed: whoever keeps labels beside them leaves the labels empty, and rebuilds at times.

use std::sync::Arc;

use super::{Codes, HammingIndex, Kernel, Near, WIDTH_MAX, distance};
use crate::fingerprint::Radius;

/// Codes of a block when it is first split. Fewer would let a small radius skip more, and a large one spend its time
/// between the blocks.
const BLOCK_CODES: usize = 4096;

/// Bands that a block is split into, at most.
const BANDS: usize = 4;

/// Codes of a page of [`BkTree::code`]: what a new version of the tree copies to append to the last.
const PAGE_CODES: usize = 1024;

/// Distinct codes, each with an ordinal in the order of insertion. A clone shares everything with the original, and
/// copies only the blocks that later insertions change: a batch of changes makes a new version of the tree, and
/// questions go on reading the old one.
#[derive(Clone)]
pub struct BkTree {
    width: usize,
    kernel: Kernel,
    len: u32,
    root: Child,
    nodes: Arc<Vec<Node>>,
    blocks: Vec<Arc<Block>>,
    /// All codes by ordinal, [`PAGE_CODES`] a page.
    pages: Vec<Arc<Vec<u8>>>,
}

#[derive(Clone, Copy)]
enum Child {
    Node(u32),
    Block(u32),
}

#[derive(Clone)]
struct Node {
    pivot: [u8; WIDTH_MAX],
    /// Ascending. The first starts at distance 0, each other one behind the one before, and the last has no end.
    bands: Vec<Band>,
}

#[derive(Clone, Copy)]
struct Band {
    /// The largest distance to the pivot in it.
    last: u16,
    child: Child,
}

#[derive(Clone)]
struct Block {
    codes: Vec<u8>,
    ordinals: Vec<u32>,
    /// It is split when it has as many codes.
    split_at: usize,
}

/// What becomes of a full block.
struct Split {
    pivot: [u8; WIDTH_MAX],
    /// Ascending bands: the largest distance to the pivot, and the codes.
    parts: Vec<(u16, Block)>,
}

impl BkTree {
    /// A tree without codes.
    ///
    /// # Panics
    /// If `width` is neither 8 nor 32.
    pub fn new(width: usize) -> BkTree {
        let _ = Codes::new(width, &[]);
        BkTree {
            width,
            kernel: Kernel::best(),
            len: 0,
            root: Child::Block(0),
            nodes: Arc::default(),
            blocks: vec![Arc::new(Block::empty())],
            pages: vec![],
        }
    }

    /// How many distinct codes were inserted.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no code.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The code with an ordinal below [`BkTree::len`].
    ///
    /// # Panics
    /// If the ordinal is not below it.
    pub fn code(&self, ordinal: u32) -> &[u8] {
        let (page, at) = (ordinal as usize / PAGE_CODES, ordinal as usize % PAGE_CODES);
        &self.pages[page][at * self.width..][..self.width]
    }

    /// Inserts a code and returns its ordinal: the old one if it was there before, and the next one if not.
    ///
    /// # Panics
    /// If the code has not the tree's width, or there are 2³² - 1 already.
    pub fn insert(&mut self, code: &[u8]) -> u32 {
        assert_eq!(code.len(), self.width, "bytes of a code");
        let mut way = self.root;
        // The band that leads to the block, to be led to what the block is split into.
        let mut parent = None;
        let block = loop {
            match way {
                Child::Block(block) => break block,
                Child::Node(node) => {
                    let there = &self.nodes[node as usize];
                    let distance = distance(code, &there.pivot[..self.width]);
                    let band = there.bands.partition_point(|band| band.last < distance);
                    parent = Some((node, band));
                    way = there.bands[band].child;
                }
            }
        };
        if let Some(ordinal) = self.blocks[block as usize].ordinal_of(code, self.kernel) {
            return ordinal;
        }
        let ordinal = self.len;
        self.len = ordinal.checked_add(1).expect("fewer than 2³² codes");
        if (ordinal as usize).is_multiple_of(PAGE_CODES) {
            self.pages.push(Arc::default());
        }
        Arc::make_mut(self.pages.last_mut().expect("pushed above")).extend_from_slice(code);
        let there = Arc::make_mut(&mut self.blocks[block as usize]);
        there.codes.extend_from_slice(code);
        there.ordinals.push(ordinal);
        if there.ordinals.len() >= there.split_at {
            self.split(block, parent);
        }
        ordinal
    }

    /// Replaces a full block by a node and a block for each of its bands.
    fn split(&mut self, block: u32, parent: Option<(u32, usize)>) {
        let full = Arc::make_mut(&mut self.blocks[block as usize]);
        let Some(Split { pivot, parts }) = full.split(self.width) else {
            full.split_at *= 2;
            return;
        };
        let mut bands = Vec::with_capacity(parts.len());
        for (last, part) in parts {
            let part = Arc::new(part);
            // The first part takes the place of the block.
            let place = if bands.is_empty() { block } else { self.blocks.len() as u32 };
            match self.blocks.get_mut(place as usize) {
                Some(there) => *there = part,
                None => self.blocks.push(part),
            }
            bands.push(Band { last, child: Child::Block(place) });
        }
        let nodes = Arc::make_mut(&mut self.nodes);
        let child = Child::Node(nodes.len() as u32);
        nodes.push(Node { pivot, bands });
        match parent {
            Some((node, band)) => nodes[node as usize].bands[band].child = child,
            None => self.root = child,
        }
    }

    fn search_one(&self, (row, question): (u32, &[u8]), radius: Radius, ways: &mut Vec<Child>, found: &mut Vec<Near>) {
        ways.push(self.root);
        while let Some(way) = ways.pop() {
            match way {
                Child::Block(block) => {
                    let block = &self.blocks[block as usize];
                    let first = found.len();
                    self.kernel.scan(block.codes(self.width), Codes::new(self.width, question), radius, found);
                    for near in &mut found[first..] {
                        *near = Near { row, ordinal: block.ordinals[near.ordinal as usize], ..*near };
                    }
                }
                Child::Node(node) => {
                    let node = &self.nodes[node as usize];
                    // What is within the radius of the question is at these distances of the pivot.
                    let distance = distance(question, &node.pivot[..self.width]);
                    let (nearest, farthest) = (distance.saturating_sub(radius.0), distance.saturating_add(radius.0));
                    let skipped = node.bands.partition_point(|band| band.last < nearest);
                    for band in &node.bands[skipped..] {
                        ways.push(band.child);
                        if band.last >= farthest {
                            break;
                        }
                    }
                }
            }
        }
    }
}

impl HammingIndex for BkTree {
    fn search(&self, questions: &[u8], radius: Radius, found: &mut Vec<Near>) {
        let mut ways = vec![];
        for (row, question) in Codes::new(self.width, questions).iter().enumerate() {
            self.search_one((row as u32, question), radius, &mut ways, found);
        }
    }
}

impl Block {
    fn empty() -> Block {
        Block { codes: vec![], ordinals: vec![], split_at: BLOCK_CODES }
    }

    fn codes(&self, width: usize) -> Codes<'_> {
        Codes { width, bytes: &self.codes }
    }

    /// The ordinal of a code, if it is in the block.
    fn ordinal_of(&self, code: &[u8], kernel: Kernel) -> Option<u32> {
        let mut found = vec![];
        kernel.scan(self.codes(code.len()), Codes::new(code.len(), code), Radius(0), &mut found);
        found.first().map(|near| self.ordinals[near.ordinal as usize])
    }

    /// Divides the codes by their distance to one of them. `None` if most are at one distance; another pivot may tell
    /// them apart when there are more.
    fn split(&self, width: usize) -> Option<Split> {
        let codes = self.codes(width);
        // The newest, so that another one is tried next time.
        let newest = codes.iter().next_back()?;
        let mut pivot = [0; WIDTH_MAX];
        pivot[..width].copy_from_slice(newest);
        let mut order: Vec<(u16, u32)> =
            codes.iter().zip(0..).map(|(code, place)| (distance(code, newest), place)).collect();
        order.sort_unstable();

        let mut parts: Vec<(u16, Block)> = vec![];
        for at_one_distance in order.chunk_by(|one, next| one.0 == next.0) {
            if parts.last().is_none_or(|(_, block)| block.ordinals.len() >= order.len().div_ceil(BANDS)) {
                parts.push((0, Block::empty()));
            }
            let (last, block) = parts.last_mut().expect("pushed above");
            *last = at_one_distance[0].0;
            for (_, place) in at_one_distance {
                block.codes.extend_from_slice(codes.get(*place));
                block.ordinals.push(self.ordinals[*place as usize]);
            }
        }
        let largest = parts.iter().map(|(_, block)| block.ordinals.len()).max()?;
        if largest > order.len() / 4 * 3 {
            return None;
        }
        parts.last_mut()?.0 = u16::MAX;
        Some(Split { pivot, parts })
    }
}
