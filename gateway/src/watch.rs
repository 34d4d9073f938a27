//! Decides whether watched files have changed.
//!
//! What is compared are the names, sizes, times and inodes behind every symlink, so the
//! swap of a mounted ConfigMap (`..data`) is seen as well as an edit in place.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// A number that changes when the files do.
pub fn fingerprint(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        add(path, 0, &mut hasher);
    }
    hasher.finish()
}

fn add(path: &Path, depth: usize, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let Ok(meta) = fs::metadata(path) else { return };
    if meta.is_dir() && depth < MAX_DEPTH {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).into_iter().flatten().filter_map(|it| Some(it.ok()?.path())).collect();
        entries.sort();
        for entry in entries {
            add(&entry, depth + 1, hasher);
        }
    } else {
        (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(hasher);
    }
}
