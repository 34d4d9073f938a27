//! Reads Istio's YAML into checked configuration, or says where it is wrong and how to mend it.
//!
//! Configuration passes two states here: [`Documents`] is what was read, [`Config`] is what
//! is valid. A mistake is a [`Problem`] with file, line and remedy; all of them are
//! collected, none stops the search for the next.
//!
//! Invariants: nothing here opens a socket; reading is bounded in size, depth and node
//! count before any value is built; `validate::config` is the only way to a [`Config`].

#![deny(missing_docs)]

pub mod problem;
mod suggest;

pub mod read;
pub mod value;

pub mod gateway_api;
pub mod istio;
pub mod kubernetes;
pub mod native;

pub mod document;
pub mod support;
pub mod validate;

pub use document::{Documents, Metadata, Resource};
pub use problem::{Problem, Problems, Severity};
pub use read::{Memory, read, read_again};
pub use validate::Config;
