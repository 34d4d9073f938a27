//! Decides whether watched files have changed.
//!
//! What is compared are the names, sizes, times and inodes behind every symlink, so the
//! swap of a mounted ConfigMap (`..data`) is seen as well as an edit in place.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A number that changes when the files of a configuration do.
pub fn fingerprint(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in config_schema::read::files(paths) {
        file.hash(&mut hasher);
        if let Ok(meta) = fs::metadata(&file) {
            (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut hasher);
        }
    }
    hasher.finish()
}
