//! The module itself: a wrapper for each function, which does as the control file says and else calls the real one.
//!
//! It has statics, because a C library has nowhere else to keep what its host doesn't hold for it.

use std::{
    env,
    ffi::{CStr, CString, OsString},
    fs::File,
    mem::{offset_of, transmute},
    os::{fd::AsRawFd, unix::ffi::OsStringExt},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::sleep,
    time::Duration,
};

use cryptoki_sys::*;

use crate::control::{
    CONTROL_VARIABLE, FILE_SIZE, FUNCTIONS, Function, MODULE_VARIABLE, OTHER_KEY, Slot, action,
};

/// What the host asks for first: our list in place of the real one.
///
/// # Safety
/// `list` must be null or writable, as PKCS#11 has it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    run(Function::GetFunctionList, &mut [list.word()], |_, _| {
        if list.is_null() {
            return CKR_ARGUMENTS_BAD;
        }
        // SAFETY: not null, and the host's to be written to. Nobody writes to the list itself.
        unsafe { *list = (&raw const LIST).cast_mut() };
        CKR_OK
    })
}

/// `$arity: C_Name Name, ...;` becomes the function list, each wrapper knowing which function it stands for.
macro_rules! function_list {
    ($($arity:ident: $($field:ident $function:ident),+;)+) => {
        CK_FUNCTION_LIST {
            version: CK_VERSION { major: 2, minor: 40 },
            C_GetFunctionList: Some(C_GetFunctionList),
            $($($field: {
                const { assert!(
                    offset_of!(CK_FUNCTION_LIST, $field)
                        == FIRST + Function::$function as usize * size_of::<Real>()
                ) };
                Some(At::<{ Function::$function as usize }>::$arity)
            },)+)+
        }
    };
}

static LIST: CK_FUNCTION_LIST = function_list! {
    one: C_Initialize Initialize, C_Finalize Finalize, C_GetInfo GetInfo, C_CloseSession CloseSession,
        C_CloseAllSessions CloseAllSessions, C_Logout Logout, C_FindObjectsFinal FindObjectsFinal,
        C_GetFunctionStatus GetFunctionStatus, C_CancelFunction CancelFunction;
    two: C_GetSlotInfo GetSlotInfo, C_GetTokenInfo GetTokenInfo, C_GetSessionInfo GetSessionInfo,
        C_DestroyObject DestroyObject, C_DigestInit DigestInit, C_DigestKey DigestKey;
    three: C_GetSlotList GetSlotList, C_GetMechanismList GetMechanismList, C_GetMechanismInfo GetMechanismInfo,
        C_InitPIN InitPIN, C_GetOperationState GetOperationState, C_GetObjectSize GetObjectSize,
        C_FindObjectsInit FindObjectsInit, C_EncryptInit EncryptInit, C_EncryptFinal EncryptFinal,
        C_DecryptInit DecryptInit, C_DecryptFinal DecryptFinal, C_DigestUpdate DigestUpdate,
        C_DigestFinal DigestFinal, C_SignInit SignInit, C_SignUpdate SignUpdate, C_SignFinal SignFinal,
        C_SignRecoverInit SignRecoverInit, C_VerifyInit VerifyInit, C_VerifyUpdate VerifyUpdate,
        C_VerifyFinal VerifyFinal, C_VerifyRecoverInit VerifyRecoverInit, C_SeedRandom SeedRandom,
        C_GenerateRandom GenerateRandom, C_WaitForSlotEvent WaitForSlotEvent;
    four: C_InitToken InitToken, C_Login Login, C_CreateObject CreateObject, C_GetAttributeValue GetAttributeValue,
        C_SetAttributeValue SetAttributeValue, C_FindObjects FindObjects;
    five: C_SetPIN SetPIN, C_OpenSession OpenSession, C_SetOperationState SetOperationState, C_CopyObject CopyObject,
        C_Encrypt Encrypt, C_EncryptUpdate EncryptUpdate, C_Decrypt Decrypt, C_DecryptUpdate DecryptUpdate,
        C_Digest Digest, C_Sign Sign, C_SignRecover SignRecover, C_Verify Verify, C_VerifyRecover VerifyRecover,
        C_DigestEncryptUpdate DigestEncryptUpdate, C_DecryptDigestUpdate DecryptDigestUpdate,
        C_SignEncryptUpdate SignEncryptUpdate, C_DecryptVerifyUpdate DecryptVerifyUpdate, C_GenerateKey GenerateKey;
    six: C_WrapKey WrapKey, C_DeriveKey DeriveKey;
    eight: C_GenerateKeyPair GenerateKeyPair, C_UnwrapKey UnwrapKey;
};

/// The wrappers of the function at one place of the list. The types of the arguments are those of the list's field.
struct At<const FUNCTION: usize>;

macro_rules! wrapper {
    ($arity:ident: $($argument:ident $type:ident),+) => {
        unsafe extern "C" fn $arity<$($type: Word),+>($($argument: $type),+) -> CK_RV {
            let mut words = [$($argument.word()),+];
            run(Function::ALL[FUNCTION], &mut words, |real, words| {
                // SAFETY: `real` comes from the same place of the real list, so it has this very type.
                let real: unsafe extern "C" fn($($type),+) -> CK_RV = unsafe { transmute(real) };
                let mut words = words.iter().copied();
                $(let $argument = $type::from_word(words.next().expect("as many as there were"));)+
                // SAFETY: the host's own arguments, save for a swapped key handle, which is a number.
                unsafe { real($($argument),+) }
            })
        }
    };
}

impl<const FUNCTION: usize> At<FUNCTION> {
    wrapper!(one: a A);
    wrapper!(two: a A, b B);
    wrapper!(three: a A, b B, c C);
    wrapper!(four: a A, b B, c C, d D);
    wrapper!(five: a A, b B, c C, d D, e E);
    wrapper!(six: a A, b B, c C, d D, e E, f F);
    wrapper!(eight: a A, b B, c C, d D, e E, f F, g G, h H);
}

/// Counts the call, then does what its slot says around `call`, which calls the real function with the words it gets.
fn run(
    function: Function,
    words: &mut [usize],
    call: impl FnOnce(Real, &[usize]) -> CK_RV,
) -> CK_RV {
    let module = match MODULE.get_or_init(Module::load) {
        Ok(module) => module,
        Err(message) => {
            eprintln!("fault module: {message}");
            return CKR_GENERAL_ERROR;
        }
    };
    let Some(real) = module.real[function as usize] else {
        return CKR_FUNCTION_NOT_SUPPORTED;
    };
    let Some(slot) = module.slots.map(|slots| &slots[function as usize]) else {
        return call(real, words);
    };
    slot.calls.fetch_add(1, SeqCst);
    let other_key = if function.has_key() {
        module.other_key(function, words[KEY] as u64)
    } else {
        OTHER_KEY
    };
    let action = slot.action.load(SeqCst); // before the rest, which is written before it
    let rv = slot.rv.load(SeqCst);
    match action {
        action::CORRUPT => {
            let done = call(real, words);
            if done == CKR_OK {
                corrupt(slot, words);
            }
            return done;
        }
        action::SWAP_KEY => {
            let key = if rv == OTHER_KEY { other_key } else { rv };
            if key != OTHER_KEY && slot.take() {
                words[KEY] = key as usize;
            }
        }
        action::NONE => {}
        _ if !slot.take() => {}
        action::RETURN => return rv,
        action::FORWARD_THEN_RETURN => {
            call(real, words);
            return rv;
        }
        action::DELAY => sleep(Duration::from_micros(slot.delay_us.load(SeqCst).into())),
        action::HANG => loop {
            sleep(Duration::from_secs(3600));
        },
        // SAFETY: none. Nothing is mapped there, and the signal is what was asked for.
        action::SEGFAULT => unsafe { ptr::without_provenance_mut::<u8>(8).write_volatile(0) },
        action::ABORT => std::process::abort(),
        action::EXIT => std::process::exit(rv as i32),
        unknown => panic!("the control file has action {unknown}"),
    }
    call(real, words)
}

/// Flips the lowest bit of the last byte of the output, if there is one and its turn has come.
fn corrupt(slot: &Slot, words: &[usize]) {
    let [.., output, length] = *words else {
        return;
    };
    let output: *mut CK_BYTE = Word::from_word(output);
    let length: *mut CK_ULONG = Word::from_word(length);
    if output.is_null() {
        return; // only the length was asked for
    }
    // SAFETY: the real function said OK, so `length` points to the number of bytes that it wrote to `output`.
    unsafe {
        let length = *length as usize;
        if length > 0 && slot.take() {
            *output.add(length - 1) ^= 1;
        }
    }
}

static MODULE: OnceLock<Result<Module, String>> = OnceLock::new();

/// An entry of the real list, whatever its type.
type Real = unsafe extern "C" fn();

/// The real module, and the orders if there are any.
struct Module {
    real: [Option<Real>; FUNCTIONS],
    slots: Option<&'static [Slot; FUNCTIONS]>,
    /// For each function that takes a key, the two keys that it was given last, the latest first.
    keys: [[AtomicU64; 2]; FUNCTIONS],
}

impl Module {
    fn load() -> Result<Self, String> {
        let path = env::var_os(MODULE_VARIABLE).ok_or(format!("{MODULE_VARIABLE} is not set"))?;
        Ok(Self {
            real: real_functions(path)?,
            slots: env::var_os(CONTROL_VARIABLE).map(map_slots).transpose()?,
            keys: [const { [const { AtomicU64::new(OTHER_KEY) }; 2] }; FUNCTIONS],
        })
    }

    /// Remembers that `function` is given `key`, and says which other one it was given before.
    /// Two threads may confuse each other here, and get a key that was given a little earlier.
    fn other_key(&self, function: Function, key: u64) -> u64 {
        let [latest, before] = &self.keys[function as usize];
        let previous = latest.swap(key, SeqCst);
        if previous != key {
            before.store(previous, SeqCst);
        }
        before.load(SeqCst)
    }
}

fn real_functions(path: OsString) -> Result<[Option<Real>; FUNCTIONS], String> {
    let path = CString::new(path.into_vec()).map_err(|error| error.to_string())?;
    // SAFETY: a PKCS#11 module, which exports a function of this name and type, gives a list of at least 68 entries
    // after its version, and is never unloaded here.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if library.is_null() {
            return Err(CStr::from_ptr(libc::dlerror()).to_string_lossy().into());
        }
        let symbol = libc::dlsym(library, c"C_GetFunctionList".as_ptr());
        let get_function_list: CK_C_GetFunctionList = transmute(symbol);
        let get_function_list = get_function_list.ok_or("no C_GetFunctionList")?;
        let mut list: CK_FUNCTION_LIST_PTR = ptr::null_mut();
        match get_function_list(&mut list) {
            CKR_OK if !list.is_null() => Ok(*list.byte_add(FIRST).cast()),
            rv => Err(format!("C_GetFunctionList: {rv:#x}")),
        }
    }
}

fn map_slots(path: OsString) -> Result<&'static [Slot; FUNCTIONS], String> {
    let named = |error| format!("{}: {error}", path.display());
    let open = File::options().read(true).write(true).open(&path);
    let file = open.map_err(|error| named(error.to_string()))?;
    let length = file
        .metadata()
        .map_err(|error| named(error.to_string()))?
        .len();
    if length < FILE_SIZE as u64 {
        return Err(named(format!("{length} bytes instead of {FILE_SIZE}")));
    }
    // SAFETY: a new mapping, which is never unmapped; the file is large enough and is never made shorter. Whatever
    // is in it are valid atomics, as all bit patterns are.
    unsafe {
        let map = libc::mmap(
            ptr::null_mut(),
            FILE_SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        if map == libc::MAP_FAILED {
            return Err(named(std::io::Error::last_os_error().to_string()));
        }
        Ok(&*map.cast())
    }
}

/// An argument, as a number that can be looked at without knowing its type.
trait Word: Copy {
    fn word(self) -> usize;
    fn from_word(word: usize) -> Self;
}

impl<T> Word for *mut T {
    fn word(self) -> usize {
        self.expose_provenance()
    }
    fn from_word(word: usize) -> Self {
        ptr::with_exposed_provenance_mut(word)
    }
}

impl Word for CK_ULONG {
    fn word(self) -> usize {
        self as usize
    }
    fn from_word(word: usize) -> Self {
        word as Self
    }
}

impl Word for CK_BBOOL {
    fn word(self) -> usize {
        self.into()
    }
    fn from_word(word: usize) -> Self {
        word as Self
    }
}

impl Word for CK_NOTIFY {
    fn word(self) -> usize {
        self.map_or(0, |callback| callback as usize)
    }
    fn from_word(word: usize) -> Self {
        // SAFETY: it was made from such a callback, or from none, by `word`.
        unsafe { transmute(word) }
    }
}

/// Where the first function is in a function list.
const FIRST: usize = offset_of!(CK_FUNCTION_LIST, C_Initialize);
/// Where the key is among the arguments of a function that takes one.
const KEY: usize = 2;
