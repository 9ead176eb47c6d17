//! Copies become equal, whatever was there before.

use super::*;
use proptest::prelude::*;

fn file(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

proptest! {
    #[test]
    fn a_copy_becomes_equal(
        original in proptest::collection::vec(any::<u8>(), 0..64),
        copy in proptest::collection::vec(any::<u8>(), 0..64),
        blocks in 0..3usize,
    ) {
        // So that the bytes lie around the end of a block.
        let padding = vec![7; (blocks * BLOCK_BYTES).saturating_sub(32)];
        let bytes = |tail: &[u8]| [&padding, tail].concat();
        let (original, copy) = (file(&bytes(&original)), file(&bytes(&copy)));
        make_equal(&original, &copy).unwrap();
        prop_assert!(content(&copy) == content(&original));
    }
}

#[test]
fn only_paths_inside_are_inside() {
    for good in ["manifest", "catalogue.sqlite", "segments/00000001.seg"] {
        assert!(is_inside(good), "{good}");
    }
    for bad in ["", "/x", "x/", "..", "../x", "x/../y", "a/b/c", ".x", "x/.y", "x\0"] {
        assert!(!is_inside(bad), "{bad}");
    }
}
