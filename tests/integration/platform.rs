//! Platforms' messages through the shipped daemon: signed, verified, explained, remembered and refused.

mod access_tokens;
mod bad_messages;
mod command;
mod covered;
mod decryption;
mod families;
mod fields;
mod live_keys;
mod origin;
mod plain;
mod refusals;
mod replay;
mod rfc9421;
pub mod shared;
mod values;
mod vectors;
pub mod world;
