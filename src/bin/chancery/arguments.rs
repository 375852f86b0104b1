//! How arguments are read: names of keys, algorithms, small files.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use chancery::{
    algorithm::{Algorithm, ContentEncryption, KeyType, Purpose},
    key::KeyName,
    policy::Operation,
    wire::{self, KeyResource},
};

use crate::{output::Streams, trouble::Trouble};

/// Reads `payouts`, `payouts/2`, `keys/payouts` or `keys/payouts/versions/2`.
pub(crate) fn key(text: &str) -> Result<KeyResource, String> {
    if text.starts_with("keys/") {
        return text.parse().map_err(|error| format!("{error}"));
    }
    let (key, version) = match text.split_once('/') {
        Some((key, version)) => (key, Some(version)),
        None => (text, None),
    };
    Ok(KeyResource {
        key: key.parse().map_err(|error| format!("{error}"))?,
        version: version
            .map(str::parse)
            .transpose()
            .map_err(|error| format!("{error}"))?,
    })
}

/// Reads `payouts` or `keys/payouts`, without a version.
pub(crate) fn key_name(text: &str) -> Result<KeyName, String> {
    let KeyResource { key, version } = key(text)?;
    match version {
        None => Ok(key),
        Some(_) => Err("expected a key without a version".into()),
    }
}

/// Algorithms that sign or authenticate.
pub(crate) fn signing_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    algorithms(|purpose| matches!(purpose, Purpose::Sign | Purpose::Mac))
}

/// Algorithms that authenticate with a secret.
pub(crate) fn mac_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    algorithms(|purpose| purpose == Purpose::Mac)
}

/// Algorithms that make signatures which the public key verifies.
pub(crate) fn public_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    algorithms(|purpose| purpose == Purpose::Sign)
}

/// Algorithms that encrypt the content key of a JWE.
pub(crate) fn encryption_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    algorithms(|purpose| matches!(purpose, Purpose::Decrypt | Purpose::Wrap))
}

pub(crate) fn any_algorithm() -> impl TypedValueParser<Value = Algorithm> {
    algorithms(|_| true)
}

pub(crate) fn content_encryption() -> impl TypedValueParser<Value = ContentEncryption> {
    one_of(ContentEncryption::ALL.map(ContentEncryption::name))
}

pub(crate) fn key_type() -> impl TypedValueParser<Value = KeyType> {
    one_of(KeyType::ALL.map(KeyType::name))
}

pub(crate) fn purpose() -> impl TypedValueParser<Value = Purpose> {
    one_of(Purpose::ALL.map(Purpose::name))
}

pub(crate) fn operation() -> impl TypedValueParser<Value = Operation> {
    one_of(Operation::ALL.map(Operation::name))
}

/// Reads base64 of either alphabet, padded or not: people paste both.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url = text.contains(['-', '_']);
    let alphabet = if url {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, config)
        .decode(text.trim())
        .map_err(|error| format!("not base64: {error}"))
}

/// Reads hexadecimal.
pub(crate) fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text.trim()).map_err(|error| format!("not hexadecimal: {error}"))
}

/// The whole of a file, or of stdin if there is none or it is `-`; at most what fits one call.
pub(crate) fn contents(streams: &mut Streams, path: Option<&Path>) -> Result<Vec<u8>, Trouble> {
    let (what, reader) = open(streams, path)?;
    let mut bytes = Vec::new();
    reader
        .take(MAX_CONTENTS + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Trouble::File {
            what: what.clone(),
            source,
        })?;
    if bytes.len() as u64 > MAX_CONTENTS {
        return Err(Trouble::Usage(format!(
            "{}: more than {} MiB, the most that one call takes",
            what.display(),
            MAX_CONTENTS / (1024 * 1024)
        )));
    }
    Ok(bytes)
}

/// The same, for what must be text; white space around it is not part of it.
pub(crate) fn text(streams: &mut Streams, path: Option<&Path>) -> Result<String, Trouble> {
    let text = String::from_utf8(contents(streams, path)?).map_err(|_| Trouble::File {
        what: shown(path),
        source: io::Error::new(io::ErrorKind::InvalidData, "expected text, found binary"),
    })?;
    Ok(text.trim().to_owned())
}

/// What the user calls the input, and its reader.
pub(crate) fn open(
    streams: &mut Streams,
    path: Option<&Path>,
) -> Result<(PathBuf, Box<dyn Read + Send>), Trouble> {
    let what = shown(path);
    let reader: Box<dyn Read + Send> = match regular(path) {
        None => streams.input.take().ok_or_else(|| {
            Trouble::Usage("stdin can be read only once: give one of the inputs as a file".into())
        })?,
        Some(path) => match File::open(path) {
            Ok(file) => Box::new(file),
            Err(source) => return Err(Trouble::File { what, source }),
        },
    };
    Ok((what, reader))
}

/// The path, unless it stands for stdin.
pub(crate) fn regular(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| *path != Path::new("-"))
}

/// The registered name of an algorithm in an answer.
pub(crate) fn algorithm_name(number: i32) -> String {
    wire::algorithm_from_proto(number).map_or_else(|| unknown(number), |one| one.to_string())
}

/// The registered name of a content encryption in an answer.
pub(crate) fn content_encryption_name(number: i32) -> String {
    wire::content_encryption_from_proto(number)
        .map_or_else(|| unknown(number), |one| one.to_string())
}

/// The name of anything else in an answer that a newer daemon may know and we don't.
pub(crate) fn unknown(number: i32) -> String {
    format!("unknown({number})")
}

fn shown(path: Option<&Path>) -> PathBuf {
    regular(path)
        .unwrap_or_else(|| Path::new("stdin"))
        .to_owned()
}

fn algorithms(wanted: fn(Purpose) -> bool) -> impl TypedValueParser<Value = Algorithm> {
    one_of(
        Algorithm::ALL
            .into_iter()
            .filter(move |one| wanted(one.purpose()))
            .map(Algorithm::name),
    )
}

fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name: String| name.parse())
}

/// Leaves room in a message of 16 MiB for all else in it.
const MAX_CONTENTS: u64 = 15 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_shortly_or_in_full() {
        for (given, full) in [
            ("payouts", "keys/payouts"),
            ("payouts/2", "keys/payouts/versions/2"),
            ("keys/payouts", "keys/payouts"),
            ("keys/payouts/versions/2", "keys/payouts/versions/2"),
        ] {
            assert_eq!(key(given).unwrap().to_string(), full);
        }
        for bad in ["", "a/b", "payouts/0", "payouts/1/2", "keys/a/2"] {
            assert!(key(bad).is_err(), "{bad}");
        }
        assert!(key_name("payouts/2").is_err());
    }

    #[test]
    fn base64_of_either_alphabet_is_read() {
        for text in ["+/8=", "+/8", "-_8", "-_8=\n"] {
            assert_eq!(base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        assert!(base64("+_8").is_err());
        assert!(base64("a b").is_err());
    }
}
