//! The words of one command line as bash reads them, as far as they are fixed: quotes, escapes, `$'…'`.
//!
//! Variables and commands, for which bash would put something else, are refused: what is sent would not be what
//! stands there.

/// The words of a command.
pub(super) fn words(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut words = Vec::new();
    while let Some(word) = reader.word()? {
        words.push(word);
    }
    Ok(words)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next word; `None` at the end.
    fn word(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut word = None;
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' if word.is_none() => {}
                b'\r' | b'\n' if word.is_none() => {
                    // A command ends with its line; a further one would be another command.
                    let rest = &self.text[self.at..];
                    if words_seen(self.text, self.at) && !rest.trim_ascii().is_empty() {
                        return Err(
                            self.error("the line ends, and more follows; expected \\ at its end")
                        );
                    }
                }
                b' ' | b'\t' => break,
                b'\r' | b'\n' => {
                    self.at -= 1;
                    break;
                }
                b'\\' => match self.next() {
                    // A line that goes on.
                    Some(b'\n') => {}
                    Some(b'\r') if self.peek() == Some(b'\n') => self.at += 1,
                    Some(byte) => word.get_or_insert_with(Vec::new).push(byte),
                    None => return Err(self.error("a backslash ends the text")),
                },
                b'\'' => {
                    let end = self.until(b'\'')?;
                    word.get_or_insert_with(Vec::new).extend_from_slice(end);
                }
                b'"' => self.double(word.get_or_insert_with(Vec::new))?,
                b'$' if self.peek() == Some(b'\'') => {
                    self.at += 1;
                    self.dollar(word.get_or_insert_with(Vec::new))?;
                }
                b'$' | b'`' => {
                    return Err(
                        self.error("the shell would put something else here; write what is sent")
                    );
                }
                b'|' | b'&' | b';' | b'<' | b'>' | b'(' | b')' => {
                    let what = char::from(byte);
                    return Err(
                        self.error(&format!("{what:?} ends a command unless it is in quotes"))
                    );
                }
                b'#' if word.is_none() => return Err(self.error("a comment; expected a word")),
                byte => word.get_or_insert_with(Vec::new).push(byte),
            }
        }
        Ok(word)
    }

    /// The rest of `"…"`.
    fn double(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.next() {
                    Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => word.push(byte),
                    Some(b'\n') => {}
                    Some(byte) => word.extend([b'\\', byte]),
                    None => return Err(self.error("a backslash ends the text")),
                },
                Some(b'$' | b'`') => {
                    return Err(
                        self.error("the shell would put something else here; write what is sent")
                    );
                }
                Some(byte) => word.push(byte),
                None => return Err(self.error("\" is not closed")),
            }
        }
    }

    /// The rest of `$'…'`.
    fn dollar(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            match self.next() {
                Some(b'\'') => return Ok(()),
                Some(b'\\') => self.escape(word)?,
                Some(byte) => word.push(byte),
                None => return Err(self.error("$' is not closed")),
            }
        }
    }

    fn escape(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        let unknown = "an escape that $'…' does not have";
        let byte = self.next().ok_or_else(|| self.error("$' is not closed"))?;
        word.push(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'e' | b'E' => 27,
            b'f' => 12,
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => byte,
            b'x' => {
                let value = self.digits(16, 2).ok_or_else(|| self.error(unknown))?;
                u8::try_from(value).map_err(|_| self.error(unknown))?
            }
            b'0'..=b'7' => {
                self.at -= 1;
                let value = self.digits(8, 3).ok_or_else(|| self.error(unknown))?;
                u8::try_from(value).map_err(|_| self.error(unknown))?
            }
            b'u' | b'U' => {
                let most = if byte == b'u' { 4 } else { 8 };
                let value = self.digits(16, most).and_then(char::from_u32);
                let character = value.ok_or_else(|| self.error(unknown))?;
                word.extend(character.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            _ => return Err(self.error(unknown)),
        });
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize) -> Option<u32> {
        let mut value = None;
        for _ in 0..most {
            let Some(digit) = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(radix))
            else {
                break;
            };
            value = Some(value.unwrap_or(0) * radix + digit);
            self.at += 1;
        }
        value
    }

    fn until(&mut self, end: u8) -> Result<&[u8], String> {
        let start = self.at;
        let Some(length) = self.text[start..].iter().position(|byte| *byte == end) else {
            return Err(self.error("' is not closed"));
        };
        self.at = start + length + 1;
        Ok(&self.text[start..start + length])
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn error(&self, why: &str) -> String {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line}: {why}")
    }
}

/// Whether anything but white space stands before.
fn words_seen(text: &[u8], at: usize) -> bool {
    !text[..at].trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each line was given to bash: `bash -c "printf '<%s>' WORDS"`.
    #[test]
    fn words_are_those_of_bash() {
        for (text, expected) in [
            (r"a  b", vec!["a", "b"]),
            (r"a\ b ''", vec!["a b", ""]),
            (r#"'a\n'"b\n\"\\\$"c"#, vec!["a\\nb\\n\"\\$c"]),
            (r"$'a\'b\t\x41\101\u20ac\U1f600'", vec!["a'b\tAA€😀"]),
            ("a \\\n b", vec!["a", "b"]),
            ("a\\\nb", vec!["ab"]),
            ("\n a 'b\nc'\n", vec!["a", "b\nc"]),
            (r"a#b {c} d=e?f", vec!["a#b", "{c}", "d=e?f"]),
        ] {
            let words = words(text.as_bytes()).unwrap();
            let words: Vec<_> = words
                .into_iter()
                .map(|word| String::from_utf8(word).unwrap())
                .collect();
            assert_eq!(words, expected, "{text}");
        }
        assert_eq!(words(br"$'\xff\xc3'").unwrap(), [b"\xff\xc3"]);
    }

    #[test]
    fn what_a_shell_would_expand_is_refused() {
        for (text, says) in [
            ("a $HOME", "would put something else"),
            ("\"a $HOME\"", "would put something else"),
            ("a `ls`", "would put something else"),
            ("a https://x/?a=1&b=2", "'&' ends a command"),
            ("a | b", "'|' ends a command"),
            ("a # b", "a comment"),
            ("a 'b", "' is not closed"),
            ("a \"b", "\" is not closed"),
            ("a $'b", "$' is not closed"),
            ("a $'\\q'", "an escape"),
            ("a $'\\ud800'", "an escape"),
            ("a \\", "a backslash ends"),
            ("a\nb", "line 2: the line ends"),
        ] {
            let error = words(text.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
