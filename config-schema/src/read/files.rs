//! Decides which files of a folder are read, and takes their texts within bounds.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Severity, code};

/// A larger file is refused before it is parsed.
pub const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// More files than this in one folder tree are refused.
pub const MAX_FILES: usize = 100_000;

/// Folders nested deeper than this are refused; a symlink cycle ends here.
const MAX_FOLDER_DEPTH: usize = 32;

/// The files that [`super::read`] would read, without reading them.
pub fn files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for path in paths {
        if !path.is_dir() {
            out.push(path.clone());
        } else if collect(path, 0, &mut out).is_err() {
            // What cannot be listed is reported when it is read.
            out.push(path.clone());
        }
    }
    out
}

/// All files of a folder with an ending that we read, sorted, hidden ones left out.
pub(super) fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Box<Problem>> {
    let unreadable = |error: std::io::Error| {
        Box::new(Problem::new(
            code::UNREADABLE,
            Severity::Error,
            format!("cannot read folder {}: {error}", folder.display()),
        ))
    };
    if depth > MAX_FOLDER_DEPTH {
        let message = format!("{} is nested over {MAX_FOLDER_DEPTH} folders deep", folder.display());
        return Err(Box::new(
            Problem::new(code::TOO_LARGE, Severity::Error, message).help("is there a symlink cycle?"),
        ));
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_none_or(|it| it.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if entry.is_dir() {
            collect(&entry, depth + 1, files)?;
        } else if entry.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json") {
            if files.len() >= MAX_FILES {
                let message = format!("{} holds more than {MAX_FILES} files", folder.display());
                return Err(Box::new(Problem::new(code::TOO_LARGE, Severity::Error, message)));
            }
            files.push(entry);
        }
    }
    Ok(())
}

/// The text of a file, refused when too large or not UTF-8.
pub(super) fn load(path: &Path) -> Result<String, Box<Problem>> {
    let unreadable = |what: String| {
        Box::new(Problem::new(code::UNREADABLE, Severity::Error, format!("cannot read {}: {what}", path.display())))
    };
    let file = fs::File::open(path).map_err(|it| unreadable(it.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|it| unreadable(it.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("{} is larger than {} MiB", path.display(), MAX_FILE_BYTES >> 20);
        return Err(Box::new(Problem::new(code::TOO_LARGE, Severity::Error, message).help("split the file")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|it| **it == b'\n').count();
        unreadable(format!("not UTF-8 in line {}", line + 1))
    })
}
