//! Bytes without a protocol: how two connections are tied together, and how a third carries them.

pub mod metered;
pub mod relay;
pub mod tunnel;
