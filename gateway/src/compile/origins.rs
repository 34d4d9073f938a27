//! Notes where a resource was written, for explaining and logs.

use std::sync::Arc;

use config_schema::{Config, Resource};

use crate::origin::DocumentOrigin;

pub(super) fn of<T>(resource: &Resource<T>, config: &Config) -> Arc<DocumentOrigin> {
    let file = config.documents.sources.iter().find(|it| it.id == resource.origin.source);
    Arc::new(DocumentOrigin {
        name: format!("{}/{}", resource.metadata.namespace, resource.metadata.name).into(),
        file: file.map_or("", |it| it.name.as_str()).into(),
        document: resource.origin.document,
        item: resource.origin.item,
    })
}
