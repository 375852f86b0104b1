//! Where each setting comes from, which one goes before another, and what is missing.

use super::*;

fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    move |name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| OsString::from(value))
    }
}

fn dev_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, who: &str| {
        fs::write(
            directory.path().join(file),
            format!(
                "# made by chanceryd dev\nCHANCERY_ADDR=https://127.0.0.1:7443\nexport CHANCERY_CA=\"ca.pem\"\n\
                     CHANCERY_CERT={who}.pem\nCHANCERY_KEY=/abs/{who}.key\nOTHER=1\n"
            ),
        )
        .unwrap();
    };
    write("client.env", "app-a");
    write("client-app-b.env", "app-b");
    directory
}

#[test]
fn the_environment_alone_is_enough() {
    let config = Config::resolve(
        Wanted::default(),
        environment(&[
            ("CHANCERY_ADDR", "localhost:1"),
            ("CHANCERY_CA", "a"),
            ("CHANCERY_CERT", "b"),
            ("CHANCERY_KEY", "c"),
        ]),
    )
    .unwrap();
    assert_eq!(config.address, "localhost:1");
    assert_eq!(config.key, Path::new("c"));
}

#[test]
fn paths_in_a_dev_directory_are_relative_to_it() {
    let directory = dev_directory();
    let wanted = Wanted {
        dev_directory: Some(directory.path().to_owned()),
        ..Wanted::default()
    };
    let config = Config::resolve(wanted, |_| None).unwrap();
    assert_eq!(config.ca, directory.path().join("ca.pem"));
    assert_eq!(config.certificate, directory.path().join("app-a.pem"));
    assert_eq!(config.key, Path::new("/abs/app-a.key"));
}

#[test]
fn an_identity_that_is_asked_for_wins_over_the_environment() {
    let directory = dev_directory();
    let wanted = |name: &str| Wanted {
        dev_directory: Some(directory.path().to_owned()),
        identity: Some(name.to_owned()),
        ..Wanted::default()
    };
    let config = Config::resolve(
        wanted("app-b"),
        environment(&[("CHANCERY_CERT", "x"), ("CHANCERY_KEY", "y")]),
    )
    .unwrap();
    assert_eq!(config.certificate, directory.path().join("app-b.pem"));
    let unknown = Config::resolve(wanted("nobody"), |_| None).unwrap_err();
    assert!(unknown.to_string().contains("one of app-b"), "{unknown}");
    assert!(Config::resolve(wanted("../x"), |_| None).is_err());
}

#[test]
fn without_configuration_the_message_says_what_to_do() {
    let wanted = Wanted {
        dev_directory: Some("/nonexistent".into()),
        ..Wanted::default()
    };
    let text = Config::resolve(wanted, |_| None).unwrap_err().to_string();
    for word in [
        "CHANCERY_ADDR",
        "CHANCERY_KEY",
        "chanceryd dev",
        "/nonexistent",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_certificate_never_meets_the_key_of_another_place() {
    let directory = dev_directory();
    let wanted = Wanted {
        dev_directory: Some(directory.path().to_owned()),
        certificate: Some("mine.pem".into()),
        ..Wanted::default()
    };
    let error = Config::resolve(wanted, |_| None).unwrap_err();
    assert!(matches!(error, ConfigError::Incomplete { missing, .. } if missing == [KEY]));
}

#[test]
fn addresses_need_a_host_and_a_port_and_no_more() {
    let endpoint = |address: &str| {
        Config {
            address: address.to_owned(),
            ca: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            server_name: None,
        }
        .endpoint()
    };
    for (good, uri, host) in [
        ("127.0.0.1:7443", "https://127.0.0.1:7443", "127.0.0.1"),
        (
            "https://hsm.example:7443/",
            "https://hsm.example:7443",
            "hsm.example",
        ),
        ("[::1]:7443", "https://[::1]:7443", "::1"),
    ] {
        assert_eq!(endpoint(good).unwrap(), (uri.to_owned(), host.to_owned()));
    }
    for bad in [
        "",
        "localhost",
        "http://localhost:1",
        "https://localhost:1/path",
        "https://localhost:1?q",
        "user@localhost:1",
        ":7443",
        "localhost:99999",
    ] {
        assert!(endpoint(bad).is_err(), "{bad}");
    }
}
