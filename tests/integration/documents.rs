//! The documents: what they link to is there, and what they tell people to type can be typed.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAMS: [(&str, &str); 2] = [
    ("chancery", env!("CARGO_BIN_EXE_chancery")),
    ("chanceryd", env!("CARGO_BIN_EXE_chanceryd")),
];

#[test]
fn what_documents_link_to_is_there() {
    let (mut faults, mut followed) = (Vec::new(), 0);
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for target in links(&outside_of_blocks(&text)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let there = match section {
                "" => file.exists(),
                section => fs::read_to_string(&file).is_ok_and(|text| has_section(&text, section)),
            };
            if !there {
                faults.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(followed >= 40, "{followed}");
}

#[test]
fn what_documents_say_to_type_can_be_typed() {
    let mut helps = HashMap::new();
    let (mut faults, mut tried) = (Vec::new(), 0);
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for command in shell_blocks(&text).iter().flat_map(|block| commands(block)) {
            tried += 1;
            if let Err(why) = check(&command, &mut helps) {
                faults.push(format!("{}: {}: {why}", path.display(), command.join(" ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried >= 50, "{tried}");
}

/// Whether the program has that subcommand, and the subcommand those options.
fn check(command: &[String], helps: &mut HashMap<String, String>) -> Result<(), String> {
    let (_, program) = PROGRAMS
        .into_iter()
        .find(|(name, _)| *name == command[0])
        .unwrap();
    let mut words = command[1..].iter().peekable();
    let mut path = Vec::new();
    loop {
        let text = help(program, &path, helps)?;
        let Some((_, subcommands)) = text.split_once("\nCommands:\n") else {
            break;
        };
        // Options with a value may stand before the subcommand.
        while let Some(option) = words.next_if(|word| word.starts_with("--")) {
            match text.contains(&format!("{option} <")) {
                true => drop(words.next()),
                false if text.contains(option.as_str()) => {}
                false => return Err(format!("there is no {option}")),
            }
        }
        let Some(word) = words.next() else { break };
        let listed = |line: &str| line.split_whitespace().next() == Some(word.as_str());
        let names = subcommands.lines().take_while(|line| !line.is_empty());
        if !names.filter(|line| line.starts_with("  ")).any(listed) {
            return Err(format!("there is no {word}"));
        }
        path.push(word.clone());
    }
    let text = help(program, &path, helps)?;
    let own = |word: &&String| word.starts_with("--") && word.len() > 2;
    for option in words.take_while(|word| *word != "--").filter(own) {
        let name = option.split('=').next().unwrap();
        if !text.split([' ', '\n', ',']).any(|word| word == name) {
            return Err(format!("there is no {name}"));
        }
    }
    Ok(())
}

fn help(
    program: &str,
    path: &[String],
    helps: &mut HashMap<String, String>,
) -> Result<String, String> {
    let key = format!("{program} {}", path.join(" "));
    if let Some(text) = helps.get(&key) {
        return Ok(text.clone());
    }
    let output = Command::new(program)
        .args(path)
        .arg("--help")
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    helps.insert(key, text.clone());
    Ok(text)
}

/// The calls of our programs, word by word. Quotes hide what is between them, and may leave a word open.
fn commands(block: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in block.replace("\\\n", " ").lines() {
        let line = line.split(" # ").next().unwrap();
        for part in line.split(['|', ';', '&', '(', ')']) {
            let words: Vec<_> = part.split_whitespace().map(str::to_owned).collect();
            // `target/release/chancery` is the program, too; `CHANCERY_DEV=x chancery` as well.
            let name = |word: &String| word.rsplit('/').next().unwrap().to_owned();
            let first = words
                .iter()
                .position(|word| !word.contains('=') && word != "!");
            let Some(first) = first.filter(|at| {
                PROGRAMS
                    .iter()
                    .any(|(known, _)| name(&words[*at]) == *known)
            }) else {
                continue;
            };
            let rest = words[first + 1..].iter().cloned();
            found.push([name(&words[first])].into_iter().chain(rest).collect());
        }
    }
    found
}

fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        match &mut block {
            None if line.trim() == "```sh" => block = Some(String::new()),
            Some(_) if fence => blocks.extend(block.take()),
            Some(block) => block.push_str(&format!("{}\n", line.trim_start())),
            None => {}
        }
    }
    blocks
}

fn outside_of_blocks(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("](") {
        let (target, after) = after.split_once(')').unwrap();
        found.push(target);
        rest = after;
    }
    found
}

/// As GitHub names sections.
fn has_section(text: &str, section: &str) -> bool {
    let slug = |heading: &str| -> String {
        let kept = |one: &char| one.is_alphanumeric() || " -_".contains(*one);
        let text: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        text.replace(' ', "-")
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| slug(line.trim_start_matches('#')))
        .any(|one| one == section)
}

/// Every page for people.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> = [
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "clients/python/README.md",
    ]
    .map(|name| root.join(name))
    .into();
    let mut left = vec![root.join("docs")];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
