//! Which attacks a verified message was proof against, and which it was not, in words.

use crate::scheme::{Act, Protections};

use super::verify::Protection;

/// Whether a message is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// It was not asked: the message is not authentic, and such are not to be remembered.
    NotAsked,
    /// It is not.
    None,
    /// It is.
    For {
        /// For how long.
        seconds: u64,
        /// Messages are told apart by all that is signed of them, for want of an id.
        by_content: bool,
    },
}

impl Protection {
    /// What the scheme gives.
    pub(super) fn of(given: Protections, act: Act, memory: Memory) -> Self {
        let mut lacking = Vec::new();
        let mut say = |missing: bool, sentence: &str| {
            if missing {
                lacking.push(sentence.to_owned());
            }
        };
        let answer = act == Act::VerifyResponse;
        say(
            !given.signed,
            "the platform does not sign these messages: only the TLS connection tells whose they are",
        );
        say(
            given.signed && given.window_seconds.is_none(),
            "no time is signed, so an old message can't be told from a new one by its age",
        );
        say(
            given.signed && memory == Memory::None && !(answer && given.echo),
            "messages are not remembered: one that is sent again is valid again",
        );
        let by_content = matches!(memory, Memory::For { by_content, .. } if by_content);
        say(
            by_content,
            "messages have no id that is signed: two of the same content are one and the same, and after a day neither is known any more",
        );
        say(
            answer && !given.echo,
            "answers do not name their requests: the answer to one can be passed off as that to another",
        );
        say(
            given.unescaped,
            "the platform joins fields without escaping them: who could choose the text of one could have had it signed as others",
        );
        Self {
            window_seconds: given.window_seconds,
            memory_seconds: match memory {
                Memory::For { seconds, .. } => Some(seconds),
                Memory::NotAsked | Memory::None => None,
            },
            echo: given.echo,
            lacking,
        }
    }
}
