//! Rules of a BasicAuthentication: users from one place, a header that is one.

use super::check::{Check, is_header_name};
use crate::document::Resource;
use crate::native::basic_authentication::BasicAuthentication;
use crate::problem::Problems;

pub(super) fn check(resource: &Resource<BasicAuthentication>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let BasicAuthentication {
        selector,
        target_refs,
        htpasswd,
        file,
        credential_name,
        realm,
        optional: _,
        forward_credentials: _,
        user_header,
    } = check.spec();
    check.target(selector.as_ref(), None, target_refs);
    if [htpasswd, file, credential_name].iter().filter(|it| !it.is_empty()).count() != 1 {
        check.error("spec", "exactly one of htpasswd, file and credentialName is needed");
    }
    if realm.contains(['"', '\\']) || realm.chars().any(char::is_control) {
        check.error("spec.realm", "a realm has no quotes, backslashes or control characters");
    }
    if !user_header.is_empty() && !is_header_name(user_header) {
        check.error("spec.userHeader", format!("`{user_header}` is no header name"));
    }
}
