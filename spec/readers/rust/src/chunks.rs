//! What Huffman and rANS streams have in common: alphabets, streams of one symbol, and chunks
//! (sections 6, 7.3 and 8.2).

use crate::conventions::{crc32, le32, zeros, Cursor};
use crate::error::{bad_stream, Error, ErrorName, Result};

const MOST_SYMBOLS: u64 = 2048;

/// Read A, the number of symbols of an alphabet for integers of 8 or 16 bits.
pub(crate) fn read_alphabet(stream: &mut Cursor, bits: u32) -> Result<usize> {
    let alphabet = stream.varint32()?;
    if alphabet > MOST_SYMBOLS {
        return bad_stream(format!("an alphabet of {alphabet} symbols is too large"));
    }
    check_alphabet(alphabet as usize, bits)?;
    Ok(alphabet as usize)
}

fn check_alphabet(alphabet: usize, bits: u32) -> Result<()> {
    if bits == 8 && alphabet > 256 {
        return bad_stream(format!("{alphabet} symbols are too many for 8 bits"));
    }
    Ok(())
}

/// Make room for integers of an alphabet, which has symbols if there are integers; if and only if,
/// where the table is the stream's own.
pub(crate) fn begin(alphabet: usize, count: u64, bits: u32, shared: bool) -> Result<Vec<u16>> {
    check_alphabet(alphabet, bits)?;
    if (alphabet == 0) != (count == 0) && !(shared && count == 0) {
        return bad_stream(format!("{alphabet} symbols cannot code {count} integers"));
    }
    zeros(count)
}

/// The integers of a stream of one symbol, the last of the alphabet, or of none.
pub(crate) fn constant(stream: &Cursor, alphabet: usize, mut out: Vec<u16>) -> Result<Vec<u16>> {
    if !stream.is_empty() {
        return bad_stream("bytes follow a table that needs none");
    }
    out.fill(alphabet.saturating_sub(1) as u16);
    Ok(out)
}

/// Integers that are one chunk, which nothing announces.
pub(crate) const SMALL: usize = 4096;

/// Decode integers chunk by chunk: cut `out` into chunks of 2^`log`, and give each with its bytes.
pub(crate) fn each(
    mut stream: Cursor,
    log: u32,
    out: &mut [u16],
    mut decode: impl FnMut(&[u8], &mut [u16]) -> Result<()>,
) -> Result<()> {
    let size = 1usize << log;
    if out.len() <= size {
        return decode(stream.rest(), out);
    }
    let chunks = (out.len() - 1) / size + 1;
    let table = stream.take(chunks.saturating_mul(8))?;
    for (i, (entry, part)) in table.chunks_exact(8).zip(out.chunks_mut(size)).enumerate() {
        let bytes = stream.take(le32(entry) as usize)?;
        if crc32(bytes) != le32(&entry[4..]) {
            let text = format!("chunk {i} of a stream is damaged");
            return Err(Error::new(ErrorName::Checksum, text));
        }
        decode(bytes, part)?;
    }
    if stream.is_empty() {
        Ok(())
    } else {
        bad_stream("bytes follow the last chunk of a stream")
    }
}
