//! A row as JSON object text, for quarantine.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use serde_json::{Map, Value};

use super::super::partition::instant_text;

/// Each row of `batch` as the text of a JSON object; fields that are null are left out.
pub(super) fn row_texts(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema_ref();
    let row_text = |row: usize| {
        let fields = schema.fields().iter().zip(batch.columns());
        let object: Map<String, Value> = fields
            .filter(|(_, column)| column.is_valid(row))
            .map(|(field, column)| (field.name().clone(), value(column, row)))
            .collect();
        Value::Object(object).to_string()
    };
    (0..batch.num_rows()).map(row_text).collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(..) => instant_text(column.as_primitive::<TimestampMicrosecondType>().value(row)).into(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|i| value(&items, i)).collect()
        }
        DataType::Struct(fields) => {
            let inner = column.as_struct();
            let pairs = fields.iter().zip(inner.columns()).map(|(f, c)| (f.name().clone(), value(c, row)));
            Value::Object(pairs.collect())
        }
        // The wire has no other types.
        _ => Value::Null,
    }
}
