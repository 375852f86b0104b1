//! What of a message a pipeline's result still tells: all of it, its fields, or neither.

use std::borrow::Cow;

use super::{Function, Kind, Value};
use crate::scheme::{
    fault::Fault,
    fields::{self, Field},
    source::Source,
};

/// Whether nothing that goes into these functions can change and their result stay, but for how the same JSON is
/// written. Nothing that was taken for a map is: names are dropped, sorted, decoded, or lose the types of their values.
pub(in crate::scheme) fn keep_all(functions: &[Function]) -> bool {
    functions
        .iter()
        .enumerate()
        .all(|(index, one)| match &one.kind {
            Kind::Faithful(_) | Kind::StripPrefix(_) => true,
            // What was minified is JSON, in which `\/` and `/` are the same.
            Kind::Lossy(_) if one.shown == "php-json" => functions[..index]
                .iter()
                .any(|before| before.shown == "minify-json"),
            Kind::Lossy(_)
            | Kind::First(_)
            | Kind::Skip(_)
            | Kind::AfterLast(_)
            | Kind::Split(_)
            | Kind::ListFields { .. }
            | Kind::Change(_)
            | Kind::Exclude(_)
            | Kind::Only(_)
            | Kind::Join { .. }
            | Kind::Field(_)
            | Kind::OnlyValue => false,
        })
}

/// The fields as they are joined, those of the last join if there are several; none if nothing is.
pub(in crate::scheme) fn joined<'v>(
    functions: &[Function],
    start: Cow<'v, [u8]>,
) -> Result<Vec<Field<'v>>, Fault> {
    let mut value = Value::Bytes(start);
    let mut found = Vec::new();
    for function in functions {
        if let (Kind::Join { separator, pair }, Value::Map(map)) = (&function.kind, &value) {
            if !fields::reads_back(map, separator, pair)? {
                return Err(Fault::Ambiguous);
            }
            found.clone_from(map);
        }
        value = function.apply(value)?;
    }
    Ok(found)
}

/// Whether `field` is one of the fields of `whole` that these functions join, under its own name and with its own text.
pub(in crate::scheme) fn joins_field(
    whole: &Source,
    functions: &[Function],
    field: &Source,
) -> bool {
    let Some((split, rest)) = functions.split_first() else {
        return false;
    };
    if !matches!(split.kind, Kind::Split(_)) {
        return false;
    }
    let raw = ["raw-json-fields", "raw-form-fields", "query-fields"].contains(&&*split.shown);
    let json = split.shown.ends_with("json-fields");
    match (whole, field) {
        // Of a value as text neither its type is known, nor whether there is anything inside of it.
        (Source::Body, Source::Json { decrypted, path }) if json && !decrypted => path
            .first()
            .is_some_and(|name| (raw || path.len() == 1) && is_kept(name, rest)),
        (Source::Decrypted, Source::Json { decrypted, path }) if json && *decrypted => path
            .first()
            .is_some_and(|name| (raw || path.len() == 1) && is_kept(name, rest)),
        (Source::Body, Source::RawJson(path)) if json && raw => {
            path.first().is_some_and(|name| is_kept(name, rest))
        }
        (Source::Body, Source::FormField(name)) | (Source::Query, Source::QueryField(name))
            if !json =>
        {
            // A name that is not decoded yet could be written so that a list of names does not know it.
            let lists_known = rest.iter().all(|one| match &one.kind {
                Kind::Only(_) => false,
                Kind::Exclude(names) => !names.iter().any(|name| name.contains(['%', '+'])),
                _ => true,
            });
            (!raw || lists_known) && is_kept(name, rest)
        }
        _ => false,
    }
}

fn is_kept(name: &String, functions: &[Function]) -> bool {
    for (index, function) in functions.iter().enumerate() {
        match &function.kind {
            Kind::Change(_) if function.shown != "trim-values" => {}
            Kind::Exclude(names) if !names.contains(name) => {}
            Kind::Only(names) if names.contains(name) => {}
            Kind::Join { .. } => return keep_all(&functions[index + 1..]),
            _ => return false,
        }
    }
    false
}

impl Function {
    pub(in crate::scheme) const fn is_join(&self) -> bool {
        matches!(self.kind, Kind::Join { .. })
    }

    /// Whether it makes names and values in which no separator can stand.
    pub(in crate::scheme) fn escapes(&self) -> bool {
        ["raw-form-fields", "query-fields", "percent-encode-values"].contains(&&*self.shown)
    }
}
