//! Where SoftHSM's PKCS#11 module is, on the systems that people have.

use std::path::{Path, PathBuf};

/// The module to use: the one that was named, or the first of the usual places.
///
/// # Errors
///
/// What to install, a line for each distribution.
pub(super) fn find(named: Option<PathBuf>) -> Result<PathBuf, String> {
    if let Some(path) = named {
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("--module: there is no file {}", path.display()))
        };
    }
    PLACES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(missing)
}

fn missing() -> String {
    let mut text = "SoftHSM, the token that this uses, was not found. Install it:\n\n".to_owned();
    for (system, line) in INSTALL {
        text.push_str(&format!("  {system:22} {line}\n"));
    }
    text.push_str(
        "\nor name its module: --module PATH, a file such as libsofthsm2.so. Looked for:\n",
    );
    for place in PLACES {
        text.push_str(&format!("  {}\n", Path::new(place).display()));
    }
    text.trim_end().to_owned()
}

const INSTALL: [(&str, &str); 4] = [
    ("Debian, Ubuntu", "sudo apt-get install softhsm2"),
    ("Fedora, RHEL (EPEL)", "sudo dnf install softhsm"),
    ("Alpine", "sudo apk add softhsm"),
    ("macOS", "brew install softhsm"),
];

const PLACES: [&str; 12] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/arm-linux-gnueabihf/softhsm/libsofthsm2.so",
    "/usr/lib/riscv64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/home/linuxbrew/.linuxbrew/lib/softhsm/libsofthsm2.so",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_the_line_that_installs_it() {
        let text = missing();
        for line in [
            "apt-get install softhsm2",
            "dnf install",
            "apk add",
            "brew install",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let error = find(Some("/nowhere/module.so".into())).unwrap_err();
        assert_eq!(error, "--module: there is no file /nowhere/module.so");
    }
}
