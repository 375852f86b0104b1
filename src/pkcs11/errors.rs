//! What every `CKR_` code means for us: one table.
//!
//! The classes and their reasons are those of the field's incidents: SoftHSM answers
//! `CKR_GENERAL_ERROR` to a bad ciphertext, others answer it when they are broken, so what a code means
//! depends on whose bytes were in the call.

use std::fmt;

use cryptoki::error::{Error, RvError};
use serde::{Deserialize, Serialize};

/// What is to be done about an error of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Treatment {
    /// The caller's bytes were bad. Nothing is wrong with the token.
    CallersInput,
    /// The session is dead: open another and try once more.
    Session,
    /// Login or handles are gone: a new worker, and try once more.
    Recycle,
    /// The token is broken or away: a new worker, later; the token is unavailable until then.
    Device,
    /// The token has too much to do.
    Pressure,
    /// Something about the PIN: no more log-ins.
    Pin,
    /// The token can't or may not do this with this key: only an operator can help.
    Configuration,
}

/// Whose bytes a call worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Our own: a digest, a message of bounded size, a template.
    Ours,
    /// A caller's ciphertext, wrapped key or curve point.
    Callers,
}

/// An error of the token: which function said what, and what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Fault {
    /// What is to be done.
    pub treatment: Treatment,
    /// The PKCS#11 function, or what else was being done.
    pub function: String,
    /// The name of the code, such as `DeviceError`, or a text.
    pub code: String,
}

impl Fault {
    /// The reason that callers are told, for good.
    pub const fn reason(&self) -> &'static str {
        match self.treatment {
            Treatment::CallersInput => "INPUT_REFUSED_BY_TOKEN",
            Treatment::Session | Treatment::Recycle => "TOKEN_SESSION_LOST",
            Treatment::Device | Treatment::Pin => "TOKEN_FAILED",
            Treatment::Pressure => "TOKEN_BUSY",
            Treatment::Configuration => "REFUSED_BY_TOKEN",
        }
    }

    /// A fault that the token did not name.
    pub(super) fn new(treatment: Treatment, function: &str, code: impl Into<String>) -> Self {
        Self {
            treatment,
            function: function.to_owned(),
            code: code.into(),
        }
    }

    /// What an error of `cryptoki` means, given whose bytes were in the call.
    pub(super) fn of(error: &Error, work: Work) -> Self {
        match error {
            Error::Pkcs11(code, function) => Self {
                treatment: treatment(code, work),
                function: format!("C_{function:?}"),
                code: code_name(code),
            },
            Error::LibraryLoading(error) => {
                Self::new(Treatment::Configuration, "dlopen", error.to_string())
            }
            other => Self::new(Treatment::Device, "cryptoki", other.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} answered {}", self.function, self.code)
    }
}

/// The table. Every code is named, so that a new one in `cryptoki` does not compile unseen.
fn treatment(code: &RvError, work: Work) -> Treatment {
    use RvError as C;
    use Treatment as T;
    match (code, work) {
        // The caller's ciphertext, wrapped key or point.
        (
            C::EncryptedDataInvalid
            | C::EncryptedDataLenRange
            | C::DataInvalid
            | C::DataLenRange
            | C::ArgumentsBad
            | C::PublicKeyInvalid
            | C::DomainParamsInvalid
            | C::WrappedKeyInvalid
            | C::WrappedKeyLenRange
            | C::AttributeValueInvalid
            | C::TemplateInconsistent
            | C::MechanismParamInvalid
            | C::SignatureInvalid
            | C::SignatureLenRange
            | C::BufferTooSmall
            | C::GeneralError
            | C::FunctionFailed,
            Work::Callers,
        ) => T::CallersInput,

        // With our own bytes the same codes speak of the token, or of how it is set up.
        (C::GeneralError | C::FunctionFailed | C::BufferTooSmall, Work::Ours) => T::Device,
        (
            C::EncryptedDataInvalid
            | C::EncryptedDataLenRange
            | C::DataInvalid
            | C::DataLenRange
            | C::ArgumentsBad
            | C::PublicKeyInvalid
            | C::DomainParamsInvalid
            | C::WrappedKeyInvalid
            | C::WrappedKeyLenRange
            | C::AttributeValueInvalid
            | C::TemplateInconsistent
            | C::MechanismParamInvalid
            | C::SignatureInvalid
            | C::SignatureLenRange,
            Work::Ours,
        ) => T::Configuration,

        // A dead or poisoned session.
        (
            C::SessionHandleInvalid
            | C::SessionClosed
            | C::OperationActive
            | C::OperationNotInitialized
            | C::SavedStateInvalid
            | C::StateUnsaveable
            | C::FunctionCanceled
            | C::Cancel
            | C::NoEvent
            | C::FunctionNotParallel
            | C::SessionParallelNotSupported,
            _,
        ) => T::Session,

        // Handles and log-in die together when a token was away.
        (
            C::ObjectHandleInvalid
            | C::KeyHandleInvalid
            | C::UnwrappingKeyHandleInvalid
            | C::WrappingKeyHandleInvalid
            | C::UserNotLoggedIn
            | C::KeyChanged
            | C::KeyNeeded
            | C::KeyNotNeeded
            | C::UserAlreadyLoggedIn
            | C::UserAnotherAlreadyLoggedIn
            | C::UserTooManyTypes
            | C::UserTypeInvalid,
            _,
        ) => T::Recycle,

        (
            C::DeviceError
            | C::DeviceMemory
            | C::DeviceRemoved
            | C::TokenNotPresent
            | C::TokenNotRecognized
            | C::SlotIdInvalid
            | C::CryptokiNotInitialized
            | C::CryptokiAlreadyInitialized
            | C::HostMemory
            | C::CantLock
            | C::MutexBad
            | C::MutexNotLocked
            | C::NeedToCreateThreads
            | C::LibraryLoadFailed
            | C::FipsSelfTestFailed
            | C::RandomNoRng
            | C::RandomSeedNotSupported
            | C::ExceededMaxIterations
            | C::FunctionRejected,
            _,
        ) => T::Device,

        (
            C::SessionCount
            | C::SessionExists
            | C::SessionReadOnlyExists
            | C::SessionReadWriteSoExists,
            _,
        ) => T::Pressure,

        (
            C::PinIncorrect
            | C::PinInvalid
            | C::PinLenRange
            | C::PinExpired
            | C::PinLocked
            | C::PinTooWeak
            | C::NewPinMode
            | C::NextOtp
            | C::UserPinNotInitialized,
            _,
        ) => T::Pin,

        (
            C::KeyFunctionNotPermitted
            | C::KeySizeRange
            | C::KeyTypeInconsistent
            | C::KeyIndigestible
            | C::KeyNotWrappable
            | C::KeyUnextractable
            | C::UnwrappingKeySizeRange
            | C::UnwrappingKeyTypeInconsistent
            | C::WrappingKeySizeRange
            | C::WrappingKeyTypeInconsistent
            | C::MechanismInvalid
            | C::CurveNotSupported
            | C::ActionProhibited
            | C::FunctionNotSupported
            | C::AttributeReadOnly
            | C::AttributeSensitive
            | C::AttributeTypeInvalid
            | C::InformationSensitive
            | C::TemplateIncomplete
            | C::SessionReadOnly
            | C::TokenWriteProtected,
            _,
        ) => T::Configuration,

        // Unknown and vendor codes: as a broken device, once.
        (C::VendorDefined(_) | C::UnknownErrorCode(_), _) => T::Device,
    }
}

/// The bare name: `cryptoki`'s texts are paragraphs of the standard.
fn code_name(code: &RvError) -> String {
    match code {
        RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => {
            format!("{number:#x}")
        }
        named => format!("{named:?}"),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    fn of(code: RvError, work: Work) -> Treatment {
        Fault::of(&Error::Pkcs11(code, Function::Sign), work).treatment
    }

    /// SoftHSM 2.6 answers CKR_GENERAL_ERROR to a bad ciphertext: nothing that a caller sends may look
    /// like a broken device.
    #[test]
    fn a_general_error_is_the_callers_fault_only_with_the_callers_bytes() {
        assert_eq!(
            of(RvError::GeneralError, Work::Callers),
            Treatment::CallersInput
        );
        assert_eq!(of(RvError::GeneralError, Work::Ours), Treatment::Device);
    }

    /// One published table calls these permanent, and a wrong PIN transient: the opposite of what is needed.
    #[test]
    fn lost_handles_recycle_and_a_wrong_pin_never_does() {
        assert_eq!(
            of(RvError::ObjectHandleInvalid, Work::Ours),
            Treatment::Recycle
        );
        assert_eq!(
            of(RvError::SessionHandleInvalid, Work::Ours),
            Treatment::Session
        );
        assert_eq!(
            of(RvError::UserNotLoggedIn, Work::Callers),
            Treatment::Recycle
        );
        assert_eq!(of(RvError::PinIncorrect, Work::Ours), Treatment::Pin);
        assert_eq!(
            of(RvError::VendorDefined(0x8000_0001), Work::Ours),
            Treatment::Device
        );
    }

    #[test]
    fn a_fault_names_the_function_and_the_code() {
        let fault = Fault::of(
            &Error::Pkcs11(RvError::DeviceError, Function::Sign),
            Work::Ours,
        );
        assert_eq!(fault.to_string(), "C_Sign answered DeviceError");
    }
}
