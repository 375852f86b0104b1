//! What a newcomer reads: what is there, and calls to paste, in an order that tells the story.

use std::{
    env,
    fmt::Write as _,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    News, Options,
    directory::{CONFIG, Directory, POLICY},
    files::shell,
    partners,
    samples::{SHARED, Skipped},
};
use crate::{pkcs11::Key, server::Server};

/// Who it is written for, and from where.
pub(super) struct Screen {
    directory: PathBuf,
    /// Whether the client finds the directory without being told.
    usual: bool,
    bold: bool,
    news: News,
}

impl Screen {
    pub(super) fn new(directory: &Directory, options: &Options, news: News) -> Self {
        let path = shown(directory.path());
        Self {
            usual: path == Path::new(".chancery-dev"),
            directory: path,
            bold: options.command.is_empty()
                && io::stdout().is_terminal()
                && env::var_os("NO_COLOR").is_none(),
            news,
        }
    }

    /// All of it, to standard output.
    pub(super) fn welcome(&self, server: &Server, address: SocketAddr, skipped: &[Skipped]) {
        let mut keys: Vec<_> = server
            .signer()
            .tokens()
            .iter()
            .flat_map(|token| token.keys().iter().cloned().collect::<Vec<_>>())
            .collect();
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = format!("{}\n\n", self.loud(WARNING));
        let mut line = |name: &str, value: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {name:12} {value}");
        };
        let found = match (self.news.directory, self.news.certificates) {
            (true, _) => "new",
            (false, true) => "from an earlier start, with new certificates",
            (false, false) => "from an earlier start; --reset makes it new",
        };
        line(
            "directory",
            format!("{} ({found})", self.directory.display()),
        );
        line("gRPC, mTLS", format!("https://{address}"));
        if let Some(admin) = server.admin_address() {
            line(
                "public keys",
                format!("http://{admin}/.well-known/jwks.json"),
            );
        }
        for token in server.signer().tokens() {
            let facts = token.facts();
            line(
                "token",
                format!(
                    "{} ({} {}, serial {})",
                    facts.label, facts.manufacturer, facts.model, facts.serial
                ),
            );
        }
        line(
            "clients",
            format!("app-a may do everything but read the audit log, app-b may sign with {SHARED}"),
        );
        line(
            "partners",
            self.directory.join("partners").display().to_string(),
        );
        line(
            "to change",
            format!(
                "{} at any time, {} for the next start",
                self.directory.join(POLICY).display(),
                CONFIG
            ),
        );
        text.push('\n');
        text.push_str(&table(&keys));
        text.push_str(&reasons(skipped));
        let place = if self.usual {
            "In another terminal, in this directory:"
        } else {
            "In another terminal:"
        };
        let _ = writeln!(text, "\n{}\n", self.loud(place));
        let has = |name: &str| keys.iter().any(|key| key.name.as_str() == name);
        let known = server.signer().partners();
        let serves = |name: &str| {
            let name = name.parse().expect("the samples have good names");
            known.partner(&name).is_some()
        };
        for line in self.calls(&client_command(), has, serves).lines() {
            let _ = match line {
                "" => writeln!(text),
                line => writeln!(text, "  {line}"),
            };
        }
        let _ = writeln!(
            text,
            "\nCtrl-C stops the daemon and keeps the directory. Denied calls show up below."
        );
        print(&mut io::stdout(), &text);
    }

    /// A line or two to standard error, since standard output is the command's.
    pub(super) fn short_welcome(&self, address: SocketAddr, skipped: &[Skipped]) {
        let mut text = format!(
            "{WARNING}\nchanceryd dev: {} on https://{address}\n",
            self.directory.display()
        );
        text.push_str(&reasons(skipped));
        print(&mut io::stderr(), &text);
    }

    /// After Ctrl-C.
    pub(super) fn goodbye(&self) {
        let text = format!(
            "\nStopped. {} is kept: the same command goes on with it, --reset starts afresh.\n",
            self.directory.display()
        );
        print(&mut io::stdout(), &text);
    }

    /// The calls: a shell script, whose last line is refused.
    fn calls(
        &self,
        chancery: &str,
        has: impl Fn(&str) -> bool,
        serves: impl Fn(&str) -> bool,
    ) -> String {
        let scratch = shell(&self.directory.join("scratch").display().to_string());
        let mut text = String::new();
        if !self.usual {
            let directory = shell(&absolute(&self.directory).display().to_string());
            let _ = writeln!(text, "export CHANCERY_DEV={directory}\n");
        }
        if has("demo-rs256") {
            let _ = writeln!(
                text,
                "# Sign with a key that nobody can read, and have openssl verify it:\n\
                 mkdir -p {scratch} && echo 'pay 100 to bob' > {scratch}/message\n\
                 {chancery} sign --key demo-rs256 --algorithm RS256 --in {scratch}/message --out {scratch}/signature\n\
                 {chancery} keys public demo-rs256 --out {scratch}/public.pem\n\
                 openssl dgst -sha256 -verify {scratch}/public.pem -signature {scratch}/signature {scratch}/message\n"
            );
        }
        if has(SHARED) {
            let _ = writeln!(
                text,
                "# A JWS, there and back:\n\
                 echo '{{\"sub\":\"me\"}}' | {chancery} jws sign --key {SHARED} --algorithm ES256 | tee /dev/stderr | {chancery} jws verify --key {SHARED}\n"
            );
        }
        if has("demo-oaep") {
            let _ = writeln!(
                text,
                "# A JWE, there and back:\n\
                 echo 'for your eyes only' | {chancery} jwe encrypt --key demo-oaep --algorithm RSA-OAEP-256 --enc A256GCM | {chancery} jwe decrypt --key demo-oaep\n"
            );
        }
        if has("demo-rs256") && serves(partners::SIGNED) && serves(partners::CALLING) {
            let _ = writeln!(text, "{}", partners::calls(chancery, &scratch));
        }
        let _ = writeln!(
            text,
            "# Random bytes of the token:\n{chancery} random 16 --hex\n"
        );
        if has("demo-rs256") {
            let _ = writeln!(
                text,
                "# And one that is refused, with exit code 3: app-b has no leave to use this key\n\
                 echo 'pay 100 to eve' | {chancery} sign --as app-b --key demo-rs256 --algorithm RS256"
            );
        }
        text
    }

    fn loud(&self, text: &str) -> String {
        if self.bold {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn table(keys: &[std::sync::Arc<Key>]) -> String {
    let mut rows = vec![["KEY", "TYPE", "FOR", "ALGORITHMS"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        let algorithms: Vec<_> = key
            .usage
            .algorithms()
            .iter()
            .map(|one| one.name())
            .collect();
        [
            key.name.to_string(),
            key.usage.key_type().to_string(),
            key.usage.purpose().to_string(),
            algorithms.join(" "),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [name, key_type, purpose, algorithms] in &rows {
        let _ = writeln!(
            text,
            "  {name:first$}  {key_type:second$}  {purpose:third$}  {algorithms}"
        );
    }
    text
}

fn reasons(skipped: &[Skipped]) -> String {
    skipped
        .iter()
        .map(|Skipped { name, reason }| format!("  {name} is left out: {reason}\n"))
        .collect()
}

/// A path as the person would type it: from here, if it is below here.
fn shown(path: &Path) -> PathBuf {
    env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned))
        .filter(|below| !below.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_owned())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// How to call the client: by its name if the search path leads to it, else by the path of the one beside us.
fn client_command() -> String {
    let beside = env::current_exe()
        .ok()
        .map(|path| path.with_file_name(CLIENT))
        .filter(|path| path.is_file());
    let Some(beside) = beside else {
        return CLIENT.to_owned();
    };
    let search = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&search)
        .map(|directory| directory.join(CLIENT))
        .find(|path| path.is_file());
    let same = |path: &PathBuf| path.canonicalize().ok() == beside.canonicalize().ok();
    if found.as_ref().is_some_and(same) {
        return CLIENT.to_owned();
    }
    let path = shown(&beside);
    let text = path.display().to_string();
    // A word without a slash would be looked for in the search path.
    shell(&if text.contains('/') {
        text
    } else {
        format!("./{text}")
    })
}

fn print(stream: &mut impl io::Write, text: &str) {
    // A reader that has gone away, as with `| head`, is no reason to stop serving.
    let _ = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush());
}

const CLIENT: &str = "chancery";
const WARNING: &str =
    "chanceryd dev: NOT FOR PRODUCTION. The keys are in software, and their PIN is beside them.";

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(directory: &str) -> Screen {
        Screen {
            directory: directory.into(),
            usual: directory == ".chancery-dev",
            bold: false,
            news: News {
                directory: true,
                certificates: true,
            },
        }
    }

    #[test]
    fn calls_are_for_the_keys_that_are_there() {
        let all = screen(".chancery-dev").calls("chancery", |_| true, |_| true);
        assert!(all.lines().last().unwrap().contains("--as app-b"), "{all}");
        assert!(!all.contains("CHANCERY_DEV"), "{all}");
        let few = screen("/a b").calls("./chancery", |name| name == SHARED, |_| true);
        assert!(
            !few.contains("demo-oaep") && !few.contains("demo-rs256"),
            "{few}"
        );
        assert!(few.starts_with("export CHANCERY_DEV='/a b'\n"), "{few}");
    }
}
