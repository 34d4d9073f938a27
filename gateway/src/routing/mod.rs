//! Which route a request takes: its host, then the first route whose conditions hold.

pub mod path;

pub mod request;
pub mod host_table;
pub mod virtual_host;
pub mod path_index;
pub mod prefix_trie;
pub mod limits;
pub mod matcher;

pub mod route;
pub mod redirect;
pub mod rewrite;
pub mod tcp;
pub mod way_out;
