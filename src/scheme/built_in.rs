//! The schemes of `config/schemes`, which are part of the program.

/// A scheme file that is built in.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The file's name, such as `stripe.toml`.
    pub file: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// All of them, by the names of their files.
pub const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/built_in_schemes.rs"));
