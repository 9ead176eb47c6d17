//! The Tiger tree hash, the root of the tree that THEX describes (Chapweske and Mohr, Tree Hash EXchange format, 2003): leaves
//! are Tiger of 0x00 and 1024 bytes of the file, nodes are Tiger of 0x01 and their two children, and a node without a
//! sibling rises as it is. The empty file has one empty leaf. Tiger is the original of 1996, padded with 0x01, not Tiger2.

use tiger::{Digest, Tiger};

/// Bytes of a leaf; the last may be shorter.
const LEAF_BYTES: usize = 1024;

const LEAF_PREFIX: [u8; 1] = [0x00];
const NODE_PREFIX: [u8; 1] = [0x01];

type Node = [u8; 24];

/// A hash under way.
pub(super) struct Tth {
    leaf: Tiger,
    /// Bytes in `leaf`. A full leaf is closed at once.
    leaf_bytes: usize,
    /// Leaves closed so far. Its binary digits tell the sizes of the trees in `roots`, the largest first: as one counts up, each
    /// carry is a pair of trees of one size that become one.
    leaves: u64,
    roots: Vec<Node>,
}

impl Default for Tth {
    fn default() -> Tth {
        Tth { leaf: new_leaf(), leaf_bytes: 0, leaves: 0, roots: Vec::new() }
    }
}

impl Tth {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(LEAF_BYTES - self.leaf_bytes));
            self.leaf.update(now);
            self.leaf_bytes += now.len();
            bytes = later;
            if self.leaf_bytes == LEAF_BYTES {
                self.close_leaf();
            }
        }
    }

    fn close_leaf(&mut self) {
        let mut root: Node = std::mem::replace(&mut self.leaf, new_leaf()).finalize().into();
        for _ in 0..self.leaves.trailing_ones() {
            let left = self.roots.pop().expect("a tree for every digit 1 of the number of leaves");
            root = node(&left, &root);
        }
        self.roots.push(root);
        self.leaves += 1;
        self.leaf_bytes = 0;
    }

    pub(super) fn finish(mut self) -> Node {
        if self.leaf_bytes > 0 || self.leaves == 0 {
            self.close_leaf();
        }
        let last = self.roots.pop().expect("there is a leaf");
        self.roots.iter().rev().fold(last, |right, left| node(left, &right))
    }
}

fn new_leaf() -> Tiger {
    Tiger::new_with_prefix(LEAF_PREFIX)
}

fn node(left: &Node, right: &Node) -> Node {
    Tiger::new_with_prefix(NODE_PREFIX).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE32_NOPAD;
    use proptest::prelude::*;

    fn tth(bytes: &[u8]) -> Node {
        let mut hasher = Tth::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The first four are THEX's own; the others are in the tests of several Direct Connect programs.
    #[test]
    fn published_roots_come_out() {
        for (bytes, root) in [
            (vec![], "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ"),
            (vec![0], "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA"),
            (vec![b'A'; 1024], "L66Q4YVNAFWVS23X2HJIRA5ZJ7WXR3F26RSASFA"),
            (vec![b'A'; 1025], "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY"),
            (b"a".to_vec(), "CZQUWH3IYXBF5L3BGYUGZHASSMXU647IP2IKE4Y"),
            (vec![b'A'; 10_000], "UJUIOGYVALWRB56PRJEB6ZH3G4OLTELOEQ3UKMY"),
            (vec![0; 1 << 20], "MUACEID6UTVUKTRE2MTZKOPTZTMS6A2OF6B4ZNY"),
        ] {
            assert_eq!(BASE32_NOPAD.encode(&tth(&bytes)), root, "{} bytes", bytes.len());
        }
    }

    /// THEX in its own words: level by level, a lone node rising unchanged.
    fn by_levels(bytes: &[u8]) -> Node {
        let leaf = |leaf: &[u8]| new_leaf().chain_update(leaf).finalize().into();
        let mut level: Vec<Node> = bytes.chunks(LEAF_BYTES).map(leaf).collect();
        if level.is_empty() {
            level.push(leaf(b""));
        }
        while level.len() > 1 {
            let pair = |pair: &[Node]| if let [left, right] = pair { node(left, right) } else { pair[0] };
            level = level.chunks(2).map(pair).collect();
        }
        level[0]
    }

    proptest! {
        #[test]
        fn the_tree_is_that_of_its_levels(leaves in 0usize..40, rest in 0usize..LEAF_BYTES, seed: u8) {
            let bytes: Vec<u8> = (0..leaves * LEAF_BYTES + rest).map(|at| (at / 7) as u8 ^ seed).collect();
            prop_assert_eq!(tth(&bytes), by_levels(&bytes));
        }
    }
}
