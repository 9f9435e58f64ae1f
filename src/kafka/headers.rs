//! Record headers as JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// A JSON object of names and base64 values: `{"ce_type":"Z3Bz"}`. A null value is `null`; a name that stands there more
/// than once has a list of its values in order. A name that is no UTF-8 has its broken bytes replaced.
pub(crate) fn to_json<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> String {
    let mut object = Map::new();
    for (name, value) in headers {
        let value = value.map_or(Value::Null, |bytes| Value::String(STANDARD.encode(bytes)));
        match object.entry(String::from_utf8_lossy(name)) {
            serde_json::map::Entry::Vacant(free) => {
                free.insert(value);
            }
            serde_json::map::Entry::Occupied(mut taken) => match taken.get_mut() {
                Value::Array(values) => values.push(value),
                first => *first = Value::Array(vec![first.take(), value]),
            },
        }
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let headers: [(&[u8], Option<&[u8]>); 6] = [
            (b"a", Some(b"\x00\xff")),
            (b"none", None),
            (b"a", Some(b"")),
            (b"quote\"", Some(b"x")),
            (b"a", None),
            (b"\xff", Some(b"y")),
        ];
        let json: Value = serde_json::from_str(&to_json(headers.into_iter())).unwrap();
        assert_eq!(json["a"], serde_json::json!(["AP8=", "", null]));
        assert_eq!(json["none"], Value::Null);
        assert_eq!(json["quote\""], "eA==");
        assert_eq!(json["\u{fffd}"], "eQ==");
        assert_eq!(json.as_object().unwrap().len(), 4);
    }
}
