//! JSON from outside, in the one reading that every parser shares: a repeated member is refused at any depth, because
//! two parsers may keep different ones (RFC 7515 §4, RFC 8259 §4), and nesting is bounded.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// How deep values may nest; tokens and metadata of real parties stay below six.
const MAX_DEPTH: usize = 16;

/// The members of an object.
pub type Object = Map<String, Value>;

/// Reads a JSON object.
pub fn parse_object(bytes: &[u8]) -> Result<Object, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let object = deserializer.deserialize_map(ObjectVisitor { depth: MAX_DEPTH })?;
    deserializer.end()?;
    Ok(object)
}

struct ObjectVisitor {
    depth: usize,
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(AnyValue { depth: self.depth })?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(object)
    }
}

/// Any value, in which objects and arrays may nest `depth` deep.
struct AnyValue {
    depth: usize,
}

impl AnyValue {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| E::custom("values are nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(AnyValue { depth })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        ObjectVisitor { depth: self.deeper()? }.visit_map(members).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"a":1,"a":1}"#)]
    #[case(r#"{"a":1,"\u0061":2}"#)]
    #[case(r#"{"act":{"sub":"x","sub":"y"}}"#)]
    #[case(r#"{"aud":[{"x":1,"x":2}]}"#)]
    #[case(r#"[{"a":1}]"#)]
    #[case(r#""a""#)]
    #[case("null")]
    #[case("")]
    #[case(r#"{"a":1}{"a":1}"#)]
    #[case(r#"{"a":1} x"#)]
    #[case(r#"{"a":NaN}"#)]
    #[case(r#"{"a":Infinity}"#)]
    #[case(r#"{"a":1e999}"#)]
    #[case(r#"{"a":01}"#)]
    #[case("{'a':1}")]
    #[case(r#"{"a":1,}"#)]
    #[case("{\"a\":\"\u{0}\"}")]
    #[case(r#"{"a":"\ud800"}"#)]
    fn refused(#[case] text: &str) {
        assert!(parse_object(text.as_bytes()).is_err(), "{text}");
    }

    #[test]
    fn depth_is_bounded_and_no_stack_is_lost() {
        let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(parse_object(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse_object(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse_object(nested(1_000_000).as_bytes()).is_err());
        assert!(parse_object(r#"{"a":"#.repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn broken_utf8_is_refused() {
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
    }

    proptest! {
        #[test]
        fn what_it_reads_serde_json_reads_alike(text in r#"\{("[a-c]":(1|-2|3\.5|"x"|null|true|\[\]|\{"d":0\}),?){0,4}\}"#) {
            if let Ok(object) = parse_object(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(object));
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&bytes);
        }
    }
}
