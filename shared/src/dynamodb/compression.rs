//! DynamoDB charges a write for every KB of the item, and stores no more than 400: large data is deflated (RFC 1951).

use std::cell::RefCell;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress,
    create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::config::MAX_DATA_BYTES;

/// The bytes of an item that one write unit pays for (DynamoDB Developer Guide, "DynamoDB read and write operations").
const WRITE_UNIT_BYTES: usize = 1024;

/// The rest of an item: its names, the key (128 bytes), the tag (24), and numbers at half a byte a digit.
const OTHER_BYTES: usize = 225;

/// The fastest level. A better one costs more time than it saves.
const LEVEL: i32 = 1;

thread_local! {
    /// Kept, because it is a quarter of a megabyte.
    static COMPRESSOR: RefCell<CompressorOxide> = RefCell::new(CompressorOxide::new(
        create_comp_flags_from_zip_params(LEVEL, 0, CompressionStrategy::Default as i32),
    ));
}

/// The attribute's value for this data: as text, or deflated where that takes fewer write units.
pub(crate) fn to_attribute(data: &str) -> AttributeValue {
    let units = write_units(data.len());
    if units > 1
        && let Some(deflated) = deflate(data.as_bytes())
        && write_units(deflated.len()) < units
    {
        return AttributeValue::B(Blob::new(deflated));
    }
    AttributeValue::S(data.to_owned())
}

/// `None`: it would be no smaller.
fn deflate(data: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut deflated = vec![0; data.len()];
        let (status, _, length) = compress(compressor, data, &mut deflated, TDEFLFlush::Finish);
        deflated.truncate(length);
        (status == TDEFLStatus::Done).then_some(deflated)
    })
}

/// The data in an attribute's value. `None`: the value is not data.
pub(crate) fn from_attribute(value: AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(data) => Some(data),
        AttributeValue::B(deflated) => {
            let data = decompress_to_vec_with_limit(deflated.as_ref(), MAX_DATA_BYTES).ok()?;
            String::from_utf8(data).ok()
        }
        _ => None,
    }
}

fn write_units(data_bytes: usize) -> usize {
    (data_bytes + OTHER_BYTES).div_ceil(WRITE_UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn data_comes_back(data in "\\PC{0,3000}") {
            prop_assert_eq!(from_attribute(to_attribute(&data)), Some(data));
        }
    }

    #[test]
    fn data_is_deflated_when_that_saves_a_write_unit() {
        let is_deflated = |data: String| matches!(to_attribute(&data), AttributeValue::B(_));
        let within_one_unit = WRITE_UNIT_BYTES - OTHER_BYTES;
        assert!(!is_deflated("a".repeat(within_one_unit)));
        assert!(is_deflated("a".repeat(within_one_unit + 1)));
        // Data that does not get smaller stays text.
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (state >> 33) as u8 % 90)
        });
        assert!(!is_deflated(noise.take(1100).collect()));
    }

    #[test]
    fn a_value_that_is_not_data_is_none() {
        let bomb = compress_to_vec(&vec![b'a'; MAX_DATA_BYTES + 1], 1);
        for bytes in [Vec::new(), b"text".to_vec(), compress_to_vec(&[0xff], 1), bomb] {
            assert_eq!(from_attribute(AttributeValue::B(Blob::new(bytes))), None);
        }
        assert_eq!(from_attribute(AttributeValue::Bool(true)), None);
    }
}
