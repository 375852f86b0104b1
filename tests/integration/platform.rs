//! Platforms' messages through the shipped daemon: signed, verified, explained, remembered and refused.

mod command;
mod fields;
mod origin;
mod plain;
mod vectors;
mod verdicts;
mod world;
