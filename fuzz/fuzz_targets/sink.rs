//! Takes what a list parser finds, and holds it to what every parser promises.

use hashward_index::formats::{Record, Rejected, Sink, SinkError};

/// Counts what it takes.
#[derive(Default)]
pub struct Promised {
    pub records: u64,
    pub rejected: u64,
}

impl Sink for Promised {
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        self.records += 1;
        assert!(!record.values.is_empty());
        for (kind, value) in record.values {
            assert_eq!(value.len(), kind.width());
        }
        Ok(())
    }

    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError> {
        self.rejected += 1;
        assert!(rejected.detail.contains("expected") && rejected.detail.chars().count() < 400, "{rejected:?}");
        Ok(())
    }

    fn unsupported(&mut self, name: &str) {
        assert!(!name.is_empty());
    }
}
