//! The subset of DER (X.690) that is needed to write a timestamp and to read the issuer of a certificate or a timestamp.

/// Encodes a value with its tag and length.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let head = match significant {
        [] => vec![tag, 0],
        [short @ 0..=0x7f] => vec![tag, *short],
        // A length has at most eight bytes.
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap_or_default()], long].concat(),
    };
    [head, content].concat()
}

/// Encodes a value that consists of others (SEQUENCE).
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(SEQUENCE, parts)
}

/// Encodes an object identifier from its encoded content.
pub(crate) fn identifier(encoded: &[u8]) -> Vec<u8> {
    value(0x06, &[encoded])
}

/// The tag of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// The tag of a SET.
pub(crate) const SET: u8 = 0x31;

/// A decoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    /// The tag.
    pub(crate) tag: u8,
    /// The content, without tag and length.
    pub(crate) content: &'a [u8],
    /// The complete encoding, with tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Value<'a> {
    /// Reads bytes that consist of exactly one value. Returns `None` if they do not.
    pub(crate) fn only(bytes: &'a [u8]) -> Option<Self> {
        first(bytes).filter(|value| value.whole.len() == bytes.len())
    }

    /// Reads the values in this one. Returns `None` if the content is not a sequence of values.
    pub(crate) fn parts(self) -> Option<Vec<Self>> {
        let mut rest = self.content;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let part = first(rest)?;
            rest = &rest[part.whole.len()..];
            parts.push(part);
        }
        Some(parts)
    }
}

/// Reads the first value in the bytes.
fn first(bytes: &[u8]) -> Option<Value<'_>> {
    /// The maximum number of bytes of a length.
    const LENGTH_MAX: usize = 4;
    let (tag, length) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match length {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let size = usize::from(long & 0x7f);
            let digits = bytes.get(2..2 + size).filter(|_| (1..=LENGTH_MAX).contains(&size))?;
            (2 + size, digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
        }
    };
    let whole = bytes.get(..start.checked_add(length)?)?;
    // Tags of more than one byte do not occur in the structures that are read here.
    (tag & 0x1f != 0x1f).then_some(Value { tag, content: &whole[start..], whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_values_of_any_length_are_decoded() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let der = sequence(&[&value(0x04, &[&content]), &identifier(&[0x2a])]);
            let parts = Value::only(&der).unwrap().parts().unwrap();
            assert_eq!((parts[0].tag, parts[0].content), (0x04, content.as_slice()), "{length}");
            assert_eq!(parts[1].whole, [0x06, 1, 0x2a]);
        }
    }

    #[test]
    fn bytes_that_are_not_der_are_rejected() {
        let good = sequence(&[&value(0x04, &[&[1; 200]])]);
        for end in 0..good.len() {
            assert_eq!(Value::only(&good[..end]), None, "{end}");
        }
        assert_eq!(Value::only(&[good.as_slice(), &[0]].concat()), None, "trailing byte");
        for bad in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x85, 0, 0, 0, 0, 1, 0], &[0x1f, 1, 0], &[0x30, 0xff]] {
            assert_eq!(Value::only(bad), None, "{bad:x?}");
        }
        assert_eq!(Value::only(&[0x30, 2, 0x04, 5]).unwrap().parts(), None);
    }
}
