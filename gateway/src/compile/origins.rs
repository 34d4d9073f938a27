//! Notes where a resource was written, for explaining and logs.

use std::sync::Arc;

use config_schema::{Config, Resource};

use crate::origin::DocumentOrigin;

pub(super) fn of<T>(resource: &Resource<T>, config: &Config) -> Arc<DocumentOrigin> {
    // Sources are numbered as they stand.
    let file = config.documents.sources.get(resource.origin.source as usize);
    Arc::new(DocumentOrigin {
        name: format!("{}/{}", resource.metadata.namespace, resource.metadata.name).into(),
        file: file.map_or("", |it| it.name.as_str()).into(),
        document: resource.origin.document,
        item: resource.origin.item,
    })
}
