//! Why a picture has no perceptual hash. Each is a reason for `undecided`, except for files that are no pictures.

use super::process::Anomaly;
use crate::media::picture::PictureError;

/// Why there is no hash. Every reason but [`Failed::NotAPicture`] means that the picture is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
#[non_exhaustive]
pub enum Failed {
    /// By its first bytes it is none of the formats that are decoded: asked about by exact kinds only.
    #[error("not a picture of a format that is decoded")]
    NotAPicture = 1,
    /// A variant of its format that is not decoded.
    #[error("a variant of the format that is not decoded")]
    Unsupported = 2,
    /// Its bytes are not what its format says.
    #[error("the picture is damaged or mislabelled")]
    Malformed = 3,
    /// It has more bytes or pixels than the limits.
    #[error("the picture has more bytes or pixels than the limits allow")]
    TooLarge = 4,
    /// Decoding it needs more memory than the limit.
    #[error("decoding the picture needs more memory than the limit allows")]
    Memory = 5,
    /// Neither decoded nor refused within the deadline or the processor time.
    #[error("the picture could not be decoded in time")]
    TimedOut = 0x41,
    /// The worker that decoded it died, or did not answer as a worker does.
    #[error("decoding the picture broke its worker")]
    Crashed = 0x42,
    /// There is no worker to decode it.
    #[error("no worker is available")]
    Unavailable = 0x43,
}

impl Failed {
    /// What a worker can say of a picture; the rest is said of workers.
    pub(super) const BY_WORKERS: [Failed; 5] =
        [Failed::NotAPicture, Failed::Unsupported, Failed::Malformed, Failed::TooLarge, Failed::Memory];

    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// What a worker says by `code`, if it is one that a worker says.
    pub(super) fn from_code(code: u8) -> Option<Failed> {
        Failed::BY_WORKERS.into_iter().find(|failed| failed.code() == code)
    }
}

impl From<Anomaly> for Failed {
    fn from(anomaly: Anomaly) -> Failed {
        match anomaly {
            Anomaly::TimedOut | Anomaly::CpuTime => Failed::TimedOut,
            Anomaly::Memory => Failed::Memory,
            Anomaly::Stopped => Failed::Unavailable,
            Anomaly::Forbidden | Anomaly::Ended(_) | Anomaly::BadAnswer => Failed::Crashed,
        }
    }
}

impl From<PictureError> for Failed {
    fn from(error: PictureError) -> Failed {
        match error {
            PictureError::NotAPicture => Failed::NotAPicture,
            PictureError::Unsupported { .. } => Failed::Unsupported,
            PictureError::Malformed { .. } => Failed::Malformed,
            PictureError::TooManyBytes { .. } | PictureError::TooManyPixels { .. } => Failed::TooLarge,
            PictureError::Memory { .. } => Failed::Memory,
            PictureError::NotPerceptual { .. } => unreachable!("requests name perceptual kinds only"),
        }
    }
}
