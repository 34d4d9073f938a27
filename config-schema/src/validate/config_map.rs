//! Rules of ConfigMaps with the configuration of a rate-limit service: it can be read, and its domain is its own.

use std::collections::HashSet;

use super::check::Check;
use crate::document::Resource;
use crate::istio::rate_limit_service;
use crate::kubernetes::config_map::ConfigMap;
use crate::problem::Problems;

pub(super) fn check(maps: &[Resource<ConfigMap>], problems: &mut Problems) {
    let mut domains = HashSet::new();
    for resource in maps {
        let mut check = Check::new(resource, problems);
        for (name, text) in check.spec().data.iter().filter(|(_, it)| rate_limit_service::is_one(it)) {
            let at = format!("data[\"{name}\"]");
            match rate_limit_service::read(text) {
                Ok(service) => {
                    if !domains.insert(service.domain.clone()) {
                        check.error(at, format!("there are two configurations of the domain `{}`", service.domain));
                    }
                }
                Err(wrong) => wrong.into_iter().for_each(|it| check.error(&at, it)),
            }
        }
    }
}
