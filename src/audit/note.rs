//! Checkpoints: the size and root of the log's tree, in a note that a key of the token signs.
//!
//! The formats are C2SP's: signed-note, tlog-checkpoint and tlog-proof. Others' tools read them.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{
    algorithm::Algorithm,
    audit::{Digest, tree},
    key::{Input, PublicKey},
};

/// Whose log it is: the first line of its checkpoints, such as `example.com/chancery/prod`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// A text that is no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an origin: expected 1 to 255 printable ASCII characters without spaces and plus signs, such as example.com/chancery"
)]
pub struct InvalidOrigin;

/// A public key that verifies notes, `NAME+ID+KEY`, with the name of its log.
#[derive(Clone, Debug)]
pub struct Vkey {
    name: Origin,
    key: [u8; 32],
    public: PublicKey,
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Origin,
    /// How many records.
    pub size: u64,
    /// The root of their tree.
    pub root: Digest,
}

/// A checkpoint as it was read, with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says; nothing vouches for it before [`SignedCheckpoint::verified`].
    pub checkpoint: Checkpoint,
    text: String,
    signed: usize,
    signatures: Vec<(String, Vec<u8>)>,
}

/// A record's place in the tree of a checkpoint, as a text of its own (C2SP tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The record's number.
    pub index: u64,
    /// From the leaf's sibling up.
    pub path: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// Why a note, a key or a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a signed note.
    #[error("not a signed note: expected a text, an empty line, and signatures \"— NAME BASE64\"")]
    Note,
    /// It is a note, but not of a checkpoint.
    #[error("not a checkpoint: expected the lines origin, size and root")]
    Checkpoint,
    /// It is not a proof.
    #[error("not a proof: expected c2sp.org/tlog-proof@v1, an index, hashes and a checkpoint")]
    Proof,
    /// It is not a verifier key.
    #[error("not a verifier key: expected NAME+ID+KEY for Ed25519, with the ID that belongs to it")]
    Vkey,
    /// No signature is by the key.
    #[error("the checkpoint is not signed by this key")]
    Unsigned,
    /// A signature that says it is by the key is not.
    #[error("the checkpoint's signature is not valid")]
    Signature,
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of another log")]
    Origin,
    /// The proof does not lead from the record to the checkpoint.
    #[error("the record is not in the log of the checkpoint: {0}")]
    Path(#[from] tree::BadProof),
}

impl Origin {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the first record's `previous` is: a log moved below another origin does not begin rightly.
    pub(super) fn beginning(&self) -> Digest {
        Digest::of_parts(&[b"chancery audit log\n", self.0.as_bytes()])
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let good = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'+');
        good.then(|| Self(text.to_owned())).ok_or(InvalidOrigin)
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Vkey {
    /// The key of a log, if it is an Ed25519 key.
    pub fn new(name: Origin, public: &PublicKey) -> Option<Self> {
        let key = <[u8; 32]>::try_from(public.subject_public_key()).ok()?;
        let public = PublicKey::from_ed25519(&key).ok()?;
        Some(Self { name, key, public })
    }

    /// Whose key it is.
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let id = Digest::of_parts(&[self.name.0.as_bytes(), b"\n\x01", &self.key]);
        let [first, second, third, fourth, ..] = *id.as_bytes();
        [first, second, third, fourth]
    }

    /// Puts a signature of [`Checkpoint::body`] below it, once it has been verified.
    ///
    /// # Errors
    ///
    /// [`NoteError::Signature`].
    pub fn seal(
        &self,
        checkpoint: &Checkpoint,
        signature: &[u8],
    ) -> Result<SignedCheckpoint, NoteError> {
        let body = checkpoint.body();
        let mut bytes = self.id().to_vec();
        bytes.extend_from_slice(signature);
        let text = format!("{body}\n— {} {}\n", self.name, BASE64.encode(bytes));
        let sealed: SignedCheckpoint = text.parse()?;
        sealed.verified(self)?;
        Ok(sealed)
    }
}

impl FromStr for Vkey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Vkey);
        };
        let key = BASE64.decode(key).map_err(|_| NoteError::Vkey)?;
        let (Some(1), Ok(key)) = (
            key.first(),
            <[u8; 32]>::try_from(key.get(1..).unwrap_or(&[])),
        ) else {
            return Err(NoteError::Vkey);
        };
        let vkey = Self {
            name: name.parse().map_err(|_| NoteError::Vkey)?,
            public: PublicKey::from_ed25519(&key).map_err(|_| NoteError::Vkey)?,
            key,
        };
        if hex::encode(vkey.id()) == id {
            Ok(vkey)
        } else {
            Err(NoteError::Vkey)
        }
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![1];
        key.extend_from_slice(&self.key);
        let (id, key) = (hex::encode(self.id()), BASE64.encode(key));
        write!(formatter, "{}+{id}+{key}", self.name)
    }
}

impl Checkpoint {
    /// The text that is signed.
    pub fn body(&self) -> String {
        let root = BASE64.encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        // Others may add lines; they are not empty.
        if lines.any(str::is_empty) {
            return None;
        }
        Some(Self {
            origin: origin.parse().ok()?,
            size: number(size)?,
            root: hash(root)?,
        })
    }
}

impl SignedCheckpoint {
    /// The whole note.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says, if the key signed it and it is of the key's log.
    ///
    /// # Errors
    ///
    /// [`NoteError`].
    pub fn verified(&self, vkey: &Vkey) -> Result<&Checkpoint, NoteError> {
        if self.checkpoint.origin != vkey.name {
            return Err(NoteError::Origin);
        }
        let mut by_key = self.signatures.iter().filter_map(|(name, bytes)| {
            let signature = bytes.strip_prefix(&vkey.id())?;
            (*name == vkey.name.0).then_some(signature)
        });
        let signature = by_key.next().ok_or(NoteError::Unsigned)?;
        let body = Input::Message(&self.text.as_bytes()[..self.signed]);
        if vkey
            .public
            .verifies(Algorithm::EdDsa, body, signature, false)
        {
            Ok(&self.checkpoint)
        } else {
            Err(NoteError::Signature)
        }
    }
}

impl FromStr for SignedCheckpoint {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let control = |byte: u8| byte < b' ' && byte != b'\n';
        if text.len() > MAX_NOTE || text.bytes().any(control) {
            return Err(NoteError::Note);
        }
        let end = text.rfind("\n\n").ok_or(NoteError::Note)?;
        let signed = end + 1;
        let signatures = text[end + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Note)?
            .split('\n')
            .map(|line| {
                let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
                let bytes = BASE64.decode(signature).ok()?;
                (bytes.len() > 4).then(|| (name.to_owned(), bytes))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(NoteError::Note)?;
        Ok(Self {
            checkpoint: Checkpoint::parse(&text[..signed]).ok_or(NoteError::Checkpoint)?,
            text: text.to_owned(),
            signed,
            signatures,
        })
    }
}

impl Proof {
    /// The checkpoint's facts, if the record is where the proof says and the key signed the checkpoint.
    ///
    /// # Errors
    ///
    /// [`NoteError`].
    pub fn verified(&self, record: &[u8], vkey: &Vkey) -> Result<&Checkpoint, NoteError> {
        let checkpoint = self.checkpoint.verified(vkey)?;
        let leaf = tree::leaf(record);
        tree::check_inclusion(
            leaf,
            self.index,
            checkpoint.size,
            &self.path,
            checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PROOF}\nindex {}\n", self.index)?;
        for hash in &self.path {
            writeln!(formatter, "{}", BASE64.encode(hash.as_bytes()))?;
        }
        write!(formatter, "\n{}", self.checkpoint.text)
    }
}

impl FromStr for Proof {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (head, note) = text.split_once("\n\n").ok_or(NoteError::Proof)?;
        let mut lines = head.split('\n');
        let mut line = (lines.next() == Some(PROOF))
            .then(|| lines.next())
            .flatten();
        if line.is_some_and(|line| line.starts_with("extra ")) {
            line = lines.next();
        }
        let index = line.and_then(|line| number(line.strip_prefix("index ")?));
        let path = lines.map(hash).collect::<Option<Vec<_>>>();
        match (index, path) {
            (Some(index), Some(path)) if path.len() < 64 => Ok(Self {
                index,
                path,
                checkpoint: note.parse()?,
            }),
            _ => Err(NoteError::Proof),
        }
    }
}

/// A number as notes write it: no sign, no leading zeros.
fn number(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

fn hash(text: &str) -> Option<Digest> {
    let bytes = BASE64.decode(text).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

const PROOF: &str = "c2sp.org/tlog-proof@v1";
/// Room for sixteen signatures of any kind.
const MAX_NOTE: usize = 128 << 10;
