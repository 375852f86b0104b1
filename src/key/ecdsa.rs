//! The two ways of writing an ECDSA signature: r||s of fixed width, and DER.

use crate::algorithm::Curve;

/// Writes r||s as the DER `SEQUENCE { r INTEGER, s INTEGER }` of RFC 3279 section 2.2.3.
///
/// Returns `None` if the signature is not twice as long as the curve is wide.
pub fn raw_to_der(curve: Curve, raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() != 2 * curve.width() {
        return None;
    }
    let (r, s) = raw.split_at(curve.width());
    let body = [integer(r), integer(s)].concat();
    let mut der = vec![0x30];
    length(body.len(), &mut der);
    der.extend(body);
    Some(der)
}

/// A non-negative INTEGER: no leading zero but the one that keeps it from being negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(number.len() - 1);
    let digits = &number[start..];
    let sign = usize::from(digits[0] & 0x80 != 0);
    let mut der = vec![0x02];
    length(digits.len() + sign, &mut der);
    der.extend(std::iter::repeat_n(0, sign));
    der.extend_from_slice(digits);
    der
}

/// A definite length of at most 255, which is enough for P-521 (139 bytes).
fn length(length: usize, der: &mut Vec<u8>) {
    let length = u8::try_from(length).expect("a signature on the largest curve has 139 bytes");
    if length >= 0x80 {
        der.push(0x81);
    }
    der.push(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6979 appendix A.2.5, SHA-256, message "sample"; the DER made with `openssl asn1parse -genconf`.
    #[test]
    fn rfc6979_p256_sample() {
        let raw = hex::decode(concat!(
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ))
        .unwrap();
        let der = concat!(
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        );
        assert_eq!(hex::encode(raw_to_der(Curve::P256, &raw).unwrap()), der);
        assert_eq!(raw_to_der(Curve::P384, &raw), None);
    }

    #[test]
    fn small_numbers_lose_their_zeros_and_large_sequences_get_a_long_length() {
        let mut raw = vec![0; 64];
        raw[31] = 1;
        assert_eq!(
            hex::encode(raw_to_der(Curve::P256, &raw).unwrap()),
            "3006020101020100"
        );
        let der = raw_to_der(Curve::P521, &[0x01; 132]).unwrap();
        assert_eq!(der[..3], [0x30, 0x81, 136]);
        assert_eq!(der.len(), 139);
    }
}
