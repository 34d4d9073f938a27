//! Lowers what makes the parts of descriptors.

use config_schema::Problem;
use config_schema::istio::envoy_rate_limit::{
    Action as Written, EnvoyStringMatch, GenericKey, HeaderMatcher, HeaderValueMatch, Masked, QueryParameters,
    RequestHeaders, SafeRegex,
};
use http::HeaderName;
use regex::Regex;

use crate::compile::matches::broken;
use crate::filter::descriptor_limit::action::{Action, HeaderTest, Source};
use crate::text::{TextPattern, whole};

/// An action; one that asks for something no gateway has gives nothing.
pub(super) fn action(written: &Written, node: &str) -> Result<Action, Box<Problem>> {
    let Written {
        source_cluster,
        destination_cluster,
        request_headers,
        query_parameters,
        remote_address,
        masked_remote_address,
        generic_key,
        header_value_match,
        query_parameter_value_match: _,
        dynamic_metadata: _,
        metadata: _,
        extension: _,
    } = written;
    if source_cluster.is_some() {
        return Ok(Action::SourceCluster(node.into()));
    }
    if destination_cluster.is_some() {
        return Ok(Action::DestinationCluster);
    }
    if let Some(RequestHeaders { header_name, descriptor_key, skip_if_absent }) = request_headers {
        return Ok(Action::Header(source(header_name)?, descriptor_key.as_str().into(), *skip_if_absent));
    }
    if let Some(QueryParameters { query_parameter_name, descriptor_key, skip_if_absent }) = query_parameters {
        return Ok(Action::Query(
            query_parameter_name.as_str().into(),
            descriptor_key.as_str().into(),
            *skip_if_absent,
        ));
    }
    if remote_address.is_some() {
        return Ok(Action::Address);
    }
    if let Some(Masked { v4_prefix_mask_len, v6_prefix_mask_len }) = masked_remote_address {
        return Ok(Action::Network(v4_prefix_mask_len.unwrap_or(32), v6_prefix_mask_len.unwrap_or(128)));
    }
    if let Some(GenericKey { descriptor_value, descriptor_key }) = generic_key {
        let key = if descriptor_key.is_empty() { "generic_key" } else { descriptor_key };
        return Ok(Action::Constant(key.into(), descriptor_value.as_str().into()));
    }
    let Some(HeaderValueMatch { descriptor_key, descriptor_value, expect_match, headers }) = header_value_match else {
        return Ok(Action::Nothing);
    };
    let key = if descriptor_key.is_empty() { "header_match" } else { descriptor_key };
    Ok(Action::Match {
        key: key.into(),
        value: descriptor_value.as_str().into(),
        expected: expect_match.unwrap_or(true),
        tests: headers.iter().map(test).collect::<Result<_, _>>()?,
    })
}

fn source(name: &str) -> Result<Source, Box<Problem>> {
    Ok(match name.to_ascii_lowercase().as_str() {
        ":path" => Source::Path,
        ":method" => Source::Method,
        ":authority" | "host" => Source::Authority,
        lower => Source::Field(HeaderName::try_from(lower).map_err(|_| broken(format!("`{name}` is no header name")))?),
    })
}

fn test(written: &HeaderMatcher) -> Result<HeaderTest, Box<Problem>> {
    let HeaderMatcher {
        name,
        exact_match,
        prefix_match,
        suffix_match,
        contains_match,
        safe_regex_match,
        present_match,
        string_match,
        invert_match,
    } = written;
    let old = EnvoyStringMatch {
        exact: exact_match.clone(),
        prefix: prefix_match.clone(),
        suffix: suffix_match.clone(),
        contains: contains_match.clone(),
        safe_regex: safe_regex_match.clone(),
        ignore_case: false,
    };
    let pattern = pattern(string_match.as_ref().unwrap_or(&old))?;
    let inverted = *invert_match != (*present_match == Some(false));
    Ok(HeaderTest { source: source(name)?, pattern, inverted })
}

fn pattern(written: &EnvoyStringMatch) -> Result<TextPattern, Box<Problem>> {
    let EnvoyStringMatch { exact, prefix, suffix, contains, safe_regex, ignore_case } = written;
    let literal = |text: &String| regex::escape(text);
    let expression = match (exact, prefix, suffix, contains, safe_regex) {
        (Some(it), ..) if !ignore_case => return Ok(TextPattern::Exact(it.as_str().into())),
        (_, Some(it), ..) if !ignore_case => return Ok(TextPattern::Prefix(it.as_str().into())),
        (Some(it), ..) => literal(it),
        (_, Some(it), ..) => format!("{}.*", literal(it)),
        (_, _, Some(it), ..) => format!(".*{}", literal(it)),
        (_, _, _, Some(it), _) => format!(".*{}.*", literal(it)),
        (.., Some(SafeRegex { google_re2: _, regex })) => {
            let compiled = Regex::new(&whole(regex));
            return compiled.map(TextPattern::Regex).map_err(|error| broken(error.to_string()));
        }
        (None, None, None, None, None) => return Ok(TextPattern::Present),
    };
    let flags = if *ignore_case { "(?is)" } else { "(?s)" };
    Regex::new(&whole(&format!("{flags}{expression}")))
        .map(TextPattern::Regex)
        .map_err(|error| broken(error.to_string()))
}
