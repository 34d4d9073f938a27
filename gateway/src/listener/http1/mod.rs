//! HTTP/1.1 as this gateway admits it: one head, one framing, nothing read two ways.
//!
//! The parser behind this guard is lenient in places where two parsers can disagree, and
//! disagreement is how requests are smuggled. So every byte of a request passes here first:
//! [`head`] judges a complete head, [`body`] follows its framing to the last byte, and what
//! comes after is held back until the next request is asked for.

pub mod body;
pub mod head;
pub mod host;
