//! The configuration and the files that it names: strict, and told by name when they are no use.

use super::{house::set_mode, *};

#[test]
fn a_file_that_can_not_be_used_is_named() {
    let house = House::new();
    let refused = |config: Config, file: &str, why: &str| {
        let error = Endpoint::load(config).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(file), "{file}: {error}");
        assert!(error.contains(why), "{why}: {error}");
    };
    for (field, file) in [
        ("certificate", "server.pem"),
        ("private_key", "server.key"),
        ("client_ca", "ca.pem"),
        ("crl", "crl.pem"),
    ] {
        let with = |path: PathBuf| {
            let mut config = house.config("");
            match field {
                "certificate" => config.certificate = path,
                "private_key" => config.private_key = path,
                "client_ca" => config.client_ca = path,
                _ => config.crl = vec![path],
            }
            config
        };
        refused(with(house.path("absent")), "absent", "can't read");
        refused(
            with(house.directory.path().to_owned()),
            "",
            "not an ordinary file",
        );
        house.write("broken", "nothing");
        refused(with(house.path("broken")), "broken", "has no usable");
        house.write("broken", [0x30, 0x03, 1, 2, 3]);
        refused(with(house.path("broken")), "broken", "has no usable");
        if file != "crl.pem" {
            set_mode(&house.path(file), 0o640);
            let loaded = Endpoint::load(house.config(""));
            match loaded {
                Err(error) => {
                    assert_eq!(field, "private_key");
                    assert!(error.to_string().contains("mode 0640"), "{error}");
                }
                Ok(_) => assert_ne!(field, "private_key"),
            }
            set_mode(&house.path(file), 0o600);
        }
    }
}

#[test]
fn the_configuration_is_strict() {
    let parse = |text: &str| {
        toml::from_str::<Config>(&format!(
            "certificate = \"a\"\nprivate_key = \"b\"\nclient_ca = \"c\"\n{text}"
        ))
    };
    let config = parse("").unwrap();
    assert_eq!(config.minimum_version, MinimumVersion::Tls13);
    assert_eq!(config.handshake_timeout.get(), 5);
    assert_eq!(config.max_connections.get(), 1024);
    assert!(config.crl.is_empty());
    for bad in [
        "minimum_version = \"1.1\"",
        "minimum_version = 1.3",
        "handshake_timeout_seconds = 0",
        "max_connections = 0",
        "crl = \"crl.pem\"",
        "crls = []",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
