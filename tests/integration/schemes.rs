//! `chancery schemes`: the shipped schemes pass, and each bad file is refused with a message of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

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
