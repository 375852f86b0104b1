//! A PKCS#11 module that forwards every call to a real module, and fails when it is told to. For tests only.
//!
//! It is not a mock: a call that is not told to fail reaches the real token, so whatever a fault leaves behind
//! (an operation still active, a handle gone stale) is what the real module makes of it.
//!
//! The process that loads it has two variables in its environment: [`control::MODULE_VARIABLE`], the path of the real module, and
//! [`control::CONTROL_VARIABLE`], the path of a file through which the test gives its orders, at any time, to every
//! process that maps it. Without the second it only forwards.
//!
//! ```no_run
//! use chancery_fault_module::control::{Control, Fault, Function, Times};
//!
//! let control = Control::create("/tmp/control".as_ref()).unwrap();
//! control.set(Function::Sign, Fault::Return(0x30), Times::Once, 0).unwrap(); // CKR_DEVICE_ERROR
//! // ... have something signed by a process that loaded this module ...
//! assert_eq!(control.hits(Function::Sign).unwrap(), 1);
//! ```

pub mod control;
mod forward;
