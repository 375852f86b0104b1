//! `[platforms]`: the directories of scheme files and partner files, and what is in them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use crate::{
    audit,
    config::{ConfigError, location, parse, read},
    partner::{File, Partners},
    scheme::{BUILT_IN, Scheme},
};

/// `[platforms]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platforms {
    /// The directory of scheme files beside those that are built in.
    pub schemes: Option<PathBuf>,
    /// The directory of partner files.
    pub partners: Option<PathBuf>,
}

/// When each file was written, and how long it is.
pub type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

impl Platforms {
    pub(super) fn resolved(self, base: &Path) -> Self {
        let resolve = |path: Option<PathBuf>| path.map(|path| base.join(path));
        Self {
            schemes: resolve(self.schemes),
            partners: resolve(self.partners),
        }
    }

    /// When each file of the directories, and of those below them, was written, and how long it is: to tell whether
    /// anything has changed.
    pub fn fingerprint(&self) -> Files {
        let mut found = BTreeMap::new();
        let mut left: Vec<(PathBuf, u8)> = self
            .directories()
            .map(|(_, path)| (path.to_owned(), 0))
            .collect();
        while let Some((directory, depth)) = left.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(facts) = fs::metadata(entry.path()) else {
                    continue;
                };
                if facts.is_dir() && depth < MAX_DEPTH {
                    left.push((entry.path(), depth + 1));
                } else if let Ok(modified) = facts.modified() {
                    found.insert(entry.path(), (modified, facts.len()));
                }
            }
        }
        found
    }

    /// SHA-256 of the files and their names: what was read, if nobody changes them meanwhile.
    pub fn digest(&self) -> audit::Digest {
        let mut all = Vec::new();
        for path in self.fingerprint().into_keys() {
            let name = path.as_os_str().as_encoded_bytes();
            all.extend_from_slice(audit::Digest::of(name).as_bytes());
            let content = fs::read(&path).unwrap_or_default();
            all.extend_from_slice(audit::Digest::of(&content).as_bytes());
        }
        audit::Digest::of(&all)
    }

    /// Those that are named, with the key that names each.
    pub(super) fn directories(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let both = [
            ("platforms.schemes", &self.schemes),
            ("platforms.partners", &self.partners),
        ];
        let named = |(key, path)| Option::as_deref(path).map(|path: &Path| (key, path));
        both.into_iter().filter_map(named)
    }
}

/// Reads all schemes, those that are built in first, and all partners. Relative files of a partner are meant from
/// where its own file is.
///
/// # Errors
///
/// [`ConfigError`], for the first fault.
pub fn load_partners(platforms: &Platforms) -> Result<Partners, ConfigError> {
    let mut partners = Partners::default();
    for built_in in BUILT_IN {
        let path = Path::new("(built in)").join(built_in.file);
        add_scheme(&mut partners, &path, built_in.text)?;
    }
    for path in files(platforms.schemes.as_deref())? {
        add_scheme(&mut partners, &path, &read(&path)?)?;
    }
    for path in files(platforms.partners.as_deref())? {
        let text = read(&path)?;
        let file: File = parse(&path, &text)?;
        let base = path.parent().unwrap_or_else(|| Path::new("/"));
        let contents = |name: &Path| {
            let path = base.join(name);
            fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        partners
            .add(file, &contents)
            .map_err(|fault| ConfigError::Content {
                line: location::line(&text, fault.key()),
                key: fault.key().to_owned(),
                message: format!("{}: {}", fault.fault().reason(), fault.fault()),
                path,
            })?;
    }
    Ok(partners)
}

fn add_scheme(partners: &mut Partners, path: &Path, text: &str) -> Result<(), ConfigError> {
    let scheme = Scheme::parse(text).map_err(|error| ConfigError::Content {
        path: path.to_owned(),
        line: Some(error.line()),
        key: error.at().to_owned(),
        message: format!("{}: {}", error.reason(), error.message()),
    })?;
    partners
        .add_scheme(scheme)
        .map_err(|twin| ConfigError::Content {
            path: path.to_owned(),
            line: location::line(text, "scheme.name"),
            key: "scheme.name".to_owned(),
            message: twin.to_string(),
        })
}

/// The files that end in `.toml`, by name.
fn files(directory: Option<&Path>) -> Result<Vec<PathBuf>, ConfigError> {
    let Some(directory) = directory else {
        return Ok(Vec::new());
    };
    let unreadable = |error: std::io::Error| ConfigError::Read {
        path: directory.to_owned(),
        cause: error.to_string(),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A directory for each partner's public keys, and some more.
const MAX_DEPTH: u8 = 3;
