//! The orders: one slot for each function in a file that the test writes and the module has mapped.

use std::{
    fs::File,
    io,
    mem::{offset_of, size_of},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

/// Names the real module, in the environment of the process that loads this one.
pub const MODULE_VARIABLE: &str = "CHANCERY_FAULT_MODULE";
/// Names the control file, in the environment of the process that loads this module.
pub const CONTROL_VARIABLE: &str = "CHANCERY_FAULT_CONTROL";

/// The test's end of the control file.
///
/// Orders are plain writes to the file, which a shared mapping of it sees at once. Every error is an I/O error of that file.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
}

impl Control {
    /// Makes the file, or empties it: no function fails, nothing is counted yet.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // Never truncated: a process that has it mapped would die of SIGBUS.
        file.write_all_at(&[0; FILE_SIZE], 0)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Where the file is, for [`CONTROL_VARIABLE`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on, lets the next `skip` calls of `function` pass, then makes as many as `times` says fail with `fault`.
    ///
    /// Takes the place of what was ordered for that function before, and sets its [`hits`](Self::hits) to zero.
    ///
    /// # Panics
    /// When `function` has no output to corrupt, or no key to swap.
    pub fn set(&self, function: Function, fault: Fault, times: Times, skip: u32) -> io::Result<()> {
        let (action, rv, delay) = match fault {
            Fault::Return(rv) => (action::RETURN, rv, Duration::ZERO),
            Fault::ForwardThenReturn(rv) => (action::FORWARD_THEN_RETURN, rv, Duration::ZERO),
            Fault::Delay(delay) => (action::DELAY, 0, delay),
            Fault::Hang => (action::HANG, 0, Duration::ZERO),
            Fault::Segfault => (action::SEGFAULT, 0, Duration::ZERO),
            Fault::Abort => (action::ABORT, 0, Duration::ZERO),
            Fault::Exit(status) => (action::EXIT, u64::from(status), Duration::ZERO),
            Fault::Corrupt => {
                assert!(function.has_output(), "{function:?} has no output");
                (action::CORRUPT, 0, Duration::ZERO)
            }
            Fault::SwapKey(handle) => {
                assert!(function.has_key(), "{function:?} takes no key");
                (action::SWAP_KEY, handle, Duration::ZERO)
            }
            Fault::OtherKey => {
                assert!(function.has_key(), "{function:?} takes no key");
                (action::SWAP_KEY, OTHER_KEY, Duration::ZERO)
            }
        };
        let count = match times {
            Times::Once => 1,
            Times::Count(count) => count,
            Times::Forever => FOREVER,
        };
        let delay_us = u32::try_from(delay.as_micros()).expect("a delay of less than an hour");

        // The action last: until then the module does not look at the rest.
        self.write(function, offset_of!(Slot, action), action::NONE)?;
        let rv_at = slot_at(function) + offset_of!(Slot, rv) as u64;
        self.file.write_all_at(&rv.to_ne_bytes(), rv_at)?;
        self.write(function, offset_of!(Slot, delay_us), delay_us)?;
        self.write(function, offset_of!(Slot, skip), skip)?;
        self.write(function, offset_of!(Slot, count), count)?;
        self.write(function, offset_of!(Slot, hits), 0)?;
        self.write(function, offset_of!(Slot, action), action)
    }

    /// Takes back every order; the counters stay. A call that hangs or waits already goes on doing so.
    pub fn clear(&self) -> io::Result<()> {
        let mut functions = Function::ALL.iter();
        functions
            .try_for_each(|&function| self.write(function, offset_of!(Slot, action), action::NONE))
    }

    /// How often `function` was called since the file was made, failing or not, by all processes.
    /// A call that only asks for the length of the output is a call as well.
    pub fn calls(&self, function: Function) -> io::Result<u32> {
        self.read(function, offset_of!(Slot, calls))
    }

    /// How often `function` did what it was last told to. A call that hangs or crashes is counted before it does.
    pub fn hits(&self, function: Function) -> io::Result<u32> {
        self.read(function, offset_of!(Slot, hits))
    }

    fn write(&self, function: Function, offset: usize, value: u32) -> io::Result<()> {
        let at = slot_at(function) + offset as u64;
        self.file.write_all_at(&value.to_ne_bytes(), at)
    }

    fn read(&self, function: Function, offset: usize) -> io::Result<u32> {
        let mut bytes = [0; 4];
        let at = slot_at(function) + offset as u64;
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(u32::from_ne_bytes(bytes))
    }
}

/// What a function is told to do instead of its work, or besides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Return this `CKR_` code; the real module is not called.
    Return(u64),
    /// Call the real module, then return this `CKR_` code whatever it said: the work was done, the answer is lost.
    ForwardThenReturn(u64),
    /// Wait, then call the real module.
    Delay(Duration),
    /// Never return.
    Hang,
    /// Die of an access to memory that isn't there.
    Segfault,
    /// Die of `abort`.
    Abort,
    /// End the process with this status, in order, as a library that calls `exit` does.
    Exit(u8),
    /// Flip one bit in the bytes that the real module gave back. Calls that give none are not counted.
    Corrupt,
    /// Use the key with this object handle in place of the one that was asked for.
    SwapKey(u64),
    /// Use the key that this process gave to the same function most recently, other than the one that was asked for.
    /// Calls before there is such a key are not counted.
    OtherKey,
}

/// How many calls fail, after those that are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// One call.
    Once,
    /// This many calls.
    Count(u32),
    /// Every call until [`Control::clear`] or the next [`Control::set`].
    Forever,
}

/// The path of the module itself, in the directory of the test that runs, where cargo puts both.
///
/// # Panics
/// When it isn't there.
pub fn module_path() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the running test");
    let path = test.with_file_name("libchancery_fault_module.so");
    assert!(path.is_file(), "{} is not built", path.display());
    path
}

/// What the module reads and counts for one function. All of it is zero in a new file.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Slot {
    /// One of [`action`]; the rest means nothing while it is `NONE`.
    pub(crate) action: AtomicU32,
    pub(crate) delay_us: AtomicU32,
    /// A return code, an exit status or a key handle.
    pub(crate) rv: AtomicU64,
    skip: AtomicU32,
    count: AtomicU32,
    hits: AtomicU32,
    pub(crate) calls: AtomicU32,
}

impl Slot {
    /// Whether this call is one that fails, and if so, counts it.
    pub(crate) fn take(&self) -> bool {
        let less_one = |left: u32| left.checked_sub(1);
        if self.skip.fetch_update(SeqCst, SeqCst, less_one).is_ok() {
            return false;
        }
        let taken = self
            .count
            .fetch_update(SeqCst, SeqCst, |left| match left {
                FOREVER => Some(FOREVER),
                _ => less_one(left),
            })
            .is_ok();
        if taken {
            self.hits.fetch_add(1, Relaxed);
        }
        taken
    }
}

/// The values of [`Slot::action`]. Each is below 256, so that no reader can see half of one.
pub(crate) mod action {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const RETURN: u32 = 1;
    pub(crate) const FORWARD_THEN_RETURN: u32 = 2;
    pub(crate) const DELAY: u32 = 3;
    pub(crate) const HANG: u32 = 4;
    pub(crate) const SEGFAULT: u32 = 5;
    pub(crate) const ABORT: u32 = 6;
    pub(crate) const EXIT: u32 = 7;
    pub(crate) const CORRUPT: u32 = 8;
    pub(crate) const SWAP_KEY: u32 = 9;
}

/// How many functions PKCS#11 2.40 has.
pub(crate) const FUNCTIONS: usize = Function::ALL.len();
/// The size of the control file in bytes.
pub(crate) const FILE_SIZE: usize = 4096;
/// As [`Slot::rv`] of `SWAP_KEY`, stands for [`Fault::OtherKey`]: no object has the handle `CK_INVALID_HANDLE`.
pub(crate) const OTHER_KEY: u64 = 0;
const FOREVER: u32 = u32::MAX;
const _: () = assert!(FUNCTIONS * size_of::<Slot>() <= FILE_SIZE);

fn slot_at(function: Function) -> u64 {
    function as u64 * size_of::<Slot>() as u64
}

macro_rules! functions {
    ($($name:ident),+ $(,)?) => {
        /// The functions of PKCS#11 2.40, in the order of `CK_FUNCTION_LIST`.
        #[expect(missing_docs, reason = "each is the C function of that name")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function { $($name),+ }

        impl Function {
            /// Every function, in that order.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

functions! {
    Initialize, Finalize, GetInfo, GetFunctionList, GetSlotList, GetSlotInfo, GetTokenInfo, GetMechanismList,
    GetMechanismInfo, InitToken, InitPIN, SetPIN, OpenSession, CloseSession, CloseAllSessions, GetSessionInfo,
    GetOperationState, SetOperationState, Login, Logout, CreateObject, CopyObject, DestroyObject, GetObjectSize,
    GetAttributeValue, SetAttributeValue, FindObjectsInit, FindObjects, FindObjectsFinal, EncryptInit, Encrypt,
    EncryptUpdate, EncryptFinal, DecryptInit, Decrypt, DecryptUpdate, DecryptFinal, DigestInit, Digest, DigestUpdate,
    DigestKey, DigestFinal, SignInit, Sign, SignUpdate, SignFinal, SignRecoverInit, SignRecover, VerifyInit, Verify,
    VerifyUpdate, VerifyFinal, VerifyRecoverInit, VerifyRecover, DigestEncryptUpdate, DecryptDigestUpdate,
    SignEncryptUpdate, DecryptVerifyUpdate, GenerateKey, GenerateKeyPair, WrapKey, UnwrapKey, DeriveKey, SeedRandom,
    GenerateRandom, GetFunctionStatus, CancelFunction, WaitForSlotEvent,
}

impl Function {
    /// Whether the last two arguments are a buffer for the result and a pointer to its length.
    #[rustfmt::skip]
    pub(crate) fn has_output(self) -> bool {
        matches!(self, Self::GetOperationState | Self::Encrypt | Self::EncryptUpdate | Self::EncryptFinal
            | Self::Decrypt | Self::DecryptUpdate | Self::DecryptFinal | Self::Digest | Self::DigestFinal | Self::Sign
            | Self::SignFinal | Self::SignRecover | Self::VerifyRecover | Self::DigestEncryptUpdate
            | Self::DecryptDigestUpdate | Self::SignEncryptUpdate | Self::DecryptVerifyUpdate | Self::WrapKey)
    }

    /// Whether the third argument is the handle of the key to use.
    #[rustfmt::skip]
    pub(crate) fn has_key(self) -> bool {
        matches!(self, Self::EncryptInit | Self::DecryptInit | Self::SignInit | Self::SignRecoverInit
            | Self::VerifyInit | Self::VerifyRecoverInit | Self::WrapKey | Self::UnwrapKey | Self::DeriveKey)
    }
}
