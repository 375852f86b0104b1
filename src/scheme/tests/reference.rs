//! The reference page names all that there is.

use std::{collections::BTreeSet, fs, path::Path};

use toml::{Table, Value};

use crate::scheme::{function, source};

#[test]
fn the_reference_page_names_every_source_function_entry_and_reason() {
    let page = read("docs/scheme-language.md");
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    wanted.extend(source::SOURCES.split_whitespace().map(str::to_owned));
    for name in function::names() {
        let words = name.trim_matches(['{', '}']).split(", ");
        wanted.extend(words.map(str::to_owned));
    }
    for folder in ["config/schemes", "tests/testdata/schemes"] {
        for file in files(folder) {
            if let Ok(table) = fs::read_to_string(&file).unwrap().parse::<Table>() {
                entries(&table, &mut wanted);
            }
        }
    }
    // What the bad files are there to be refused for.
    for wrong in ["encoding", "sha3"] {
        wanted.remove(wrong);
    }
    for file in files("src/scheme")
        .into_iter()
        .chain(files("src/scheme/family"))
    {
        if !file.ends_with("tests.rs") {
            reasons(&fs::read_to_string(&file).unwrap(), &mut wanted);
        }
    }
    assert!(wanted.len() > 150, "{wanted:?}");
    // A word of the page, in its code.
    let words: BTreeSet<_> = page
        .split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)))
        .flat_map(|word| [word, word.trim_matches('.')])
        .chain(page.split(['.', '`', '[', ']', ' ', ':']))
        .collect();
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !words.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "the page lacks {missing:?}");
}

/// Every entry, but those whose names are the file's own.
fn entries(table: &Table, found: &mut BTreeSet<String>) {
    for (name, value) in table {
        found.insert(name.clone());
        let own = [
            "constants",
            "inputs",
            "keys",
            "values",
            "headers",
            "request_headers",
            "set",
        ];
        let own = own.contains(&name.as_str()) || name == "header" || name == "claims";
        match value {
            Value::Table(inner) if own => {
                for value in inner.values() {
                    nested(value, found);
                }
            }
            other => nested(other, found),
        }
    }
}

fn nested(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => entries(table, found),
        Value::Array(list) => list.iter().for_each(|one| nested(one, found)),
        _ => {}
    }
}

/// Texts such as "WRONG_VALUE", up to the tests of the file.
fn reasons(text: &str, found: &mut BTreeSet<String>) {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    for part in code.split('"').skip(1).step_by(2) {
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let outside = ["CARGO_MANIFEST_DIR", "OUT_DIR"];
        if part.contains('_') && part.bytes().all(upper) && !outside.contains(&part) {
            found.insert(part.to_owned());
        }
    }
}

fn files(folder: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
