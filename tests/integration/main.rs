//! The integration tests: one binary, which drives the shipped executables as an operator and a caller would.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "what is prepared here waits for the tests that use it"
)]

mod admin;
mod approval;
mod audit;
mod audit_settings;
mod audit_sinks;
mod audited;
mod auditor;
mod begun;
mod calls;
mod check;
mod cli;
mod config;
mod dev;
mod documents;
mod faults;
mod fixtures;
mod harness;
mod http2;
mod import;
mod jose;
mod key_life;
mod keys;
mod killed;
mod layering;
mod lifecycle;
mod low_disk;
mod mtls;
mod no_lookup;
mod partners;
mod pki;
mod platform;
mod platform_records;
mod policy;
mod policy_conditions;
mod quotas;
mod repeated;
mod requests;
mod schemes;
mod sign;
mod softhsm;
mod store;
mod store_lost;
