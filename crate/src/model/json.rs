//! JSON values -> types of the program.
//!
//! Text is parsed to a [`Value`] first, so that the parser is compiled for that type alone. What reads a type from the value
//! takes structs as objects only, enums as names only, and asks for each kind of value by its own method: serde_json's own
//! accepts more, and is three times the code, which users download.

use serde::de::value::{Error, StringDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, map};
use std::vec;

/// Parses a text.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    read(serde_json::from_str(text).map_err(|error| error.to_string())?)
}

/// Parses a text that is an object.
pub fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text).map_err(|error| error.to_string())? {
        Value::Object(object) => Ok(object),
        other => Err(format!("{other} is not an object")),
    }
}

/// Reads a type from a value.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(Json(value)).map_err(|error| error.to_string())
}

struct Json(Value);

impl Json {
    fn refused<T>(self, wanted: &str) -> Result<T, Error> {
        Err(Error::custom(format!("{} is not {wanted}", self.0)))
    }

    fn object(self) -> Result<Object, Error> {
        match self.0 {
            Value::Object(entries) => Ok(Object { entries: entries.into_iter(), next: None }),
            _ => self.refused("an object"),
        }
    }

    fn text(self) -> Result<String, Error> {
        match self.0 {
            Value::String(text) => Ok(text),
            _ => self.refused("a text"),
        }
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(List(items.into_iter())),
            Value::Object(_) => visitor.visit_map(self.object()?),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => self.refused("true or false"),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_u64() {
            Some(value) => visitor.visit_u64(value),
            None => self.refused("a whole number"),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_f64() {
            Some(value) => visitor.visit_f64(value),
            None => self.refused("a number"),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(List(items.into_iter())),
            _ => self.refused("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.object()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.object()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(StringDeserializer::new(self.text()?))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 char str bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        identifier
    }
}

/// The items of a list.
struct List(vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for List {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Json(item))).transpose()
    }
}

/// The entries of an object.
struct Object {
    entries: map::IntoIter,
    next: Option<Value>,
}

impl<'de> MapAccess<'de> for Object {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.next = Some(value);
        seed.deserialize(StringDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Json(self.next.take().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        name: String,
        size: usize,
        share: f32,
        absent: Option<bool>,
        colour: Colour,
        #[serde(default)]
        list: Vec<BTreeMap<String, i32>>,
    }

    const TEXT: &str = r#"{"name": "a", "size": 3, "share": 1, "absent": null, "colour": "red", "other": [{}],
        "list": [{"b": -1}]}"#;

    #[test]
    fn types_are_read_as_serde_json_reads_them() {
        let row: Row = parse(TEXT).expect("a row");
        assert_eq!(row, serde_json::from_str(TEXT).expect("a row"));
        assert_eq!((row.size, row.colour, &row.list[0]["b"]), (3, Colour::Red, &-1));
    }

    #[test]
    fn other_types_are_refused_and_named() {
        let refused = |from: &str, to: &str| parse::<Row>(&TEXT.replace(from, to)).expect_err(to);
        assert_eq!(refused("3", "-3"), "-3 is not a whole number");
        assert_eq!(refused("3", "\"3\""), "\"3\" is not a whole number");
        assert_eq!(refused("\"a\"", "[]"), "[] is not a text");
        assert_eq!(refused("\"red\"", "7"), "7 is not a text");
        assert!(refused("red", "blue").contains("unknown variant `blue`"));
        assert_eq!(refused("\"size\": 3,", ""), "missing field `size`");
        assert_eq!(parse::<Row>("[]").expect_err("a list"), "[] is not an object");
        assert_eq!(parse_object("[1]").expect_err("a list"), "[1] is not an object");
    }
}
