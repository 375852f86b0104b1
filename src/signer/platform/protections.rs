//! Which attacks a verified message was proof against, and which it was not, in words.

use crate::scheme::{Act, Protections};

use super::verify::Protection;

impl Protection {
    /// What the scheme gives; `by_content` if messages are told apart by all that is signed of them.
    pub(super) fn of(given: Protections, act: Act, memory: Option<u64>, by_content: bool) -> Self {
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
            given.signed && memory.is_none() && !(answer && given.echo),
            "messages are not remembered: one that is sent again is valid again",
        );
        say(
            by_content,
            "messages have no id that is signed: two of the same content are one and the same, and after a day neither is known any more",
        );
        say(
            answer && !given.echo,
            "answers do not name their requests: the answer to one can be passed off as that to another",
        );
        Self {
            window_seconds: given.window_seconds,
            memory_seconds: memory,
            echo: given.echo,
            lacking,
        }
    }
}
