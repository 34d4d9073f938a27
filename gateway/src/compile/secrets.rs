//! Finds where the certificates and keys of a credential are: in Secret documents, or in files.

use std::path::Path;

use config_schema::Config;
use config_schema::gateway_api::CREDENTIAL;
use config_schema::kubernetes::secret::Secret;

use super::base64::decode;
use crate::listener::tls::source::Source;

/// What a credential holds.
pub(super) struct Credential {
    pub(super) chain: Source,
    pub(super) key: Source,
    pub(super) authorities: Source,
    /// Absent where nothing is revoked.
    pub(super) revoked: Option<Source>,
    /// An OCSP answer, if there is one.
    pub(super) staple: Option<Source>,
}

/// The credential of a name, in the gateway's namespace; `<name>-cacert` may hold its authorities.
pub(super) fn find(name: &str, config: &Config) -> Credential {
    let name = name.strip_prefix("kubernetes://").unwrap_or(name);
    let missing = || Source::Missing(format!("there is no credential `{name}`").into());
    let beside = one(&format!("{name}-cacert"), config);
    let mut found = one(name, config).unwrap_or_else(|| Credential {
        chain: missing(),
        key: missing(),
        authorities: missing(),
        revoked: None,
        staple: None,
    });
    if let Some(beside) = beside.filter(|it| it.authorities.is_there())
        && !found.authorities.is_there()
    {
        found.authorities = beside.authorities;
        found.revoked = found.revoked.or(beside.revoked);
    }
    found
}

fn one(name: &str, config: &Config) -> Option<Credential> {
    // Listeners of the Gateway API name Secrets with their namespace.
    let full = name.strip_prefix(CREDENTIAL).and_then(|it| it.split_once('/'));
    let (namespace, name) = full.unwrap_or((&config.settings.node.namespace, name));
    let ours = |it: &&config_schema::Resource<Secret>| it.metadata.name == name && it.metadata.namespace == *namespace;
    if let Some(secret) = config.documents.secrets.iter().find(ours) {
        let given = |keys: [&str; 2]| keys.iter().find_map(|key| entry(&secret.spec, key));
        let needed = |keys: [&str; 2]| {
            given(keys).unwrap_or_else(|| Source::Missing(format!("the Secret `{name}` has no {}", keys[0]).into()))
        };
        return Some(Credential {
            chain: needed(["tls.crt", "cert"]),
            key: needed(["tls.key", "key"]),
            authorities: needed(["ca.crt", "cacert"]),
            revoked: given(["ca.crl", "crl"]),
            staple: given(["tls.ocsp-staple", "ocsp-staple"]),
        });
    }
    let folder = &config.settings.secrets.as_ref()?.directory;
    // A name is one step, so that no credential leads out of the folder.
    let folder = Some(Path::new(folder)).filter(|_| !name.contains(['/', '\\']) && name != "..")?.join(name);
    let file = |file: &str| Source::File(folder.join(file));
    Some(Credential {
        chain: file("tls.crt"),
        key: file("tls.key"),
        authorities: file("ca.crt"),
        revoked: Some(file("ca.crl")).filter(Source::is_there),
        staple: Some(file("tls.ocsp-staple")),
    })
}

/// All entries of a Secret of the gateway's namespace, or the files of a folder, by name.
pub(super) fn entries(name: &str, config: &Config) -> Result<Vec<(String, Vec<u8>)>, String> {
    let namespace = &config.settings.node.namespace;
    let ours = |it: &&config_schema::Resource<Secret>| it.metadata.name == name && it.metadata.namespace == *namespace;
    if let Some(secret) = config.documents.secrets.iter().find(ours) {
        let Secret { data, string_data, .. } = secret.spec.as_ref();
        let plain = string_data.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let encoded = data.iter().filter_map(|(key, value)| Some((key.clone(), decode(value)?)));
        return Ok(encoded.chain(plain).collect());
    }
    let missing = || format!("there is no Secret `{name}` in namespace {namespace}, and no folder of that name");
    let folder = config.settings.secrets.as_ref().map(|it| Path::new(&it.directory)).ok_or_else(missing)?;
    let folder = Some(folder).filter(|_| !name.contains(['/', '\\']) && name != "..").ok_or_else(missing)?.join(name);
    let mut out = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|_| missing())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let file = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        // Kubernetes keeps what it mounts under names that begin so.
        if file.starts_with("..") || path.is_dir() {
            continue;
        }
        out.push((file, std::fs::read(&path).map_err(|error| format!("`{}`: {error}", path.display()))?));
    }
    Ok(out)
}

fn entry(secret: &Secret, key: &str) -> Option<Source> {
    let plain = secret.string_data.get(key).map(|it| it.clone().into_bytes());
    plain.or_else(|| decode(secret.data.get(key)?)).map(|it| Source::Given(it.into()))
}
