//! Section 3: the manifest, a Protocol Buffers message read by hand.

use crate::conventions::Cursor;
use crate::error::{bad_manifest, limit_memory, unknown, Error, ErrorName, Result};

const MOST_DEPTH: u32 = 100;
/// Layers that this reader makes room for: an empty one takes 3 bytes in a manifest that a deflated
/// section of a few kilobytes may hold, and a hundred in memory.
const MOST_LAYERS: usize = 1 << 20;

/// What a reader of tensors needs of the manifest.
#[derive(Default)]
pub(crate) struct Manifest<'a> {
    /// The names of the layers of the network.
    pub layers: Vec<&'a str>,
    /// The named `param` entries: layer, index within the layer, name.
    pub params: Vec<(usize, u64, &'a str)>,
    pub directory: Option<&'a [u8]>,
    pub has_mean_values: bool,
}

enum Value<'a> {
    Varint(u64),
    Fixed32,
    Fixed64,
    Bytes(&'a [u8]),
}

/// Call `visit` with every field of a message but groups, which no schema here has.
fn fields<'a>(
    bytes: &'a [u8],
    depth: u32,
    mut visit: impl FnMut(u32, Value<'a>) -> Result<()>,
) -> Result<()> {
    let mut cursor = Cursor::new(bytes, ErrorName::BadManifest);
    let mut groups: Vec<u32> = Vec::new();
    while !cursor.is_empty() {
        let tag = cursor.any_varint()?;
        let number = match u32::try_from(tag) {
            Ok(tag) if tag >= 8 => tag >> 3,
            _ => return cursor.fail(format!("the manifest has the impossible tag {tag}")),
        };
        let value = match tag & 7 {
            0 => Value::Varint(cursor.any_varint()?),
            1 => {
                cursor.take(8)?;
                Value::Fixed64
            }
            2 => {
                let size = cursor.any_varint()?;
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Value::Bytes(cursor.take(size)?)
            }
            3 => {
                groups.push(number);
                if groups.len() as u32 + depth > MOST_DEPTH {
                    return cursor.fail("messages are nested too deeply");
                }
                continue;
            }
            4 => {
                if groups.pop() != Some(number) {
                    return cursor.fail("a group ends that did not begin");
                }
                continue;
            }
            5 => {
                cursor.take(4)?;
                Value::Fixed32
            }
            kind => return cursor.fail(format!("the manifest has the wire type {kind}")),
        };
        if groups.is_empty() {
            visit(number, value)?;
        }
    }
    if groups.is_empty() {
        Ok(())
    } else {
        cursor.fail("a group does not end")
    }
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => bad_manifest(format!("{what} is not UTF-8")),
    }
}

impl<'a> Manifest<'a> {
    /// Parse a `cmodel.container.Manifest`; features that it requires are refused.
    pub fn parse(bytes: &'a [u8]) -> Result<Manifest<'a>> {
        let mut manifest = Manifest::default();
        let mut required: Option<Error> = None;
        let mut last_unknown = 0;
        fields(bytes, 1, |number, value| {
            match (number, value) {
                (1, Value::Bytes(network)) => manifest.network(network)?,
                (3, Value::Bytes(directory)) => manifest.directory = Some(directory),
                (4, Value::Bytes(transform)) => manifest.transform(transform)?,
                (5, Value::Bytes(name)) => {
                    let name = text(name, "a required feature")?;
                    required = unknown::<()>(format!("the feature {name:?} is required")).err();
                }
                (2, Value::Bytes(field)) => fields(field, 2, |number, value| {
                    if let (1, Value::Varint(layer)) = (number, value) {
                        // A uint32: Protocol Buffers drop the upper bits.
                        last_unknown = last_unknown.max(layer as u32);
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        match required {
            Some(error) => Err(error),
            None if last_unknown as usize > manifest.layers.len() => {
                bad_manifest("there are unknown fields of a layer that is not there")
            }
            None => Ok(manifest),
        }
    }

    fn network(&mut self, bytes: &'a [u8]) -> Result<()> {
        fields(bytes, 2, |number, value| match (number, value) {
            (2, Value::Bytes(_)) => bad_manifest("the network has layers of the V1 format"),
            (100, Value::Bytes(layer)) => self.layer(layer),
            _ => Ok(()),
        })
    }

    fn layer(&mut self, bytes: &'a [u8]) -> Result<()> {
        let index = self.layers.len();
        if index == MOST_LAYERS {
            return limit_memory(format!("there are more than {MOST_LAYERS} layers"));
        }
        let (mut layer_name, mut param) = ("", 0);
        fields(bytes, 3, |number, value| {
            match (number, value) {
                (1, Value::Bytes(name)) => layer_name = text(name, "the name of a layer")?,
                (6, Value::Bytes(spec)) => {
                    let mut param_name = "";
                    fields(spec, 4, |number, value| {
                        if let (1, Value::Bytes(name)) = (number, value) {
                            param_name = text(name, "the name of a parameter")?;
                        }
                        Ok(())
                    })?;
                    if !param_name.is_empty() {
                        self.params.push((index, param, param_name));
                    }
                    param += 1;
                }
                (7, Value::Bytes(_)) => {
                    return bad_manifest(format!("layer {index} has blobs in the manifest"));
                }
                _ => {}
            }
            Ok(())
        })?;
        self.layers.push(layer_name);
        Ok(())
    }

    fn transform(&mut self, bytes: &'a [u8]) -> Result<()> {
        fields(bytes, 2, |number, value| {
            match (number, value) {
                (5 | 6, Value::Bytes(packed)) if packed.len() % 8 != 0 => {
                    return bad_manifest("numbers of the transform are cut off");
                }
                (6, Value::Bytes(packed)) => self.has_mean_values |= !packed.is_empty(),
                (6, Value::Fixed64) => self.has_mean_values = true,
                _ => {}
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_named_parameters_are_found() {
        // network { layer { name: "a" param {} param { name: "w" } } layer {} } directory: "\0"
        let bytes = [
            0x0A, 16, 0xA2, 0x06, 10, 0x0A, 1, b'a', 0x32, 0, 0x32, 3, 0x0A, 1, b'w', 0xA2, 0x06,
            0, 0x1A, 1, 0,
        ];
        let manifest = Manifest::parse(&bytes).unwrap();
        assert_eq!(manifest.layers, ["a", ""]);
        assert_eq!(manifest.params, [(0, 1, "w")]);
        assert_eq!(manifest.directory, Some(&[0u8][..]));
        for end in (1..bytes.len()).filter(|&end| end != 18) {
            assert!(Manifest::parse(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Manifest::parse(&[0, 0]).is_err(), "there is no field 0");
    }

    #[test]
    fn required_features_are_unknown() {
        let error = Manifest::parse(&[0x2A, 1, b'x']).err().unwrap();
        assert_eq!(error.name, ErrorName::UnknownFeature);
        assert!(error.explanation.contains("\"x\""));
    }

    #[test]
    fn groups_are_skipped_to_a_depth() {
        let nested = |n: usize| [vec![0x3B; n], vec![0x3C; n]].concat();
        assert!(Manifest::parse(&nested(50)).is_ok());
        assert!(Manifest::parse(&nested(100)).is_err());
        assert!(Manifest::parse(&[0x3B]).is_err());
        assert!(Manifest::parse(&[0x3C]).is_err());
    }
}
