//! Whether two columns hold the same values, and how a value reads.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::found::fitted;
use crate::error::Result;

/// Relative difference up to which two floats are the same: what another order of adding up makes.
pub const TOLERANCE: f64 = 1e-9;

/// Whether two numbers are the same but for the order in which they were added up.
pub(super) fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// For each row, whether both have the same value, or none. `expected` takes the type of `found`.
pub(super) fn same(expected: &ArrayRef, found: &ArrayRef) -> Result<BooleanArray> {
    let expected = &fitted(expected, found.data_type())?;
    if found.data_type() == &DataType::Float64 {
        let (expected, found) = (expected.as_primitive::<Float64Type>(), found.as_primitive::<Float64Type>());
        let both = expected.iter().zip(found);
        return Ok(both
            .map(|pair| {
                Some(match pair {
                    (Some(a), Some(b)) => close(a, b),
                    (a, b) => a.is_none() && b.is_none(),
                })
            })
            .collect());
    }
    if found.data_type().is_nested() {
        return Ok((0..found.len()).map(|row| Some(expected.slice(row, 1) == found.slice(row, 1))).collect());
    }
    Ok(not_distinct(expected, found)?)
}

/// A value for people.
pub(super) fn text(values: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_null("null").with_display_error(true);
    ArrayFormatter::try_new(values, &options).map_or_else(|e| e.to_string(), |f| f.value(row).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;
    use std::sync::Arc;

    #[test]
    fn values_are_the_same_up_to_the_order_of_adding_and_nulls_only_among_themselves() {
        let cases: [(ArrayRef, ArrayRef, [bool; 3]); 4] = [
            (
                Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), Some(1.0), None])),
                Arc::new(Float64Array::from(vec![Some(0.3), Some(1.000_001), None])),
                [true, false, true],
            ),
            (
                Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])),
                Arc::new(StringArray::from(vec![Some("a"), None, None])),
                [true, false, true],
            ),
            (
                Arc::new(Int32Array::from(vec![Some(50), Some(50), None])),
                Arc::new(Float64Array::from(vec![Some(50.0), Some(50.5), Some(0.0)])),
                [true, false, false],
            ),
            (
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![]), None])),
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None, None])),
                [true, false, true],
            ),
        ];
        for (expected, found, wanted) in cases {
            let same: Vec<bool> = same(&expected, &found).unwrap().iter().map(|v| v == Some(true)).collect();
            assert_eq!(same, wanted, "{found:?}");
        }
    }
}
