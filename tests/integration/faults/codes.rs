//! Every return code of PKCS#11, in every function that matters, once and three times: what the caller is told,
//! and that all is well again afterwards.
//!
//! The table is written from the standard's texts and field reports, not from the daemon's own.

use std::collections::BTreeMap;

use super::*;

/// What a code speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// The bytes that the function was given: the caller's, when it decrypts; our own, when it signs.
    Input,
    Session,
    Recycle,
    Device,
    Pressure,
    Pin,
    Configuration,
}

/// What a caller may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: another try went well.
    Done,
    /// `UNAVAILABLE`, and when to try again.
    Unavailable,
    /// `RESOURCE_EXHAUSTED`, and when to try again.
    Busy,
    /// `FAILED_PRECONDITION`: this won't go well until an operator helps.
    Refused,
    /// `INVALID_ARGUMENT`, the same for every cause.
    BadInput,
}

/// What is done to reach a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Sign,
    Decrypt,
    Agree,
    Unwrap,
}

/// What is told of a fault that comes so often in a row. One hides what another try can heal.
fn expected(function: Function, class: Class, times: u32) -> &'static [Told] {
    let callers = !matches!(
        function,
        Function::SignInit | Function::Sign | Function::OpenSession
    );
    match class {
        Class::Input if callers => &[Told::BadInput],
        // Tokens answer CKR_GENERAL_ERROR when they are broken; the rest is a refusal of what we send.
        Class::Input => &[Told::Done, Told::Unavailable, Told::Refused],
        // Two in one worker, and the third in another, which has a second try too.
        Class::Session if function != Function::OpenSession => &[Told::Done],
        Class::Session | Class::Recycle | Class::Device | Class::Pin if times == 1 => &[Told::Done],
        Class::Session | Class::Recycle | Class::Device | Class::Pin
            if function == Function::OpenSession =>
        {
            &[Told::Done, Told::Unavailable]
        }
        Class::Session | Class::Recycle | Class::Device | Class::Pin => &[Told::Unavailable],
        // A worker that just starts may be the one that meets it.
        Class::Pressure if function == Function::OpenSession => &[Told::Done, Told::Busy],
        Class::Configuration if function == Function::OpenSession => &[Told::Done, Told::Refused],
        Class::Pressure => &[Told::Busy],
        Class::Configuration => &[Told::Refused],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_of_signing_is_treated_as_documented_and_heals() {
    matrix(&[
        (Function::SignInit, Work::Sign),
        (Function::Sign, Work::Sign),
        (Function::OpenSession, Work::Sign),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_of_opening_is_treated_as_documented_and_heals() {
    matrix(&[
        (Function::DecryptInit, Work::Decrypt),
        (Function::Decrypt, Work::Decrypt),
        (Function::DeriveKey, Work::Agree),
        (Function::UnwrapKey, Work::Unwrap),
    ])
    .await;
}

async fn matrix(functions: &[(Function, Work)]) {
    assert_eq!(
        CODES.len(),
        93 + 2,
        "all that cryptoki names, and two that nobody does"
    );
    let bench = Bench::start(4, 1, "").await;
    for (id, kind, purpose, algorithm) in OPENERS {
        bench.create(id, kind, purpose, algorithm).await;
    }
    let letter = bench.encrypt("keys/letters", Algorithm::RsaOaep256).await;
    let agreement = bench
        .encrypt("keys/agreements", Algorithm::EcdhEsA256kw)
        .await;
    let wrap = bench.encrypt("keys/wraps", Algorithm::A256kw).await;
    let verifier = bench.verifier("keys/payouts").await;
    let run = async |work: Work| match work {
        Work::Sign => bench.sign().await.inspect(|signature| {
            assert!(
                verifier.takes(MESSAGE, signature),
                "a wrong signature was released"
            );
        }),
        Work::Decrypt => bench.decrypt("keys/letters", &letter).await,
        Work::Agree => bench.decrypt("keys/agreements", &agreement).await,
        Work::Unwrap => bench.decrypt("keys/wraps", &wrap).await,
    };

    let start = Instant::now();
    let mut wrong = Vec::new();
    let mut spent: BTreeMap<String, Duration> = BTreeMap::new();
    let mut cells = 0;
    for &(function, work) in functions {
        for (index, &(code, name, class)) in CODES.iter().enumerate() {
            for times in [1, 3] {
                // What costs a worker takes its time; thrice for each code where it matters most, else for some.
                let costly = matches!(class, Class::Recycle | Class::Device | Class::Pin);
                let common = matches!(function, Function::Sign | Function::Decrypt);
                if times > 1 && costly && !common && index % 5 > 0 {
                    continue;
                }
                let cell = Instant::now();
                cells += 1;
                bench.order(function, Fault::Return(code), Times::Count(times));
                if function == Function::OpenSession {
                    // Only a lane without a session opens one.
                    bench.order(Function::Sign, Fault::Return(0x90), Times::Once);
                }
                let outcome = run(work).await;
                let told = told(&outcome);
                if told.is_none_or(|told| !expected(function, class, times).contains(&told)) {
                    wrong.push(format!("C_{function:?} {name} x {times}: {outcome:?}"));
                }
                let hits = bench.control.hits(function).unwrap();
                assert!(hits >= 1, "C_{function:?} {name} was not reached");
                bench.control.clear().unwrap();
                // Good again after a few calls; what the caller's bytes did wrong is over at once.
                let mut tries = 0;
                loop {
                    tries += 1;
                    match run(work).await {
                        Ok(_) => break,
                        Err(status) if tries < 500 => {
                            assert!(passes(&status), "C_{function:?} {name}: {status:?}");
                            pause(10).await;
                        }
                        Err(status) => panic!("C_{function:?} {name} x {times}: {status:?}"),
                    }
                }
                let stays = matches!(class, Class::Pressure | Class::Configuration);
                if stays && function != Function::OpenSession && tries > 1 {
                    wrong.push(format!(
                        "C_{function:?} {name} x {times}: good only after {tries} tries"
                    ));
                }
                *spent.entry(format!("{class:?}")).or_default() += cell.elapsed();
            }
        }
    }
    eprintln!("{cells} cells in {:?}; {spent:?}", start.elapsed());
    assert!(
        wrong.is_empty(),
        "{} cells:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(bench.calls(Function::Login) <= bench.calls(Function::Initialize));
    assert_eq!(bench.calls(Function::Logout), 0);
    assert_eq!(bench.pin_marks(), 0);
    assert!(bench.serving());
}

fn told(outcome: &Result<Vec<u8>, Status>) -> Option<Told> {
    let Err(status) = outcome else {
        return Some(Told::Done);
    };
    Some(match (status.code(), reason(status).as_str()) {
        (Code::Unavailable, _) if passes(status) => Told::Unavailable,
        (Code::ResourceExhausted, "TOKEN_BUSY") if passes(status) => Told::Busy,
        (Code::FailedPrecondition, "REFUSED_BY_TOKEN") => Told::Refused,
        (Code::InvalidArgument, "DECRYPTION_FAILED") => Told::BadInput,
        _ => return None,
    })
}

/// PKCS#11 3.1, pkcs11t.h.
#[rustfmt::skip]
const CODES: &[(u64, &str, Class)] = &[
    // Speaks of the bytes that it was given.
    (0x005, "CKR_GENERAL_ERROR", Class::Input),
    (0x006, "CKR_FUNCTION_FAILED", Class::Input),
    (0x150, "CKR_BUFFER_TOO_SMALL", Class::Input),
    (0x040, "CKR_ENCRYPTED_DATA_INVALID", Class::Input),
    (0x041, "CKR_ENCRYPTED_DATA_LEN_RANGE", Class::Input),
    (0x020, "CKR_DATA_INVALID", Class::Input),
    (0x021, "CKR_DATA_LEN_RANGE", Class::Input),
    (0x007, "CKR_ARGUMENTS_BAD", Class::Input),
    (0x1b9, "CKR_PUBLIC_KEY_INVALID", Class::Input),
    (0x130, "CKR_DOMAIN_PARAMS_INVALID", Class::Input),
    (0x110, "CKR_WRAPPED_KEY_INVALID", Class::Input),
    (0x112, "CKR_WRAPPED_KEY_LEN_RANGE", Class::Input),
    (0x013, "CKR_ATTRIBUTE_VALUE_INVALID", Class::Input),
    (0x0d1, "CKR_TEMPLATE_INCONSISTENT", Class::Input),
    (0x071, "CKR_MECHANISM_PARAM_INVALID", Class::Input),
    (0x0c0, "CKR_SIGNATURE_INVALID", Class::Input),
    (0x0c1, "CKR_SIGNATURE_LEN_RANGE", Class::Input),
    // The session is dead.
    (0x0b3, "CKR_SESSION_HANDLE_INVALID", Class::Session),
    (0x0b0, "CKR_SESSION_CLOSED", Class::Session),
    (0x090, "CKR_OPERATION_ACTIVE", Class::Session),
    (0x091, "CKR_OPERATION_NOT_INITIALIZED", Class::Session),
    (0x160, "CKR_SAVED_STATE_INVALID", Class::Session),
    (0x180, "CKR_STATE_UNSAVEABLE", Class::Session),
    (0x050, "CKR_FUNCTION_CANCELED", Class::Session),
    (0x001, "CKR_CANCEL", Class::Session),
    (0x008, "CKR_NO_EVENT", Class::Session),
    (0x051, "CKR_FUNCTION_NOT_PARALLEL", Class::Session),
    (0x0b4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", Class::Session),
    // Handles and log-in are gone.
    (0x082, "CKR_OBJECT_HANDLE_INVALID", Class::Recycle),
    (0x060, "CKR_KEY_HANDLE_INVALID", Class::Recycle),
    (0x0f0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", Class::Recycle),
    (0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID", Class::Recycle),
    (0x101, "CKR_USER_NOT_LOGGED_IN", Class::Recycle),
    (0x065, "CKR_KEY_CHANGED", Class::Recycle),
    (0x066, "CKR_KEY_NEEDED", Class::Recycle),
    (0x064, "CKR_KEY_NOT_NEEDED", Class::Recycle),
    (0x100, "CKR_USER_ALREADY_LOGGED_IN", Class::Recycle),
    (0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Class::Recycle),
    (0x105, "CKR_USER_TOO_MANY_TYPES", Class::Recycle),
    (0x103, "CKR_USER_TYPE_INVALID", Class::Recycle),
    // The token is broken or away.
    (0x030, "CKR_DEVICE_ERROR", Class::Device),
    (0x031, "CKR_DEVICE_MEMORY", Class::Device),
    (0x032, "CKR_DEVICE_REMOVED", Class::Device),
    (0x0e0, "CKR_TOKEN_NOT_PRESENT", Class::Device),
    (0x0e1, "CKR_TOKEN_NOT_RECOGNIZED", Class::Device),
    (0x003, "CKR_SLOT_ID_INVALID", Class::Device),
    (0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", Class::Device),
    (0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", Class::Device),
    (0x002, "CKR_HOST_MEMORY", Class::Device),
    (0x00a, "CKR_CANT_LOCK", Class::Device),
    (0x1a0, "CKR_MUTEX_BAD", Class::Device),
    (0x1a1, "CKR_MUTEX_NOT_LOCKED", Class::Device),
    (0x009, "CKR_NEED_TO_CREATE_THREADS", Class::Device),
    (0x1b7, "CKR_LIBRARY_LOAD_FAILED", Class::Device),
    (0x1b6, "CKR_FIPS_SELF_TEST_FAILED", Class::Device),
    (0x121, "CKR_RANDOM_NO_RNG", Class::Device),
    (0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", Class::Device),
    (0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS", Class::Device),
    (0x200, "CKR_FUNCTION_REJECTED", Class::Device),
    // The token has too much to do.
    (0x0b1, "CKR_SESSION_COUNT", Class::Pressure),
    (0x0b6, "CKR_SESSION_EXISTS", Class::Pressure),
    (0x0b7, "CKR_SESSION_READ_ONLY_EXISTS", Class::Pressure),
    (0x0b8, "CKR_SESSION_READ_WRITE_SO_EXISTS", Class::Pressure),
    // Something about the PIN.
    (0x0a0, "CKR_PIN_INCORRECT", Class::Pin),
    (0x0a1, "CKR_PIN_INVALID", Class::Pin),
    (0x0a2, "CKR_PIN_LEN_RANGE", Class::Pin),
    (0x0a3, "CKR_PIN_EXPIRED", Class::Pin),
    (0x0a4, "CKR_PIN_LOCKED", Class::Pin),
    (0x1b8, "CKR_PIN_TOO_WEAK", Class::Pin),
    (0x1b0, "CKR_NEW_PIN_MODE", Class::Pin),
    (0x1b1, "CKR_NEXT_OTP", Class::Pin),
    (0x102, "CKR_USER_PIN_NOT_INITIALIZED", Class::Pin),
    // Only an operator can help.
    (0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED", Class::Configuration),
    (0x062, "CKR_KEY_SIZE_RANGE", Class::Configuration),
    (0x063, "CKR_KEY_TYPE_INCONSISTENT", Class::Configuration),
    (0x067, "CKR_KEY_INDIGESTIBLE", Class::Configuration),
    (0x069, "CKR_KEY_NOT_WRAPPABLE", Class::Configuration),
    (0x06a, "CKR_KEY_UNEXTRACTABLE", Class::Configuration),
    (0x0f1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", Class::Configuration),
    (0x0f2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", Class::Configuration),
    (0x114, "CKR_WRAPPING_KEY_SIZE_RANGE", Class::Configuration),
    (0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", Class::Configuration),
    (0x070, "CKR_MECHANISM_INVALID", Class::Configuration),
    (0x140, "CKR_CURVE_NOT_SUPPORTED", Class::Configuration),
    (0x01b, "CKR_ACTION_PROHIBITED", Class::Configuration),
    (0x054, "CKR_FUNCTION_NOT_SUPPORTED", Class::Configuration),
    (0x010, "CKR_ATTRIBUTE_READ_ONLY", Class::Configuration),
    (0x011, "CKR_ATTRIBUTE_SENSITIVE", Class::Configuration),
    (0x012, "CKR_ATTRIBUTE_TYPE_INVALID", Class::Configuration),
    (0x170, "CKR_INFORMATION_SENSITIVE", Class::Configuration),
    (0x0d0, "CKR_TEMPLATE_INCOMPLETE", Class::Configuration),
    (0x0b5, "CKR_SESSION_READ_ONLY", Class::Configuration),
    (0x0e2, "CKR_TOKEN_WRITE_PROTECTED", Class::Configuration),
    // A vendor's own, and one that is nobody's.
    (0x8000_0001, "CKR_VENDOR_DEFINED + 1", Class::Device),
    (0x7777, "none", Class::Device),
];
