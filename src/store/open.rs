//! Opening a data folder: whatever a crash left there, exactly what was acknowledged answers again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rayon::prelude::*;

use super::checked::{named_files, open_segment};
use super::lock::Lock;
use super::manifest::{MANIFEST, Manifest, PREVIOUS};
use super::state::{Condition, Served, Slot, State, file_number, named};
use super::{CATALOGUE, SEGMENTS, Store, StoreError, StoreOptions, incoming, now, restore};
use crate::catalogue::Catalogue;

impl Store {
    /// Opens the store in `folder` and takes its lock.
    ///
    /// The catalogue is checked in full. Segments are opened and not yet verified: until [`Store::load`] has done
    /// that, questions of their kinds are undecided.
    ///
    /// # Errors
    /// [`StoreError`]: somebody else holds the lock, there is no store, or what is there is damaged.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Store, StoreError> {
        if options.create {
            for folder in [folder, &folder.join(SEGMENTS), &folder.join(incoming::INCOMING)] {
                fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
            }
        } else if !holds_store(folder) {
            return Err(StoreError::NoStore { folder: folder.to_owned() });
        }
        let lock = Lock::take(folder)?;
        restore::finish(folder)?;
        let (catalogue, manifest) = open_or_create(folder, options.create)?;
        let previous = Manifest::read(&folder.join(PREVIOUS)).unwrap_or_else(|error| {
            tracing::warn!(%error, "the generation before cannot be returned to");
            None
        });
        let mut state = State::new(folder, catalogue, manifest, previous, options.keep_versions);
        agree(folder, &state.catalogue, &state.manifest)?;
        number_files(&mut state)?;
        if options.serve {
            state.served = Some(serve(&state)?);
        }
        state.try_settle();
        state.refresh_lists()?;
        state.suppressed = Arc::new(state.covered()?);
        if let Err(error) = incoming::sweep(folder) {
            tracing::warn!(%error, "what killed tools left in incoming/ stays for now");
        }
        Ok(Store {
            folder: folder.to_owned(),
            options,
            snapshots: Arc::new(ArcSwap::from_pointee(state.snapshot())),
            state: Mutex::new(state),
            maintenance: Mutex::new(()),
            _lock: lock,
        })
    }

    /// Verifies all segments that were opened, side by side, and lets them answer. A segment that is damaged leaves
    /// its kind undecided, with the reason; other kinds answer.
    ///
    /// # Errors
    /// [`StoreError`] of the catalogue.
    pub fn load(&self) -> Result<(), StoreError> {
        let waiting: Vec<_> = match &self.state().served {
            None => return Ok(()),
            Some(served) => served
                .slots
                .iter()
                .filter_map(|(file, slot)| match &slot.condition {
                    Condition::Loading(segment) => Some((file.clone(), segment.clone())),
                    _ => None,
                })
                .collect(),
        };
        let verified: Vec<_> =
            waiting.into_par_iter().map(|(file, segment)| (file, segment.verify().map(|()| segment))).collect();
        let mut state = self.state();
        for (file, result) in verified {
            let loaded = match result {
                Ok(segment) => Some(state.ready(segment)?),
                Err(error) => {
                    tracing::error!(%error, "a segment is damaged; questions of its kind are undecided");
                    state
                        .served
                        .as_ref()
                        .and_then(|served| served.slots.get(&file))
                        .map(|slot| Slot { kind: slot.kind, condition: Condition::Failed(error.to_string()) })
                }
            };
            // A slot that is gone was replaced meanwhile.
            if let (Some(loaded), Some(served)) = (loaded, &mut state.served)
                && let Some(slot) = served.slots.get_mut(&file)
            {
                *slot = loaded;
            }
        }
        self.show(&state);
        Ok(())
    }
}

/// Whether there is a store in `folder`, or what will be one once an interrupted restore is finished.
pub(super) fn holds_store(folder: &Path) -> bool {
    [MANIFEST, CATALOGUE, restore::RESTORING].iter().any(|name| folder.join(name).exists())
}

pub(super) fn open_or_create(folder: &Path, create: bool) -> Result<(Catalogue, Manifest), StoreError> {
    let (file, path) = (folder.join(CATALOGUE), folder.join(MANIFEST));
    let disagree = |found: &str| StoreError::Disagreement { folder: folder.to_owned(), found: found.to_owned() };
    let catalogue = match (Catalogue::exists(&file), Manifest::read(&path)?) {
        (true, Some(manifest)) => return Ok((Catalogue::open(&file)?, manifest)),
        (false, Some(_)) => return Err(disagree("there is a manifest and no catalogue")),
        (true, None) => Catalogue::open(&file)?,
        (false, None) => {
            let used = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
            if folder.join(PREVIOUS).exists() || used(&folder.join(SEGMENTS)) {
                return Err(disagree("there are segments, and neither manifest nor catalogue"));
            }
            if !create {
                return Err(StoreError::NoStore { folder: folder.to_owned() });
            }
            Catalogue::create(&file, now())?
        }
    };
    // Only of a store whose creation was cut short is there nothing but the first batch.
    if catalogue.head().seq > 1 {
        return Err(StoreError::Manifest { path, found: "expected a manifest, found none".to_owned() });
    }
    let manifest = Manifest::empty(named(catalogue.head()));
    manifest.commit(folder, None)?;
    Ok((catalogue, manifest))
}

/// Holds the manifest against the catalogue.
pub(super) fn agree(folder: &Path, catalogue: &Catalogue, manifest: &Manifest) -> Result<(), StoreError> {
    let disagree = |found| Err(StoreError::Disagreement { folder: folder.to_owned(), found });
    let batch = &manifest.batch;
    match catalogue.read().link(batch.seq)? {
        Some(link) if link == batch.checksum => {}
        Some(_) => return disagree(format!("batch {} is not the one that the manifest names", batch.seq)),
        None => {
            let last = catalogue.head().seq;
            return disagree(format!("the manifest names batch {}, the catalogue ends with batch {last}", batch.seq));
        }
    }
    let versions = catalogue.read().versions()?;
    let lists: BTreeSet<_> = catalogue.read().lists()?.into_iter().map(|list| list.id).collect();
    for (list, version) in &manifest.current {
        // A list that is gone was removed; its versions went with it.
        if lists.contains(list) && !versions.iter().any(|row| (row.list, row.number) == (*list, *version)) {
            return disagree(format!("the manifest names version {version} of list {}, which is not kept", list.0));
        }
    }
    Ok(())
}

/// New files get numbers that none ever had.
fn number_files(state: &mut State) -> Result<(), StoreError> {
    let files = named_files(&state.catalogue.read(), &state.manifest)?;
    let numbers = files.iter().filter_map(|file| file_number(file.name()));
    let numbers: Vec<u64> = numbers.chain(state.previous.as_ref().map(|previous| previous.next_file)).collect();
    state.number_files_above(numbers);
    Ok(())
}

/// Opens what answers questions.
fn serve(state: &State) -> Result<Served, StoreError> {
    let open = |file: &crate::catalogue::SegmentFile| open_segment(&state.path_of(&file.file), file);
    let slots = state.manifest.segments.iter().map(|entry| {
        let condition = match open(&entry.file) {
            Ok(segment) => Condition::Loading(Arc::new(segment)),
            Err(error) => {
                tracing::error!(%error, "a segment cannot be opened; questions of its kind are undecided");
                Condition::Failed(error.to_string())
            }
        };
        (entry.file.file.clone(), Slot { kind: entry.kind, condition })
    });
    Ok(Served { slots: slots.collect(), live: state.replay()?, ..Served::default() })
}
