//! Pages of feeds, and values that NCMEC links: read or refused; nothing is said of an entry that has no key, and links are of states that are there.
#![no_main]

use hashward::fingerprint::Kind;
use hashward_index::feeds::{Page, State, ncmec, stopncii, threatexchange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for read in [ncmec::read_page, stopncii::read_page, threatexchange::read_page] {
        let mut page = Page::default();
        // What precedes a fault has been read, and counts.
        let _ = read(bytes, &mut page);
        for state in &page.states {
            let (State::Says(hashward::list::Entry { source_id, .. })
            | State::Gone(hashward::store::command::Deleted { source_id, .. })) = state;
            assert!(!source_id.is_empty());
        }
        assert!(page.links.iter().all(|link| link.state < page.states.len()));
    }
    // What stands behind a link of NCMEC's.
    for kind in Kind::ALL {
        assert!(ncmec::read_linked(kind, bytes).map_or(true, |value| value.kind() == kind));
    }
});
