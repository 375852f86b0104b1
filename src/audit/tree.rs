//! The Merkle tree of RFC 6962 section 2.1: leaf and node hashes, roots, proofs and their checks.

use crate::audit::Digest;

/// A tree that grows at its right end and keeps the roots of its complete subtrees alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The complete subtrees from the left, largest first: one for each 1 bit of the size.
    peaks: Vec<Digest>,
}

/// Where hashes of complete subtrees come from.
pub trait Subtrees {
    /// What may go wrong.
    type Error;

    /// The root of leaves `index << height` to `(index + 1) << height`.
    ///
    /// # Errors
    ///
    /// Where it can't be had.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// The numbers make no sense together.
    #[error("the record or tree is not within the larger tree")]
    Range,
    /// It has too few hashes, or too many.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash of a leaf.
pub fn leaf(bytes: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], bytes])
}

/// The hash of a node.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

impl Tree {
    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut grown = leaf;
        let mut complete = self.size;
        while complete & 1 == 1 {
            let left = self.peaks.pop().expect("one peak for each 1 bit");
            grown = node(&left, &grown);
            complete >>= 1;
        }
        self.peaks.push(grown);
        self.size += 1;
    }

    /// The root; of no leaves, the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Digest::of(b""),
            Some(smallest) => peaks.fold(*smallest, |right, left| node(left, &right)),
        }
    }

    /// The tree of the first so many leaves.
    ///
    /// # Errors
    ///
    /// The source's.
    pub fn load<S: Subtrees>(source: &mut S, size: u64) -> Result<Self, S::Error> {
        let mut peaks = Vec::new();
        for height in (0..64).rev() {
            if size >> height & 1 == 1 {
                // Everything left of it is larger complete subtrees.
                let index = (size >> height) - 1;
                peaks.push(source.subtree(height, index)?);
            }
        }
        Ok(Self { size, peaks })
    }
}

/// The proof that leaf `index` is in the tree of `size` leaves (RFC 6962 section 2.1.1).
///
/// # Errors
///
/// The source's.
pub fn inclusion<S: Subtrees>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, S::Error> {
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(source, middle, high)?);
            high = middle;
        } else {
            path.push(range(source, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves begins the tree of `new` leaves (RFC 6962 section 2.1.2).
///
/// # Errors
///
/// The source's.
pub fn consistency<S: Subtrees>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, S::Error> {
    if old == 0 || old >= new {
        return Ok(vec![]);
    }
    let mut path = Vec::new();
    let (mut low, mut high) = (0, new);
    // The part of the old tree that is left; as long as it begins at 0, the checker has its root.
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(source, middle, high)?);
            high = middle;
        } else {
            path.push(range(source, low, middle)?);
            low = middle;
        }
    }
    if low != 0 {
        path.push(range(source, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that a leaf is in a tree (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`BadProof`].
pub fn check_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: Digest,
) -> Result<(), BadProof> {
    if index >= size {
        return Err(BadProof::Range);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            // A node without a right sibling moves up until it has a left one.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, hash == root) {
        (0, true) => Ok(()),
        (0, false) => Err(BadProof::Root),
        _ => Err(BadProof::Length),
    }
}

/// Checks that one tree begins another (RFC 9162 section 2.1.4.2).
///
/// # Errors
///
/// [`BadProof`].
pub fn check_consistency(
    (old, old_root): (u64, Digest),
    (new, new_root): (u64, Digest),
    proof: &[Digest],
) -> Result<(), BadProof> {
    if old > new {
        return Err(BadProof::Range);
    }
    if old == 0 || old == new {
        let same = old == 0 || old_root == new_root;
        return match (proof.is_empty(), same) {
            (false, _) => Err(BadProof::Length),
            (true, false) => Err(BadProof::Root),
            (true, true) => Ok(()),
        };
    }
    // A complete old tree is itself the first hash.
    let implied = old.is_power_of_two().then_some(old_root);
    let mut hashes = implied.into_iter().chain(proof.iter().copied());
    let first = hashes.next().ok_or(BadProof::Length)?;
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut for_old, mut for_new) = (first, first);
    for sibling in hashes {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            for_old = node(&sibling, &for_old);
            for_new = node(&sibling, &for_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            for_new = node(&for_new, &sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, for_old == old_root && for_new == new_root) {
        (0, true) => Ok(()),
        (0, false) => Err(BadProof::Root),
        _ => Err(BadProof::Length),
    }
}

/// The root of any range that a tree has as a node.
fn range<S: Subtrees>(source: &mut S, low: u64, high: u64) -> Result<Digest, S::Error> {
    let width = high - low;
    if width.is_power_of_two() && low.is_multiple_of(width) {
        let height = width.trailing_zeros();
        return source.subtree(height, low >> height);
    }
    let middle = low + split(width);
    let left = range(source, low, middle)?;
    Ok(node(&left, &range(source, middle, high)?))
}

/// The largest power of two smaller than a width of at least 2.
const fn split(width: u64) -> u64 {
    1 << (63 - (width - 1).leading_zeros())
}

/// All leaf hashes in memory: what small logs and tests prove from.
impl Subtrees for &[Digest] {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error> {
        let leaf = |at: u64| self[usize::try_from(at).expect("leaves in memory")];
        if height == 0 {
            return Ok(leaf(index));
        }
        let left = self.subtree(height - 1, index * 2)?;
        Ok(node(&left, &self.subtree(height - 1, index * 2 + 1)?))
    }
}
