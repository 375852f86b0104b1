//! A SoftHSM token of a test's own, in a directory that goes away with it.
//!
//! SoftHSM is found through `SOFTHSM2_CONF`. A test never sets that for itself, since tests share one process:
//! it starts children with [`Token::command`], or with [`Token::conf`] in their environment.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// The PIN of the user of every test token.
pub const PIN: &str = "918273";
/// The PIN of its security officer.
pub const SO_PIN: &str = "51627384";

/// An initialised token with a user PIN and whatever was imported into it.
pub struct Token {
    directory: TempDir,
    label: String,
    module: PathBuf,
}

impl Token {
    /// Makes a token with this label.
    ///
    /// # Panics
    /// When SoftHSM is not installed: a test that can't run has failed.
    pub fn new(label: &str) -> Self {
        let token = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            label: label.to_owned(),
            module: find_module(),
        };
        let tokens = token.path("tokens");
        fs::create_dir(&tokens).expect("a directory for the token");
        let conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        fs::write(token.conf(), conf).expect("softhsm2.conf");
        fs::write(token.pin_file(), PIN).expect("the PIN file");
        fs::set_permissions(token.pin_file(), fs::Permissions::from_mode(0o400)).expect("its mode");
        token.initialize();
        token
    }

    /// Initialises a token with this label in a free slot; done again, that is a twin of the first.
    pub fn initialize(&self) {
        self.softhsm2_util(&[
            "--init-token",
            "--free",
            "--label",
            &self.label,
            "--so-pin",
            SO_PIN,
            "--pin",
            PIN,
        ]);
    }

    /// The label, by which a token is chosen.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The directory of the token, in which a test may also put its own files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// SoftHSM's configuration file, for `SOFTHSM2_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.path("softhsm2.conf")
    }

    /// A file with the user PIN and nothing else, which only its owner may read.
    pub fn pin_file(&self) -> PathBuf {
        self.path("pin")
    }

    /// The PKCS#11 module: `TEST_PKCS11_MODULE`, or where distributions put SoftHSM's.
    pub fn module_path(&self) -> &Path {
        &self.module
    }

    /// A command that finds this token when it loads SoftHSM.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.conf());
        command
    }

    /// Imports a private key in unencrypted PKCS#8 PEM, and its public key, under `label` and the hexadecimal `id`.
    pub fn import_pkcs8(&self, label: &str, id: &str, pem: &str) {
        let file = self.path("import.pem");
        fs::write(&file, pem).expect("the key to import");
        self.softhsm2_util(&[
            "--import",
            file.to_str().expect("a path in UTF-8"),
            "--token",
            &self.label,
            "--label",
            label,
            "--id",
            id,
            "--pin",
            PIN,
        ]);
        fs::remove_file(file).expect("to remove the imported key");
    }

    /// Imports a key on a curve, as [`import_pkcs8`](Self::import_pkcs8) does, that agrees and does not sign:
    /// SoftHSM's own tool makes keys that sign only.
    pub fn import_agreement_key(&self, label: &str, id: &str, pem: &str) {
        let file = self.path("import.pem");
        fs::write(&file, pem).expect("the key to import");
        for (kind, option) in [("privkey", None), ("pubkey", Some("-pubout"))] {
            let half = self.path("import.der");
            let mut openssl = Command::new("openssl");
            openssl.args(["pkey", "-outform", "DER", "-in"]).arg(&file);
            openssl.args(option).arg("-out").arg(&half);
            let output = openssl.output().expect("openssl");
            assert!(output.status.success(), "{output:?}");
            let path = half.to_str().expect("a path in UTF-8");
            let mut arguments = vec!["--write-object", path, "--type", kind, "--usage-derive"];
            arguments.extend(["--label", label, "--id", id]);
            let output = self.pkcs11_tool(&arguments);
            assert!(output.status.success(), "{output:?}");
            fs::remove_file(half).expect("to remove the imported key");
        }
        fs::remove_file(file).expect("to remove the imported key");
    }

    /// Imports a secret key that can't be read back: a [`Secret::Generic`] one signs, an [`Secret::Aes`] one decrypts and unwraps.
    pub fn import_secret(&self, label: &str, bytes: &[u8], kind: Secret) {
        let file = self.path("import.bin");
        fs::write(&file, bytes).expect("the secret to import");
        let kind: &[&str] = match kind {
            Secret::Generic => &["--usage-sign"], // without a type: pkcs11-tool 0.23 refuses to write `GENERIC:`
            Secret::Aes => &["--key-type", "AES:", "--usage-decrypt", "--usage-wrap"],
        };
        let path = file.to_str().expect("a path in UTF-8");
        let mut arguments = vec!["--write-object", path, "--type", "secrkey"];
        arguments.extend(["--label", label, "--private", "--sensitive"]);
        arguments.extend(kind);
        let output = self.pkcs11_tool(&arguments);
        assert!(output.status.success(), "{output:?}");
        fs::remove_file(file).expect("to remove the imported secret");
    }

    /// Runs `pkcs11-tool`, logged in to this token, with these arguments.
    pub fn pkcs11_tool(&self, arguments: &[&str]) -> Output {
        self.pkcs11_tool_command(&self.module)
            .args(arguments)
            .output()
            .expect("pkcs11-tool")
    }

    /// The same as a command to complete, which reaches the token through another module.
    pub fn pkcs11_tool_command(&self, module: &Path) -> Command {
        installed("pkcs11-tool", "opensc");
        let mut command = self.command("pkcs11-tool");
        command.arg("--module").arg(module);
        command.args(["--token-label", &self.label, "--login", "--pin", PIN]);
        command
    }

    fn softhsm2_util(&self, arguments: &[&str]) {
        installed("softhsm2-util", "softhsm2");
        let mut command = self.command("softhsm2-util");
        command.arg("--module").arg(&self.module).args(arguments);
        let output = command.output().expect("softhsm2-util");
        assert!(output.status.success(), "{output:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// What a secret key is for.
#[derive(Clone, Copy, Debug)]
pub enum Secret {
    /// `CKK_GENERIC_SECRET`, for HMAC.
    Generic,
    /// `CKK_AES`.
    Aes,
}

fn find_module() -> PathBuf {
    if let Some(module) = env::var_os("TEST_PKCS11_MODULE") {
        return module.into();
    }
    let found = MODULES.iter().map(Path::new).find(|path| path.is_file());
    let Some(path) = found else {
        panic!("SoftHSM is not installed: `apt-get install softhsm2`, or set TEST_PKCS11_MODULE");
    };
    path.to_owned()
}

fn installed(program: &str, package: &str) {
    let path = env::var_os("PATH").expect("PATH");
    let found = env::split_paths(&path).any(|directory| directory.join(program).is_file());
    assert!(found, "{program} is missing: `apt-get install {package}`");
}

const MODULES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
