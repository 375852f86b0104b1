//! The ways in which platforms write bytes as text, each in one strict form.

use std::borrow::Cow;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::scheme::{fault::Fault, json};

/// Which bytes a percent encoding leaves as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// The unreserved characters of RFC 3986; a space becomes `%20`.
    Unreserved,
    /// As HTML forms write them: the alphanumerics and `*-._`; a space becomes `+`.
    Form,
}

pub(super) fn percent_encode(input: &[u8], kept: Kept) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    for byte in input {
        match (byte, kept) {
            (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_', _)
            | (b'~', Kept::Unreserved)
            | (b'*', Kept::Form) => output.push(*byte),
            (b' ', Kept::Form) => output.push(b'+'),
            _ => {
                output.push(b'%');
                output.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
            }
        }
    }
    output
}

pub(super) fn percent_decode(input: Cow<'_, [u8]>, kept: Kept) -> Result<Cow<'_, [u8]>, Fault> {
    let special = |byte: &u8| *byte == b'%' || *byte == b'+' && kept == Kept::Form;
    if !input.iter().any(special) {
        return Ok(input);
    }
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    while let Some(byte) = input.get(at) {
        match byte {
            b'%' => {
                let digit = |at: usize| {
                    let digit = input
                        .get(at)
                        .and_then(|byte| char::from(*byte).to_digit(16));
                    digit.and_then(|digit| u8::try_from(digit).ok())
                };
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return Err(Fault::Encoding("% and two hexadecimal digits"));
                };
                output.push(high << 4 | low);
                at += 3;
            }
            b'+' if kept == Kept::Form => {
                output.push(b' ');
                at += 1;
            }
            other => {
                output.push(*other);
                at += 1;
            }
        }
    }
    Ok(Cow::Owned(output))
}

pub(super) fn decode_hex(input: &[u8]) -> Result<Vec<u8>, Fault> {
    hex::decode(input).map_err(|_| Fault::Encoding("pairs of hexadecimal digits"))
}

pub(super) fn decode_base64(input: &[u8]) -> Result<Vec<u8>, Fault> {
    let decoded = STANDARD.decode(input);
    decoded.map_err(|_| Fault::Encoding("padded base64 of RFC 4648 section 4"))
}

pub(super) fn decode_base64url(input: &[u8]) -> Result<Vec<u8>, Fault> {
    let decoded = URL_SAFE_NO_PAD.decode(input);
    decoded.map_err(|_| Fault::Encoding("base64url of RFC 4648 section 5 without padding"))
}

pub(super) fn base64(input: &[u8]) -> Vec<u8> {
    STANDARD.encode(input).into_bytes()
}

pub(super) fn base64url(input: &[u8]) -> Vec<u8> {
    URL_SAFE_NO_PAD.encode(input).into_bytes()
}

/// What PHP's `json_encode` makes of text that is JSON already: `/` and everything beyond ASCII escaped.
pub(super) fn php_json(input: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = std::str::from_utf8(input).map_err(|_| Fault::Utf8)?;
    let mut output = String::with_capacity(text.len());
    let mut after_backslash = false;
    for character in text.chars() {
        match character {
            // `\/` is escaped already.
            '/' if !after_backslash => output.push_str("\\/"),
            character if character.is_ascii() => output.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    output.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        after_backslash = character == '\\' && !after_backslash;
    }
    Ok(output.into_bytes())
}

/// Text as the inside of a JSON string.
pub(super) fn json_escape(input: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = std::str::from_utf8(input).map_err(|_| Fault::Utf8)?;
    Ok(json::escaped(text).into_bytes())
}

/// CRC-32 of ISO 3309, as gzip and PayPal use it.
pub(super) fn crc32(input: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let index = usize::from(crc.to_le_bytes()[0] ^ byte);
        crc >> 8 ^ CRC_TABLE[index]
    };
    !input.iter().fold(!0, step)
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let (mut index, mut start) = (0, 0);
    while index < 256 {
        let (mut crc, mut bit) = (start, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
        start += 1;
    }
    table
}

const CRC_TABLE: [u32; 256] = crc_table();
const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_that_of_the_catalogue() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn percent_encodings_differ_where_they_should() {
        let text = "a b+c/~*é".as_bytes();
        assert_eq!(
            percent_encode(text, Kept::Unreserved),
            b"a%20b%2Bc%2F~%2A%C3%A9"
        );
        assert_eq!(percent_encode(text, Kept::Form), b"a+b%2Bc%2F%7E*%C3%A9");
        for kept in [Kept::Unreserved, Kept::Form] {
            let encoded = percent_encode(text, kept).into();
            assert_eq!(percent_decode(encoded, kept).unwrap(), text);
        }
        for bad in [&b"%"[..], b"%4", b"%zz", b"%+1"] {
            assert!(percent_decode(bad.into(), Kept::Form).is_err());
        }
    }

    /// Values by PHP: `json_encode("http://x/é😀")`.
    #[test]
    fn php_escapes_slashes_and_what_is_not_ascii() {
        let written = php_json("{\"u\":\"http://x/é😀\",\"v\":\"\\/\\\\/\"}".as_bytes()).unwrap();
        assert_eq!(
            written,
            b"{\"u\":\"http:\\/\\/x\\/\\u00e9\\ud83d\\ude00\",\"v\":\"\\/\\\\\\/\"}"
        );
    }
}
