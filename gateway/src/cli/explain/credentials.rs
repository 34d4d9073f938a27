//! Tells what keys and passwords come to, offline, by the functions that serve traffic.

use super::teller::Teller;
use crate::filter::credential::Outcome;
use crate::local_reply::credential_fault::CredentialFault;
use crate::snapshot::Snapshot;

impl Teller<'_> {
    /// The target without credentials, if the request gets that far; whom they name is noted.
    pub(super) fn credentials(&mut self, snapshot: &Snapshot, target: String) -> Option<String> {
        let headers = &self.asked().headers;
        let mut target = target;
        if !snapshot.api_keys.is_empty() {
            target = self.credential("api key", snapshot.api_keys.judge(headers, &target), target)?;
        }
        if let Some(policy) = &snapshot.basic {
            let judged = policy.read(headers).and_then(|presented| {
                let check = presented.as_ref().and_then(|it| policy.check(it));
                if check.is_some_and(|it| !it.run()) {
                    return Err(CredentialFault::WrongPassword);
                }
                Ok(policy.outcome(headers, presented.as_ref()))
            });
            target = self.credential("password", judged, target)?;
        }
        Some(target)
    }

    fn credential(
        &mut self,
        what: &'static str,
        judged: Result<Outcome, CredentialFault>,
        target: String,
    ) -> Option<String> {
        match judged {
            Err(fault) => {
                self.step(what, format!("{} ({}): {}", fault.text(), fault.details(), fault.status()));
                None
            }
            Ok(Outcome { principal, remove: _, set, target: changed }) => {
                let told = principal.as_ref().map_or("none: the request names nobody".to_owned(), |it| {
                    format!("of `{}`, for policies {}/{}", it.name, it.kind, it.name)
                });
                self.step(what, told);
                for (name, value) in set {
                    self.step(what, format!("sets {name}: {}", value.to_str().unwrap_or_default()));
                }
                self.known.extend(principal);
                Some(changed.unwrap_or(target))
            }
        }
    }
}
