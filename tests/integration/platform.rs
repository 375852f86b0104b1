//! Platforms' messages through the shipped daemon: signed, verified, explained, remembered and refused.

mod vectors;
mod verdicts;
mod world;
