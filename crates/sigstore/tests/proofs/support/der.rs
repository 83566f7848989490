//! The subset of DER (X.690) that is needed to write and search certificates.

/// A value with its tag and length.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length.try_into().unwrap()],
        0x80..=0xff => vec![tag, 0x81, length.try_into().unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(0x30, parts)
}

/// An object identifier, from its encoded content.
pub(crate) fn identifier(encoded: &[u8]) -> Vec<u8> {
    value(0x06, &[encoded])
}

/// A time in the form that certificates use until 2049 (RFC 5280, 4.1.2.5.1).
pub(crate) fn time(at: jiff::Timestamp) -> Vec<u8> {
    value(0x17, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
}

/// The values within a constructed value, each with its tag and length.
pub(crate) fn parts(constructed: &[u8]) -> Vec<&[u8]> {
    let (start, end) = content(constructed);
    let mut rest = &constructed[start..end];
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, others) = rest.split_at(content(rest).1);
        parts.push(part);
        rest = others;
    }
    parts
}

/// Returns the range of the content of the first value.
fn content(der: &[u8]) -> (usize, usize) {
    let (start, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        other => unreachable!("{other:#x}: longer than any value in these tests"),
    };
    (start, start + length)
}
