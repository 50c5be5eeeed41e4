//! `cmodel-read [--max-memory BYTES] FILE`: list the tensors of a container with the CRC-32 of what
//! they decode to.
//!
//! Exit codes: 0, 1 (the file cannot be read, or nothing written), 2 (usage), 3 (a bad file).

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use cmodel_read::{crc32_of_words, Container, Limits, Result};

const USAGE: &str = "usage: cmodel-read [--max-memory BYTES] FILE";

fn main() -> ExitCode {
    let (path, limits) = match arguments(std::env::args_os().skip(1)) {
        Some(arguments) => arguments,
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("cmodel-read: cannot read {path:?}: {error}");
            return ExitCode::from(1);
        }
    };
    match listing(&file, limits) {
        Ok(json) => match std::io::stdout().write_all(json.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(1),
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

fn arguments(mut given: impl Iterator<Item = OsString>) -> Option<(OsString, Limits)> {
    let mut limits = Limits::default();
    let mut path = None;
    while let Some(argument) = given.next() {
        if argument == "--max-memory" {
            limits.max_memory = given.next()?.to_str()?.parse().ok()?;
        } else if path.is_some() || argument.to_str().map_or(false, |a| a.starts_with("--")) {
            return None;
        } else {
            path = Some(argument);
        }
    }
    Some((path?, limits))
}

fn listing(file: &[u8], limits: Limits) -> Result<String> {
    let container = Container::open(file, limits)?;
    container.verify()?;
    let mut json = String::from("{\"tensors\": {");
    for (i, tensor) in container.tensors().iter().enumerate() {
        if i > 0 {
            json.push_str(", ");
        }
        quote(&mut json, &tensor.name);
        let crc32 = match container.decode_bits(&tensor.name) {
            Some(bits) => crc32_of_words(&bits?),
            None => continue,
        };
        // Writing to a String does not fail.
        let _ = write!(
            json,
            ": {{\"shape\": {:?}, \"crc32\": \"{crc32:08x}\"}}",
            tensor.shape
        );
    }
    json.push_str("}}\n");
    Ok(json)
}

/// Append a JSON string.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..='\x1F' | '\x7F' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}
