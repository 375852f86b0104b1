//! The integration tests: one binary, which drives the shipped executables as an operator and a caller would.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "what is prepared here waits for the tests that use it"
)]

mod fixtures;

mod harness;
mod layering;
mod pki;
mod schemes;
mod softhsm;
