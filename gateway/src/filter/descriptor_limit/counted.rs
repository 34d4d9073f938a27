//! Which limits the descriptors of a request meet: those of a domain, and the bucket of this process.

use super::action::{Asked, Part, descriptor};
use super::tree::{Found, WindowLimit};
use super::{Bucket, DescriptorLimits, Entry, Global, Local};
use crate::quota::MAX_ASKED;
use crate::quota::window::Window;

/// A limit that counts, and the window that it is counted by.
pub type Counted<'a> = (&'a WindowLimit, Window);

/// Name of a request's virtual host, and of its route.
pub type Place<'a> = (&'a str, &'a str);

impl DescriptorLimits {
    /// The descriptors that a domain is asked about; at most [`MAX_ASKED`].
    pub fn descriptors<'a>(&'a self, global: &Global, asked: Asked<'a>, place: Place<'a>) -> Vec<Vec<Part<'a>>> {
        let stage = global.stage;
        let entries = self.entries(place.0, place.1).filter(move |it| it.stage == stage).take(MAX_ASKED);
        entries.filter_map(|it| descriptor(&it.actions, asked)).collect()
    }

    /// The limits of a request's descriptors, without those that another stands for.
    pub fn counted<'a>(&'a self, global: &'a Global, asked: Asked<'a>, place: Place<'a>) -> Vec<Counted<'a>> {
        let descriptors = self.descriptors(global, asked, place);
        let found: Vec<Found<'a>> = descriptors.iter().filter_map(|it| global.tree.find(&global.domain, it)).collect();
        let replaced: Vec<&str> = found.iter().flat_map(|it| &it.limit.replaces).map(AsRef::as_ref).collect();
        let stands = |it: &Found<'_>| it.limit.name.is_empty() || !replaced.contains(&it.limit.name.as_ref());
        let counts = found.into_iter().filter(stands).filter(|it| it.limit.requests.is_some());
        counts.map(|it| (it.limit, Window { key: it.key, period: it.limit.period, hits: 1 })).collect()
    }

    /// The bucket of a request's own with its number, where one of its descriptors has one.
    pub fn bucket<'a>(&'a self, local: &'a Local, asked: Asked<'a>, place: Place<'a>) -> Option<(usize, &'a Bucket)> {
        let of_stage = |it: &&Entry| it.stage == local.stage;
        let descriptors: Vec<Vec<Part<'a>>> = if local.entries.is_empty() {
            let entries = self.entries(place.0, place.1).filter(of_stage);
            entries.filter_map(|it| descriptor(&it.actions, asked)).collect()
        } else {
            local.entries.iter().filter(of_stage).filter_map(|it| descriptor(&it.actions, asked)).collect()
        };
        let fits = |entries: &[(Box<str>, Box<str>)]| {
            descriptors.iter().any(|it| {
                it.len() == entries.len()
                    && it.iter().zip(entries).all(|(part, (key, value))| *part.0 == **key && *part.1 == **value)
            })
        };
        local.descriptors.iter().enumerate().find(|(_, it)| fits(&it.entries))
    }
}
