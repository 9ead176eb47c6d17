//! Connections from the network over which nobody who may do anything has asked yet.
//!
//! Whoever reaches the port can open connections, and needs no token for that. So those of strangers are few and do not
//! last: they neither take the places of those who have a token, nor keep them from introducing themselves for long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limits::Taken;

/// Whether a connection is a stranger's, and the place that it takes among them.
#[derive(Default)]
pub(super) struct Stranger(Mutex<Option<Taken>>);

impl Stranger {
    /// A connection that takes a place among those of strangers.
    pub(super) fn new(place: Taken) -> Arc<Stranger> {
        Arc::new(Stranger(Mutex::new(Some(place))))
    }

    /// Somebody who may do something asks: from now on it is a connection like any other.
    pub(super) fn introduce(&self) {
        *self.place() = None;
    }

    /// Waits until it was a stranger's for too long; for ever if it became another's in time.
    pub(super) async fn overstays(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
        if self.place().is_none() {
            std::future::pending().await
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
