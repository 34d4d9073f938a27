//! Finds the certificates and keys that a credential names: in Secret documents, or in files.

use std::path::Path;

use config_schema::Config;
use config_schema::kubernetes::secret::Secret;

use super::base64::decode;

/// Longest file that is read as a certificate or key.
const MAX_FILE: u64 = 1024 * 1024;

/// What a credential holds, in PEM.
#[derive(Default)]
pub(super) struct Credential {
    pub(super) chain: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) authorities: Option<Vec<u8>>,
    pub(super) revoked: Option<Vec<u8>>,
}

/// The credential of a name, in the gateway's namespace; `<name>-cacert` may hold its authorities.
pub(super) fn find(name: &str, config: &Config) -> Option<Credential> {
    let beside = one(&format!("{name}-cacert"), config);
    let mut found = match (one(name, config), &beside) {
        (Some(it), _) => it,
        (None, Some(_)) => Credential::default(),
        (None, None) => return None,
    };
    if let Some(beside) = beside {
        found.authorities = found.authorities.or(beside.authorities);
        found.revoked = found.revoked.or(beside.revoked);
    }
    Some(found)
}

fn one(name: &str, config: &Config) -> Option<Credential> {
    let namespace = &config.settings.node.namespace;
    let ours = |it: &&config_schema::Resource<Secret>| it.metadata.name == name && it.metadata.namespace == *namespace;
    if let Some(secret) = config.documents.secrets.iter().find(ours) {
        let value = |keys: [&str; 2]| keys.iter().find_map(|key| entry(&secret.spec, key));
        return Some(Credential {
            chain: value(["tls.crt", "cert"]),
            key: value(["tls.key", "key"]),
            authorities: value(["ca.crt", "cacert"]),
            revoked: value(["ca.crl", "crl"]),
        });
    }
    let folder = &config.settings.secrets.as_ref()?.directory;
    // A name is one step, so that no credential leads out of the folder.
    let folder = Some(Path::new(folder)).filter(|_| !name.contains(['/', '\\']) && name != "..")?.join(name);
    let read = |file: &str| file_bytes(&folder.join(file)).ok();
    folder.is_dir().then(|| Credential {
        chain: read("tls.crt"),
        key: read("tls.key"),
        authorities: read("ca.crt"),
        revoked: read("ca.crl"),
    })
}

fn entry(secret: &Secret, key: &str) -> Option<Vec<u8>> {
    let plain = secret.string_data.get(key).map(|it| it.clone().into_bytes());
    plain.or_else(|| decode(secret.data.get(key)?))
}

/// The bytes of a file of moderate size.
pub(super) fn file_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > MAX_FILE {
        return Err(format!("{} is larger than {MAX_FILE} bytes", path.display()));
    }
    std::fs::read(path).map_err(wrong)
}
