//! Decides whether watched files have changed.
//!
//! What is compared are the names, sizes, times and inodes behind every symlink, so the
//! swap of a mounted ConfigMap (`..data`) is seen as well as an edit in place.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Changes when the files of a configuration do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// What the files are now. Taken before they are read, so that no change after that is missed.
pub fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    for file in config_schema::read::files(paths) {
        file.hash(&mut hasher);
        if let Ok(meta) = fs::metadata(&file) {
            (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut hasher);
        }
    }
    Fingerprint(hasher.finish())
}
