//! Where certificates and keys come from: a document, or files that may change.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file that is read as a certificate or key.
const MAX_FILE: u64 = 1024 * 1024;

/// Where one PEM text comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was in a document.
    Given(Arc<[u8]>),
    /// It is in this file.
    File(PathBuf),
    /// There is none, for this reason.
    Missing(Box<str>),
}

/// Tells where from, never what.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Missing(reason) => write!(f, "Missing({reason})"),
        }
    }
}

/// A certificate chain with its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Name for people: the credential, or the path of the chain.
    pub name: Box<str>,
    /// The chain.
    pub chain: Source,
    /// The key.
    pub key: Source,
    /// An OCSP answer (DER) to staple; none when the file is not there.
    pub staple: Option<Source>,
}

/// Everything that a server shows, and those it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sources {
    /// Certificates to choose from, by what the client can check.
    pub pairs: Vec<Pair>,
    /// Authorities of client certificates.
    pub authorities: Option<Source>,
    /// Revoked client certificates.
    pub revoked: Option<Source>,
}

impl Source {
    /// What it holds now.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Given(bytes) => Ok(bytes.to_vec()),
            Self::File(path) => file_bytes(path),
            Self::Missing(reason) => Err(reason.to_string()),
        }
    }

    /// Whether it is a file that exists.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Given(_) => true,
            Self::File(path) => path.is_file(),
            Self::Missing(_) => false,
        }
    }
}

/// The bytes of a file of moderate size.
fn file_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let length = fs::metadata(path).map_err(wrong)?.len();
    if length > MAX_FILE {
        return Err(format!("{} is larger than {MAX_FILE} bytes", path.display()));
    }
    fs::read(path).map_err(wrong)
}

impl Sources {
    /// A number that changes when a file does; what lies behind symlinks counts.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let pairs = self.pairs.iter().flat_map(|it| [Some(&it.chain), Some(&it.key), it.staple.as_ref()]);
        for source in pairs.chain([self.authorities.as_ref(), self.revoked.as_ref()]).flatten() {
            let Source::File(path) = source else { continue };
            let seen = fs::metadata(path).map(|it| (it.len(), it.mtime(), it.mtime_nsec(), it.ino(), it.ctime_nsec()));
            seen.ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}
