//! Checkpoints: the last record of the trail at some time, signed, to be kept elsewhere.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::journal::{Head, Link};

/// The signing key's file in the trail's folder.
const KEY: &str = "key";

/// What is signed begins with this, so that the key's signatures mean nothing elsewhere.
const CONTEXT: &str = "hashward audit checkpoint 1";

/// The key that signs checkpoints.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key in the trail's folder; made there if there is none, for the owner's eyes only.
    ///
    /// # Errors
    /// The system's, or a file that holds no key.
    pub fn load_or_create(folder: &Path) -> io::Result<SigningKey> {
        let path = folder.join(KEY);
        let mut seed = [0; ed25519_dalek::SECRET_KEY_LENGTH];
        match fs::read(&path) {
            Ok(bytes) => {
                let wrong =
                    || io::Error::new(io::ErrorKind::InvalidData, format!("{}: no signing key", path.display()));
                seed = bytes.try_into().map_err(|_| wrong())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
                durable::put(&path, &seed)?;
            }
            Err(error) => return Err(error),
        }
        Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Signs that `head` is the last record at `at_ms`, in milliseconds since 1970-01-01 UTC.
    pub fn sign(&self, head: Head, at_ms: u64) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            seq: head.seq,
            link: head.link,
            at: at_ms,
            key: HEXLOWER.encode(self.0.verifying_key().as_bytes()),
            signature: String::new(),
        };
        checkpoint.signature = HEXLOWER.encode(&self.0.sign(&checkpoint.signed()).to_bytes());
        checkpoint
    }
}

/// That the trail had this record as its last at this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The record's number.
    pub seq: u64,
    /// Its link.
    pub link: Link,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// The public key, in hex.
    pub key: String,
    /// The signature, in hex.
    pub signature: String,
}

/// A checkpoint that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCheckpoint {
    /// Not what the key signed.
    #[error("the checkpoint of record {0}: its signature is not that of its key")]
    Signature(u64),
    /// Signed by somebody else.
    #[error("the checkpoint of record {seq}: expected the key {expected}, found {found}")]
    Key {
        /// The record.
        seq: u64,
        /// The key that was asked for.
        expected: String,
        /// The checkpoint's.
        found: String,
    },
}

impl Checkpoint {
    /// The record that it names, if its signature is good, and by `key` where one is named.
    ///
    /// # Errors
    /// [`BadCheckpoint`].
    pub fn check(&self, key: Option<&str>) -> Result<Head, BadCheckpoint> {
        if let Some(expected) = key.filter(|expected| *expected != self.key) {
            let (expected, found) = (expected.to_owned(), self.key.clone());
            return Err(BadCheckpoint::Key { seq: self.seq, expected, found });
        }
        let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).ok();
        let good = || {
            let key = VerifyingKey::from_bytes(&bytes(&self.key)?.try_into().ok()?).ok()?;
            let signature = Signature::from_bytes(&bytes(&self.signature)?.try_into().ok()?);
            // Strictly: there are keys, of zeros alone among them, under which anybody can sign.
            key.verify_strict(&self.signed(), &signature).ok()
        };
        good().ok_or(BadCheckpoint::Signature(self.seq))?;
        Ok(Head { seq: self.seq, link: self.link })
    }

    fn signed(&self) -> Vec<u8> {
        format!("{CONTEXT}\n{}\n{}\n{}\n", self.seq, self.link.to_hex(), self.at).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_signed_is_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(folder.path()).unwrap();
        let head = Head { seq: 7, link: Link([9; 32]) };
        let checkpoint = key.sign(head, 1_000);
        assert_eq!(SigningKey::load_or_create(folder.path()).unwrap().sign(head, 1_000), checkpoint);
        assert_eq!(checkpoint.check(None), Ok(head));
        assert_eq!(checkpoint.check(Some(&checkpoint.key)), Ok(head));
        let json = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);

        let other = tempfile::tempdir().unwrap();
        let other = SigningKey::load_or_create(other.path()).unwrap().sign(head, 1_000);
        assert!(matches!(other.check(Some(&checkpoint.key)), Err(BadCheckpoint::Key { seq: 7, .. })));
        for forged in [
            Checkpoint { seq: 8, ..checkpoint.clone() },
            Checkpoint { link: Link([8; 32]), ..checkpoint.clone() },
            Checkpoint { at: 1_001, ..checkpoint.clone() },
            Checkpoint { key: other.key.clone(), ..checkpoint.clone() },
            Checkpoint { signature: other.signature.clone(), ..checkpoint.clone() },
            Checkpoint { signature: "zz".to_owned(), ..checkpoint.clone() },
        ] {
            assert!(matches!(forged.check(None), Err(BadCheckpoint::Signature(_))), "{forged:?}");
        }
    }

    #[test]
    fn what_anybody_can_sign_is_no_checkpoint() {
        let zeros = |bytes: usize| "00".repeat(bytes);
        for seq in 0..64 {
            let forged = Checkpoint { seq, link: Link([0; 32]), at: 1, key: zeros(32), signature: zeros(64) };
            assert_eq!(forged.check(None), Err(BadCheckpoint::Signature(seq)));
        }
    }
}
