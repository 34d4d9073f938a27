//! Scalars that check themselves while they are read.

mod cidr;
mod duration;
pub mod grpc_status;
pub mod host;
mod percent;
mod string_match;
pub mod substitution;

pub use cidr::Cidr;
pub use duration::Duration;
pub use percent::Percent;
pub use string_match::{Pattern, StringMatch};
