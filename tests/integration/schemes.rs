//! `chancery schemes`: the shipped schemes pass, and each bad file is refused with a message of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use chancery::scheme::{Confidence, Origin, Scheme};

#[test]
fn every_shipped_scheme_passes_its_vectors() {
    let files = tomls("config/schemes");
    let mut command = chancery(&["schemes", "test"]);
    let output = command.args(&files).output().unwrap();
    let (table, faults) = texts(&output);
    assert!(output.status.success(), "{table}{faults}");
    assert!(!table.contains("FAIL"), "{table}");
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(table.contains(name), "{name} is missing in\n{table}");
    }
}

#[test]
fn each_bad_file_is_refused_with_its_own_message() {
    let files = tomls("tests/testdata/schemes");
    let mut said = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let says = text.lines().next().unwrap().strip_prefix("# says: ");
        let says = says.unwrap_or_else(|| panic!("{} does not say what it is for", file.display()));
        let output = chancery(&["schemes", "test"]).arg(file).output().unwrap();
        let (_, faults) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{}", file.display());
        let expected = format!("error: {}: {says}\n", file.display());
        assert!(
            faults.contains(&expected),
            "{expected}is missing in\n{faults}"
        );
        assert!(!said.contains(&expected), "{expected}");
        said.push(expected);
    }
    assert!(files.len() >= 30, "{files:?}");
}

#[test]
fn two_files_may_not_hold_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.toml");
    let file = root().join("config/schemes/github.toml");
    fs::copy(&file, &copy).unwrap();
    let output = chancery(&["schemes", "test"])
        .arg(&file)
        .arg(&copy)
        .output()
        .unwrap();
    let (_, faults) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(faults.contains("the scheme \"github\" is in"), "{faults}");
}

#[test]
fn a_string_is_explained_segment_by_segment() {
    let folder = tempfile::tempdir().unwrap();
    let request = folder.path().join("request.json");
    let text = r#"{"method": "POST", "path": "/v1.0/x", "body": "{ \"a\": 1 }",
        "inputs": {"access_token": "t0ken"}, "values": {"timestamp": "2025-01-16T17:30:56+07:00"}}"#;
    fs::write(&request, text).unwrap();
    let mut command = chancery(&["--json", "schemes", "explain"]);
    command.arg(root().join("config/schemes/snap-service.toml"));
    let output = command.arg("--request").arg(&request).output().unwrap();
    let (shown, faults) = texts(&output);
    assert!(output.status.success(), "{faults}");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let segments = shown["segments"].as_array().unwrap();
    let find = |rule: &str| {
        let found = segments.iter().find(|segment| segment["rule"] == rule);
        found.unwrap_or_else(|| panic!("{rule} is missing in {shown:#}"))
    };
    // `printf '{"a":1}' | sha256sum`
    assert_eq!(
        find("body | minify-json | sha256 | hex")["bytes"],
        "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    );
    assert_eq!(find("target")["at"], "sign.signature.string[2]");
    assert!(find("input.access_token")["bytes"].is_null());

    fs::write(&request, r#"{"method": "POST"}"#).unwrap();
    let output = command.output().unwrap();
    let (_, faults) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        faults.contains("sign.signature.string[2]: target: is not there"),
        "{faults}"
    );
    assert!(faults.contains("INPUT_MISSING"), "{faults}");
}

/// The page leads to a file, which is its blocks one behind the other.
#[test]
fn the_scheme_that_the_documentation_writes_passes() {
    let page = fs::read_to_string(root().join("docs/writing-a-scheme.md")).unwrap();
    let mut file = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```toml" => inside = true,
            "```" => inside = false,
            line if inside => file.extend([line, "\n"]),
            _ => {}
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slack.toml");
    fs::write(&path, file).unwrap();
    let output = chancery(&["schemes", "test"]).arg(&path).output().unwrap();
    let (table, faults) = texts(&output);
    assert!(output.status.success(), "{table}{faults}");
    assert_eq!(table.matches("\tpass\n").count(), 3, "{table}");
    assert!(table.contains("published"), "{table}");
}

/// The refusals of unknown names tell all that there are.
#[test]
fn the_documentation_has_the_whole_language() {
    let page = fs::read_to_string(root().join("docs/writing-a-scheme.md")).unwrap();
    let (_, language) = page.split_once("## What the language has").unwrap();
    for file in ["bad-unknown-function.toml", "bad-unknown-source.toml"] {
        let path = root().join("tests/testdata/schemes").join(file);
        let text = fs::read_to_string(path).unwrap();
        let (_, names) = text
            .lines()
            .next()
            .unwrap()
            .split_once("expected one of ")
            .unwrap();
        for name in names
            .split([' ', ',', '{', '}'])
            .filter(|name| !name.is_empty())
        {
            let is_part = |byte: char| byte.is_ascii_alphanumeric() || byte == '-';
            let mut words = language.split(|byte| !is_part(byte));
            let first = name.split('.').next().unwrap();
            assert!(
                words.any(|word| word == first),
                "{name} is not in the documentation"
            );
        }
    }
}

/// `WRITE_DOCS=1 cargo test --test integration schemes` writes it anew.
#[test]
fn the_list_of_platforms_is_that_of_the_files() {
    let path = root().join("docs/platforms.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        "<!-- begin: made from config/schemes -->\n",
        "<!-- end -->\n",
    );
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let rows: String = tomls("config/schemes").iter().map(row).collect();
    let head = "| Scheme | Messages | What is done | Algorithms | Time window | Told apart | Answers named | Rule | Vectors |\n\
                |---|---|---|---|---|---|---|---|---|\n";
    let expected = [before, begin, head, &rows, end, after].concat();
    if env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    for row in rows.lines() {
        assert!(
            page.contains(row),
            "docs/platforms.md lacks\n{row}\nRun with WRITE_DOCS=1"
        );
    }
    assert_eq!(page, expected, "run with WRITE_DOCS=1");
}

fn row(file: &PathBuf) -> String {
    let scheme = Scheme::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let acts: Vec<_> = scheme
        .acts()
        .map(|act| act.name().replace('_', " "))
        .collect();
    let mut algorithms: Vec<_> = scheme
        .keys()
        .map(|(_, key)| key.algorithm.to_string())
        .collect();
    algorithms.sort();
    algorithms.dedup();
    let yes = |protected: bool| if protected { "yes" } else { "no" };
    let (window, replay, echo) = match scheme.protections() {
        None => ("–".to_owned(), "–", "–"),
        Some(protections) => {
            let window = protections.window_seconds.map_or_else(
                || "none".to_owned(),
                |(past, future)| format!("{past} s, {future} s ahead"),
            );
            (window, yes(protections.replay), yes(protections.echo))
        }
    };
    let confidence = match scheme.confidence() {
        Confidence::Documented => "documented",
        Confidence::Integrators => "integrators",
        Confidence::OurReading => "our reading",
    };
    let published = scheme
        .vectors()
        .iter()
        .filter(|vector| vector.origin() == Origin::Published)
        .count();
    let computed = scheme.vectors().len() - published;
    let name = file.file_stem().unwrap().to_str().unwrap();
    assert_eq!(
        scheme.name().to_string(),
        name,
        "the file is named like the scheme"
    );
    format!(
        "| `{name}` | {} | {} | {} | {window} | {replay} | {echo} | {confidence} | {published} published, {computed} computed |\n",
        scheme.title(),
        acts.join(", "),
        algorithms.join(", "),
    )
}

#[test]
fn a_new_file_lacks_only_its_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acme.toml");
    for (kind, algorithm, part) in [
        ("request", "HS512", "sign"),
        ("request", "ES256", "sign"),
        ("webhook", "RS256", "verify"),
        ("webhook", "HS256", "verify"),
        ("response", "EdDSA", "verify"),
    ] {
        let arguments = [
            "schemes",
            "new",
            "acme",
            "--kind",
            kind,
            "--algorithm",
            algorithm,
        ];
        let output = chancery(&arguments).output().unwrap();
        let (file, faults) = texts(&output);
        assert!(output.status.success(), "{faults}");
        fs::write(&path, &file).unwrap();
        let output = chancery(&["schemes", "test"]).arg(&path).output().unwrap();
        let (_, faults) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{kind} {algorithm}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
        let expected = format!("no vector of the kind {part}; expected one");
        assert!(faults.contains(&expected), "{faults}");
        assert!(faults.contains("add a [[vectors]]"), "{faults}");
        // With what is commented out, the file is complete: only the signature is not right.
        if (kind, algorithm) == ("webhook", "HS256") {
            let vector = &file[file.find("# [[vectors]]").unwrap()..];
            let vector = vector.replace("# ", "").replace('…', "00");
            fs::write(&path, [&*file, &vector].concat()).unwrap();
            let output = chancery(&["schemes", "test"]).arg(&path).output().unwrap();
            let (_, faults) = texts(&output);
            let expected = "expected the outcome valid, got invalid";
            assert!(faults.contains(expected), "{faults}");
        }
    }
    for (arguments, says) in [
        (["Acme", "--kind", "request"], "1 to 64 of a-z 0-9 -"),
        (["acme", "--algorithm", "HS999"], "unknown algorithm"),
        (["acme", "--algorithm", "RSA-OAEP"], "is not for \"sign\""),
    ] {
        let mut command = chancery(&["schemes", "new"]);
        let output = command.args(arguments).output().unwrap();
        let (file, faults) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{faults}");
        assert!(file.is_empty());
        assert!(faults.contains(says), "{faults}");
    }
}

#[test]
fn a_curl_command_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (curl, known) = (
        folder.path().join("call.sh"),
        folder.path().join("known.json"),
    );
    let command = "curl 'https://api.example.com/v1.0/x?b=2' \\\n  -H 'Content-Type: application/json' \\\n  \
                   --data-raw $'{ \"a\": \"it\\'s\" }'\n";
    fs::write(&curl, command).unwrap();
    let text = r#"{"inputs": {"access_token": "t0ken"}, "values": {"timestamp": "2025-01-16T17:30:56+07:00"}}"#;
    fs::write(&known, text).unwrap();
    let explain = |more: &[&str]| {
        let mut command = chancery(&["schemes", "explain", "config/schemes/snap-service.toml"]);
        command.current_dir(root()).arg("--curl").arg(&curl);
        command
            .arg("--request")
            .arg(&known)
            .args(more)
            .output()
            .unwrap()
    };
    // `printf '{"a":"it'"'"'s"}' | sha256sum`
    let expected = "POST:/v1.0/x?b=2:t0ken:72b17cf3ff93bf704f2b310e77425c82a2d1170fb2c0f7ff5948c79d011981d3:2025-01-16T17:30:56+07:00";
    let (string, faults) = texts(&explain(&["--string"]));
    assert_eq!(string, expected, "{faults}");
    let (table, _) = texts(&explain(&[]));
    assert!(table.contains("target\t\"/v1.0/x?b=2\""), "{table}");
    assert!(!table.contains("t0ken"), "{table}");

    fs::write(&known, r#"{"body": "{}"}"#).unwrap();
    let output = explain(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("the message is in --curl"));
    fs::write(&known, "{}").unwrap();
    fs::write(&curl, "curl https://x/?a=1&b=2").unwrap();
    let (_, faults) = texts(&explain(&[]));
    assert!(
        faults.contains("call.sh: line 1: '&' ends a command"),
        "{faults}"
    );
}

fn chancery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).env_clear();
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn tomls(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
