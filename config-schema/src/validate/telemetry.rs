//! Rules of a Telemetry: providers with names, shares in range, overrides that fit their operation.

use super::check::Check;
use crate::document::Resource;
use crate::istio::telemetry::{Metrics, ProviderRef, TagOperation, Telemetry, Tracing};
use crate::problem::Problems;

type Checked<'a, 'b> = &'a mut Check<'b, Telemetry>;

pub(super) fn check(resource: &Resource<Telemetry>, problems: &mut Problems) {
    let mut check = Check::new(resource, problems);
    let Telemetry { selector, target_ref, target_refs, tracing, metrics, access_logging } = check.spec();
    check.target(selector.as_ref(), target_ref.as_ref(), target_refs);
    if tracing.len() > 1 {
        check.warn("spec.tracing", "only the first entry of tracing is used");
    }
    for (index, it) in tracing.iter().enumerate() {
        self::tracing(&mut check, &format!("spec.tracing[{index}]"), it);
    }
    for (index, it) in metrics.iter().enumerate() {
        self::metrics(&mut check, &format!("spec.metrics[{index}]"), it);
    }
    for (index, it) in access_logging.iter().enumerate() {
        let at = format!("spec.accessLogging[{index}]");
        providers(&mut check, &at, &it.providers);
        if it.filter.as_ref().is_some_and(|it| it.expression.is_empty()) {
            check.error(format_args!("{at}.filter.expression"), "a filter needs an expression");
        }
    }
}

fn providers(check: Checked<'_, '_>, at: &str, providers: &[ProviderRef]) {
    for (index, it) in providers.iter().enumerate() {
        if it.name.is_empty() {
            check.error(format_args!("{at}.providers[{index}].name"), "a provider needs a name");
        }
    }
}

fn tracing(check: Checked<'_, '_>, at: &str, tracing: &Tracing) {
    providers(check, at, &tracing.providers);
    if tracing.providers.len() > 1 {
        check.warn(format_args!("{at}.providers"), "only one provider is used");
    }
    let share = tracing.random_sampling_percentage.unwrap_or_default();
    check.percent(format_args!("{at}.randomSamplingPercentage"), share);
    for (name, tag) in &tracing.custom_tags {
        let field = format!("{at}.customTags[\"{name}\"]");
        if name.is_empty() {
            check.error(&field, "a tag needs a name");
        }
        let kinds = usize::from(tag.literal.is_some())
            + usize::from(tag.environment.is_some())
            + usize::from(tag.header.is_some())
            + usize::from(tag.formatter.is_some());
        if kinds != 1 {
            check.error(&field, "a tag needs exactly one of literal, environment, header and formatter");
        }
        let nameless = [&tag.environment, &tag.header].into_iter().flatten().any(|it| it.name.is_empty());
        let valueless = [&tag.literal, &tag.formatter].into_iter().flatten().any(|it| it.value.is_empty());
        if nameless || valueless {
            check.error(&field, "the source of a tag must not be empty");
        }
    }
}

fn metrics(check: Checked<'_, '_>, at: &str, metrics: &Metrics) {
    providers(check, at, &metrics.providers);
    for (index, it) in metrics.overrides.iter().enumerate() {
        let at = format!("{at}.overrides[{index}]");
        if it.selector.as_ref().is_some_and(|it| it.custom_metric.as_deref() == Some("")) {
            check.error(format_args!("{at}.match.customMetric"), "a metric needs a name");
        }
        for (name, tag) in &it.tag_overrides {
            let field = format!("{at}.tagOverrides[\"{name}\"]");
            match tag.operation.unwrap_or(TagOperation::Upsert) {
                TagOperation::Upsert if tag.value.is_empty() => {
                    check.error(field, "value must be set when operation is UPSERT");
                }
                TagOperation::Remove if !tag.value.is_empty() => {
                    check.error(field, "value must not be set when operation is REMOVE");
                }
                TagOperation::Upsert | TagOperation::Remove => {}
            }
        }
    }
}
