//! Counts what keys use up, and says whether a limit admits more: in memory, or in a Redis that all replicas share.
//!
//! Every limit is a generic cell rate algorithm ([`gcra`]): units come back evenly, so no
//! edge of a window doubles it. A request asks all of its limits together ([`Ask`]): either
//! each admits it and is used up, or nothing is. Arithmetic is in whole numbers in both
//! stores, so that they cannot disagree. A [`Tag`] names whose limit it is; it is a digest,
//! so nothing that a client sends can collide with or break out of a key.

pub mod concurrency;
pub mod counters;
pub mod denials;
pub mod gcra;
pub mod lease;
pub mod memory;
pub mod redis;
pub mod shards;
pub mod window;

use std::sync::Arc;

use self::gcra::{Limit, Standing};
use self::lease::Lease;

/// Most limits that one request may be asked about; others are not counted.
pub const MAX_ASKED: usize = 64;

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u128);

/// The limits of one rule, asked for one key.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The key.
    pub tag: Tag,
    /// What it may use.
    pub limits: Arc<[Limit]>,
    /// Units that are asked for; 0 only looks.
    pub cost: u32,
    /// Whether a refusal counts, or is only noted.
    pub enforced: bool,
    /// Whether units are taken ahead of need.
    pub lease: Option<Lease>,
}

/// What a store says of one [`Ask`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// How each limit stands behind the request, in order.
    pub standings: Vec<Standing>,
    /// Whether one of them does not admit it.
    pub is_over: bool,
}

impl Answer {
    /// Microseconds until all limits would admit the same again; 0 when they do.
    pub fn wait(&self) -> u64 {
        self.standings.iter().map(|it| it.wait).max().unwrap_or_default()
    }
}

/// Whether a request passes: no enforced limit is over.
pub fn admits(asks: &[Ask], answers: &[Answer]) -> bool {
    asks.iter().zip(answers).all(|(ask, answer)| !ask.enforced || !answer.is_over)
}
