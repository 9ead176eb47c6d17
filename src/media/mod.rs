//! Picture bytes → perceptual hashes, decoded where a hostile picture can do no harm.

pub mod picture;
pub mod source;
pub mod values;
pub mod worker;
