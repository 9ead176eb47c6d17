//! TLS at listeners: certificates and keys are read, checked, and read again at each reload.
//!
//! Versions 1.2 and 1.3 with the choices of rustls, cryptography from `ring` alone. A client says who it is by a token within
//! the connection; certificates of clients are not asked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use utoipa::ToSchema;

use super::certificate;
use super::listen::Protocol;
use crate::moment::{iso, now};
use crate::protocol::Address;

/// No chain of certificates, and no key, has more bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// What others than a file's owner and group may do with it.
const MODE_OF_OTHERS: u32 = 0o007;

/// Before its end, a certificate is warned of for so many seconds: two weeks.
const WARNING_S: i64 = 14 * 86_400;

/// `tls = { certificate = …, key = … }` of a `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and those that lead to an authority's, in this order, in PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, in PEM; nobody but its owner and group may read it.
    pub key: PathBuf,
}

/// A certificate or key that is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadTls {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that holds something else.
    #[error("{}: expected {expected} in PEM, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// Whoever has an account on the machine could pretend to be the daemon.
    #[error("{}: expected a private key that only its owner and group can read, found mode {mode:04o}; chmod o= it", path.display())]
    KeyForAll {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// They do not belong together.
    #[error("the key in {} is not the one of the certificate in {}; give those that were made together", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot work with them.
    #[error("{}: cannot be used for TLS: {source}", certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What a listener proves with who it is.
pub struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// The first end of a certificate of the chain, in seconds since 1970-01-01 UTC, if it can be told.
    pub(super) ends_at_s: Option<i64>,
}

/// A listener's certificate, as STATUS tells of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CertificateStatus {
    /// The listener's address.
    pub(super) listener: String,
    /// The first end of a certificate of its chain, in seconds since 1970-01-01 UTC, if it can be told.
    pub(super) ends_at: Option<i64>,
}

impl Identity {
    pub(super) fn status(&self, listener: &Address) -> CertificateStatus {
        CertificateStatus { listener: listener.to_string(), ends_at: self.ends_at_s }
    }

    /// What there is to say if a certificate has ended, or soon will.
    pub fn warning(&self) -> Option<String> {
        let ends_at_s = self.ends_at_s?;
        let left_s = ends_at_s - i64::try_from(now()).unwrap_or(i64::MAX);
        let ends = iso(ends_at_s);
        match left_s {
            ..0 => Some(format!("the certificate ended at {ends}; nobody can connect who checks it")),
            0..WARNING_S => Some(format!("the certificate ends at {ends}; renew it, and send SIGHUP")),
            _ => None,
        }
    }
}

impl TlsFiles {
    /// The same files, whose paths are relative to `folder` unless they are absolute.
    pub fn in_folder(self, folder: &Path) -> TlsFiles {
        TlsFiles { certificate: folder.join(self.certificate), key: folder.join(self.key) }
    }

    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// [`BadTls`].
    pub fn load(&self, protocol: Protocol) -> Result<Arc<Identity>, BadTls> {
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(_) => {
                BadTls::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            source => BadTls::Unusable { certificate: self.certificate.clone(), source },
        };
        let chain = self.read_chain()?;
        let ends_at_s = chain.iter().filter_map(|certificate| certificate::ends_at(certificate)).min();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, self.read_key()?)
            .map_err(unusable)?;
        if protocol == Protocol::Http {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(Arc::new(Identity { config: Arc::new(config), ends_at_s }))
    }

    fn read_chain(&self) -> Result<Vec<CertificateDer<'static>>, BadTls> {
        let (bytes, _) = read_file(&self.certificate)?;
        let content = |found| BadTls::Content { path: self.certificate.clone(), expected: "a certificate", found };
        let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| content(error.to_string()))?;
        if chain.is_empty() { Err(content("none".to_owned())) } else { Ok(chain) }
    }

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, BadTls> {
        let (bytes, mode) = read_file(&self.key)?;
        if mode & MODE_OF_OTHERS != 0 {
            return Err(BadTls::KeyForAll { path: self.key.clone(), mode });
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let found = match error {
                rustls::pki_types::pem::Error::NoItemsFound => "none".to_owned(),
                error => error.to_string(),
            };
            BadTls::Content { path: self.key.clone(), expected: "a private key", found }
        })
    }
}

/// A file's bytes, and its permissions.
fn read_file(path: &Path) -> Result<(Vec<u8>, u32), BadTls> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        let mut bytes = Vec::new();
        file.take(PEM_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    read().map_err(|source| BadTls::Read { path: path.to_owned(), source })
}
