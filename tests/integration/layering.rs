//! The tables of the library's documentation, kept true: which room names which, and which crates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

#[test]
fn no_room_names_one_that_the_table_does_not_give_it() {
    let table = rooms();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        let Some(allowed) = table.get(&room) else {
            faults.push(format!("{path}: the room {room} is not in the table"));
            continue;
        };
        for named in named_rooms(&path, &text) {
            if named != room && table.contains_key(&named) && !allowed.contains(&named) {
                faults.push(format!("{path}: {room} names {named}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_loops() {
    let mut above = BTreeSet::new();
    for line in block("->") {
        let (room, named) = line.split_once("->").unwrap();
        for named in named.split_whitespace() {
            assert!(
                above.contains(named),
                "{line}: {named} does not stand above"
            );
        }
        above.insert(room.trim().to_owned());
    }
    assert!(above.len() > 15, "{above:?}");
}

#[test]
fn crates_are_named_where_the_table_confines_them() {
    let table = crates();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room_of(&path).filter(|_| !is_test(&path)) else {
            continue;
        };
        for named in named_crates(&text) {
            if table
                .get(&named)
                .is_some_and(|rooms| !rooms.contains(&room))
            {
                faults.push(format!("{path}: {room} names the crate {named}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_checker_sees_every_way_to_name_a_room() {
    for (path, text, expected) in [
        ("src/key.rs", "use crate::signer::Signer;", "signer"),
        (
            "src/key.rs",
            "use crate::{\n    key::A,\n    signer::{B, C},\n};",
            "key signer",
        ),
        (
            "src/key.rs",
            "fn f() -> crate::grpc::Services { todo!() }",
            "grpc",
        ),
        ("src/key.rs", "use super::signer::Signer;", "signer"),
        (
            "src/key/public.rs",
            "use super::super::{signer, tls as t};",
            "signer tls",
        ),
        ("src/key/public.rs", "use super::ecdsa;", ""),
        ("src/key.rs", "mod tests { use super::*; }", ""),
        (
            "src/key.rs",
            "mod tests { use super::super::server; }",
            "server",
        ),
        ("src/key.rs", "mod a { } use super::server;", "server"),
        (
            "src/bin/chancery/main.rs",
            "use chancery::{client::{Client, Config}, server};",
            "client server",
        ),
        (
            "src/bin/chancery/main.rs",
            "use crate::output::Streams;",
            "",
        ),
        (
            "src/key.rs",
            "// use crate::signer;\n/* crate::tls */ let s = \"crate::grpc\";",
            "",
        ),
        (
            "src/key.rs",
            "let s = r#\"\"crate::grpc\"#; let c = '\"'; use crate::tls;",
            "tls",
        ),
        (
            "src/key.rs",
            "fn f<'a>(x: &'a str) {} use crate::tls;",
            "tls",
        ),
        ("src/key.rs", "pub(crate) struct A; use ::core::fmt;", ""),
    ] {
        let named: Vec<_> = named_rooms(path, text).into_iter().collect();
        assert_eq!(named.join(" "), expected, "{text}");
    }
}

#[test]
fn the_checker_sees_every_way_to_name_a_crate() {
    for (text, expected) in [
        ("use rustls::ServerConfig;", "rustls"),
        ("use ::rustls::ServerConfig;", "rustls"),
        ("fn f(e: rustls::Error) {}", "rustls"),
        ("use rustls as r;", "rustls"),
        ("use {rustls, std::fmt};", "rustls"),
        ("use {std::fmt, rustls::Error};", "rustls"),
        ("fn f(e: x::rustls::Error) {} struct S { rustls: u8 }", ""),
        (
            "#[cfg(test)]\nmod tests { use rustls::A; }\nuse tonic::B;",
            "tonic",
        ),
    ] {
        let known = ["rustls", "tonic"];
        let named: Vec<_> = named_crates(text)
            .into_iter()
            .filter(|name| known.contains(&name.as_str()))
            .collect();
        assert_eq!(named.join(" "), expected, "{text}");
    }
}

#[test]
fn every_file_says_what_it_is_and_is_not_too_long() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//! ") {
            faults.push(format!(
                "{path}: the first line does not say what the file is"
            ));
        }
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let lines = text[..end].lines().count();
        if lines > LONGEST && !is_test(&path) {
            faults.push(format!(
                "{path}: {lines} lines; look for the second idea in it"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rooms that a file names; those of the library, whoever names them.
fn named_rooms(path: &str, text: &str) -> BTreeSet<String> {
    let tokens = tokens(text);
    let binary = path.starts_with("src/bin/");
    let root = if binary { "chancery" } else { "crate" };
    let mut named = BTreeSet::new();
    let mut inline = Vec::new();
    let mut braces = 0;
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at].as_str();
        match token {
            "{" => {
                if at >= 2 && tokens[at - 2] == "mod" {
                    inline.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces -= 1;
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            _ if token == root && starts_path(&tokens, at) => {
                first_names(&tokens, at + 1, &mut named)
            }
            "super" if !binary && starts_path(&tokens, at) => {
                let mut climbed = 1;
                while tokens.get(at + 1).is_some_and(|next| next == "::")
                    && tokens.get(at + 2).is_some_and(|next| next == "super")
                {
                    climbed += 1;
                    at += 2;
                }
                if climbed == depth(path) + inline.len() {
                    first_names(&tokens, at + 1, &mut named);
                }
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// What follows `crate`: `::name`, or `::{name, name::...}`.
fn first_names(tokens: &[String], mut at: usize, named: &mut BTreeSet<String>) {
    if tokens.get(at).is_none_or(|token| token != "::") {
        return;
    }
    at += 1;
    if tokens.get(at).is_none_or(|token| token != "{") {
        named.extend(tokens.get(at).cloned());
        return;
    }
    let mut braces = 0;
    let mut first = false;
    for token in &tokens[at..] {
        match token.as_str() {
            "{" => {
                braces += 1;
                first = braces == 1;
            }
            "}" => braces -= 1,
            "," => first = braces == 1,
            name if first => {
                named.insert(name.to_owned());
                first = false;
            }
            _ => {}
        }
        if braces == 0 {
            return;
        }
    }
}

/// Every name that begins a path outside of tests: crates are among them.
fn named_crates(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").collect::<Vec<_>>();
    // The tests end with a brace that begins a line, or on their own line.
    let rest = text.get(1).map_or("", |tests| {
        let end = tests.find("\n}").or_else(|| tests.find("}\n"));
        end.map_or("", |end| &tests[end + 2..])
    });
    let tokens = tokens(&format!("{}\n{rest}", text[0]));
    let mut named = BTreeSet::new();
    let mut in_use = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "use" => in_use = true,
            ";" => in_use = false,
            _ => {}
        }
        let path = tokens.get(at + 1).is_some_and(|next| next == "::");
        if (path || in_use) && starts_path(&tokens, at) {
            named.insert(token.clone());
        }
    }
    named
}

/// Whether no `name::` stands before; `::name` begins a path too.
fn starts_path(tokens: &[String], at: usize) -> bool {
    at == 0
        || tokens[at - 1] != "::"
        || at < 2
        || !tokens[at - 2]
            .starts_with(|first: char| first.is_alphanumeric() || first == '_' || first == '>')
        || tokens[at - 2] == "use"
}

/// Names, `::`, and other signs one by one; without comments, texts and characters.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let is = |at: usize, what: &str| {
        let what: Vec<char> = what.chars().collect();
        text[at..].starts_with(&what)
    };
    let find = |from: usize, what: &str| (from..text.len()).find(|at| is(*at, what));
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let here = text[at];
        if is(at, "//") {
            at = find(at, "\n").unwrap_or(text.len());
        } else if is(at, "/*") {
            at = find(at, "*/").map_or(text.len(), |end| end + 2);
        } else if is(at, "r\"") || is(at, "r#") {
            let hashes = text[at + 1..]
                .iter()
                .take_while(|sign| **sign == '#')
                .count();
            let end = format!("\"{}", "#".repeat(hashes));
            at = find(at + hashes + 2, &end).map_or(text.len(), |at| at + hashes + 1);
        } else if here == '"' {
            at += 1;
            while at < text.len() && text[at] != '"' {
                at += if text[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if here == '\'' && (is(at + 1, "\\") || text.get(at + 2) == Some(&'\'')) {
            at = find(at + if is(at + 1, "\\") { 3 } else { 2 }, "'")
                .map_or(text.len(), |at| at + 1);
        } else if here.is_alphanumeric() || here == '_' {
            let end = (at..text.len())
                .find(|at| !text[*at].is_alphanumeric() && text[*at] != '_')
                .unwrap_or(text.len());
            tokens.push(text[at..end].iter().collect());
            at = end;
        } else if is(at, "::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !here.is_whitespace() {
                tokens.push(here.to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// How many modules deep a file is: `src/key.rs` one, `src/key/public.rs` two.
fn depth(path: &str) -> usize {
    path.matches('/').count()
}

/// `src/key/public.rs` is of `key`, `src/bin/chancery/main.rs` of `chancery`.
fn room_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("src/").unwrap();
    let inside = inside.strip_prefix("bin/").unwrap_or(inside);
    let room = inside.split('/').next().unwrap().trim_end_matches(".rs");
    (room != "lib").then(|| room.to_owned())
}

fn is_test(path: &str) -> bool {
    path.split(['/', '.'])
        .any(|part| part == "tests" || part == "testing")
}

fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let row = |line: String| {
        let (room, named) = line.split_once("->").unwrap();
        let named = named.split_whitespace().map(str::to_owned).collect();
        (room.trim().to_owned(), named)
    };
    block("->").into_iter().map(row).collect()
}

fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let row = |line: String| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.collect())
    };
    let table: BTreeMap<_, BTreeSet<_>> = block("cryptoki").into_iter().map(row).collect();
    let rooms = rooms();
    for named in table.values().flatten() {
        assert!(rooms.contains_key(named), "there is no room {named}");
    }
    table
}

/// The lines of the block of the library's documentation whose first line has this in it.
fn block(mark: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let blocks = lines.split(|line| line.trim().starts_with("```"));
    // Every second one is between fences.
    let found = blocks
        .skip(1)
        .step_by(2)
        .find(|block| block.first().is_some_and(|line| line.contains(mark)))
        .unwrap_or_else(|| panic!("no table with {mark} in src/lib.rs"));
    found.iter().map(|line| line.trim().to_owned()).collect()
}

/// Every file below `src`, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Tests apart; the aim is 100 to 300.
const LONGEST: usize = 600;
