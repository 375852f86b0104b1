//! At which line of a TOML file a key stands.

use toml::de::{DeTable, DeValue};

/// The line, the first being 1, of a key such as `tokens[0].pin.file`; of the innermost table that holds it, if
/// the key itself is not there.
pub(super) fn line(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = Some(document.get_ref());
    let mut value: Option<&DeValue<'_>> = None;
    let mut offset = None;
    for step in key.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = match step.strip_suffix(']') {
            Some(index) => {
                let index: usize = index.parse().ok()?;
                match value {
                    Some(DeValue::Array(array)) => {
                        array.get(index).map(|one| (one.span(), one.get_ref()))
                    }
                    _ => None,
                }
            }
            None => table.and_then(|table| {
                table
                    .iter()
                    .find(|(name, _)| name.get_ref() == step)
                    .map(|(name, value)| (name.span(), value.get_ref()))
            }),
        };
        let Some((span, next)) = next else { break };
        offset = Some(span.start);
        table = match next {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
        value = Some(next);
    }
    offset.map(|offset| of_offset(text, offset))
}

/// The line of a byte of the text.
pub(super) fn of_offset(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "a = 1\n[b]\nc = [1,\n  2]\n\n[[d]]\ne = 1\n[[d]]\n# e = 3\ne = { f = 2 }\n";
        for (key, expected) in [
            ("a", Some(1)),
            ("b", Some(2)),
            ("b.c", Some(3)),
            ("b.c[1]", Some(4)),
            ("b.missing", Some(2)),
            ("d[0].e", Some(7)),
            ("d[1]", Some(8)),
            ("d[1].e", Some(10)),
            ("d[1].e.f", Some(10)),
            ("missing", None),
        ] {
            assert_eq!(line(text, key), expected, "{key}");
        }
    }
}
