//! The shipped configuration files, and every fault that a configuration can have: each is told with file, line and key.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use chancery::{config::Config, policy::Policy};

use crate::pki::Pki;

#[test]
fn the_shipped_configurations_can_be_read() {
    for name in ["chancery.toml", "chancery.full.toml"] {
        let place = Place::new(&shipped(name));
        Config::load(&place.file).unwrap_or_else(|error| panic!("{error}"));
    }
    Policy::parse(&shipped("policy.toml")).unwrap();
}

#[test]
fn what_the_full_configuration_calls_a_default_is_one() {
    let text = shipped("chancery.full.toml");
    let implicit = Place::new(&text).load();
    let explicit = Place::new(&uncommented(&text)).load();

    assert_eq!(
        format!("{:?}", explicit.server),
        format!("{:?}", implicit.server)
    );
    // Absolute paths are of two directories.
    let tls = |config: &Config| {
        let tls = config.tls.clone();
        format!(
            "{:?}",
            chancery::tls::Config {
                certificate: PathBuf::new(),
                private_key: PathBuf::new(),
                client_ca: PathBuf::new(),
                ..tls
            }
        )
    };
    assert_eq!(tls(&explicit), tls(&implicit));
    assert_eq!(
        format!("{:?}", explicit.admin),
        format!("{:?}", implicit.admin)
    );
    assert_eq!(
        format!("{:?}", explicit.tokens),
        format!("{:?}", implicit.tokens)
    );
    let stored = |config: &Config| {
        let mut store = config.store.clone();
        if let chancery::store::Location::Sqlite(file) = &mut store.location {
            *file = file
                .strip_prefix(&config.state_directory)
                .unwrap()
                .to_owned();
        }
        let mut audit = config.audit.clone();
        audit.directory = audit
            .directory
            .strip_prefix(&config.state_directory)
            .unwrap()
            .to_owned();
        format!(
            "{store:?} {:?} {:?} {audit:?}",
            config.replay, config.idempotency
        )
    };
    assert_eq!(stored(&explicit), stored(&implicit));
    assert_eq!(implicit.log.filter, None);
    assert_eq!(explicit.log.filter.as_deref(), Some("info"));
    assert!(implicit.keys.is_empty());
    assert!(!explicit.keys[0].allow_compression);
}

/// The daemon itself lists the keys that it knows when it meets one that it does not.
#[test]
fn the_full_configuration_has_every_option() {
    let text = shipped("chancery.full.toml");
    let full = uncommented(&text);
    let mut seen = 0;
    for table in [
        "",
        "[server]",
        "[tls]",
        "[admin]",
        "[log]",
        "[audit]",
        "[store]",
        "[replay]",
        "[idempotency]",
        "[[tokens]]",
        "[[keys]]",
        "[platforms]",
    ] {
        let broken = match table {
            "" => format!("unknown = 1\n{full}"),
            table => full.replacen(
                &format!("\n{table}\n"),
                &format!("\n{table}\nunknown = 1\n"),
                1,
            ),
        };
        let place = Place::new(&broken);
        let error = Config::load(&place.file).unwrap_err().to_string();
        let (_, names) = error
            .split_once("there is no such key here; expected ")
            .unwrap_or_else(|| panic!("{table}: {error}"));
        let names = names.trim_start_matches("one of ").replace(" or ", ", ");
        for name in names.split(", ") {
            let part = part(&text, table);
            let shown = part.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.starts_with(&format!("{name} = ")) || line.trim_matches(['[', ']']) == name
            });
            assert!(shown, "{table} {name} is not in chancery.full.toml");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

/// One file for each fault. Its first line says what the daemon must say of it: where, and what.
#[test]
fn every_fault_is_told_with_its_file_line_and_key() {
    let mut names = BTreeSet::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(testdata()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("bad-") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let (first, _) = text.split_once('\n').unwrap();
        let expected = first
            .strip_prefix("# expect: ")
            .unwrap_or_else(|| panic!("{name}"));
        let place = if name.starts_with("bad-policy-") {
            let place = Place::new(&shipped("chancery.toml"));
            fs::write(place.file.with_file_name("policy.toml"), &text).unwrap();
            place
        } else {
            Place::new(&text)
        };
        let expected = expected.replace("DIR", place.directory.to_str().unwrap());

        let output = place.check();

        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(output.stdout.is_empty(), "{name}");
        if told.trim_end() != format!("chanceryd: {expected}") {
            others.push(format!("{name}: {told}is not {expected}"));
        }
        assert!(!told.contains("31415926"), "{name} shows the PIN: {told}");
        names.insert(name);
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert!(names.len() >= 25, "{names:?}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_the_key_that_names_it() {
    for (missing, expected) in [
        (
            "policy.toml",
            "chancery.toml:10: policy: DIR/policy.toml: No such file or directory (os error 2)",
        ),
        (
            "tls/server.pem",
            "chancery.toml:16: tls.certificate: DIR/tls/server.pem: No such file or directory (os error 2)",
        ),
        (
            "tls/server.key",
            "chancery.toml:17: tls.private_key: DIR/tls/server.key: No such file or directory (os error 2)",
        ),
        (
            "tls/clients-ca.pem",
            "chancery.toml:18: tls.client_ca: DIR/tls/clients-ca.pem: No such file or directory (os error 2)",
        ),
        (
            "chancery.toml",
            "chancery.toml: No such file or directory (os error 2)",
        ),
        (
            "state",
            "chancery.toml:7: state_directory: DIR/state is not a directory; make it, owned by the daemon's user",
        ),
    ] {
        let place = Place::new(&shipped("chancery.toml"));
        let path = place.directory.join(missing);
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let output = place.check();
        let told = String::from_utf8(output.stderr).unwrap();
        let directory = place.directory.to_str().unwrap();
        let expected = expected.replace("DIR", directory);
        assert_eq!(
            told.trim_end(),
            format!("chanceryd: {directory}/{expected}")
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

/// From the head of a table to that of the next; for no table, everything.
fn part<'a>(text: &'a str, table: &str) -> &'a str {
    if table.is_empty() {
        return text;
    }
    let start = text.find(&format!("\n#{table}\n"));
    let start = start.or_else(|| text.find(&format!("\n{table}\n")));
    let part = &text[start.unwrap() + 1..];
    let ends = ["\n[", "\n#["].map(|head| part.find(head).unwrap_or(part.len()));
    &part[..ends[0].min(ends[1])]
}

/// A configuration in a directory of its own, with the files that the shipped ones name.
struct Place {
    _temporary: tempfile::TempDir,
    directory: PathBuf,
    file: PathBuf,
}

impl Place {
    fn new(text: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().canonicalize().unwrap();
        let pki = Pki::new();
        fs::create_dir(directory.join("tls")).unwrap();
        for name in ["state", "schemes", "partners"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        fs::copy(&pki.server().cert, directory.join("tls/server.pem")).unwrap();
        let key = fs::read(&pki.server().key).unwrap();
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(directory.join("tls/server.key")).unwrap();
        std::io::Write::write_all(&mut file, &key).unwrap();
        fs::copy(pki.ca(), directory.join("tls/clients-ca.pem")).unwrap();
        fs::write(directory.join("policy.toml"), shipped("policy.toml")).unwrap();
        let file = directory.join("chancery.toml");
        // Nothing of a test may be in /var.
        fs::write(&file, text.replace("/var/lib/chancery", "state")).unwrap();
        Self {
            _temporary: temporary,
            directory,
            file,
        }
    }

    fn load(&self) -> Config {
        Config::load(&self.file).unwrap_or_else(|error| panic!("{error}"))
    }

    fn check(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chanceryd"))
            .args(["check", "--config"])
            .arg(&self.file)
            .output()
            .unwrap()
    }
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    fs::read_to_string(path).unwrap()
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/config")
}

/// Prose has a blank after the `#`; options have none.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(option) if !option.starts_with([' ', '#']) && !option.is_empty() => option.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|one| line(one) + "\n").collect()
}
