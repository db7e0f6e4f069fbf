//! JSON of plain values: `dict` with text keys, `list`, `tuple`, `str`, `int` of 64 bits, `float`, `bool` and `None`, but not of
//! types that are derived from them. It needs no import of Python's `json`, which would be most of the time from a program's
//! start to its first load.

use std::fmt;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Deeper values are left to Python, and refused later. It ends a circle, too.
const MAX_DEPTH: u8 = 100;

/// `None`: the value is not plain.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> Option<Box<RawValue>> {
    to_raw_value(&Plain { value: value.clone(), depth: 0 }).ok()
}

/// `None`: the text has a number whose value or type would change.
pub(crate) fn decode<'py>(py: Python<'py>, text: &RawValue) -> Option<Bound<'py, PyAny>> {
    PlainSeed(py).deserialize(text).ok()
}

struct Plain<'py> {
    value: Bound<'py, PyAny>,
    /// How many arrays and objects are around it.
    depth: u8,
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, depth } = self;
        let within = |value| Plain { value, depth: depth + 1 };
        if *depth > MAX_DEPTH {
            return Err(S::Error::custom("too deep"));
        }
        if value.is_exact_instance_of::<PyString>() {
            Key(value.clone()).serialize(serializer)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            serializer.collect_map(dict.iter().map(|(key, value)| (Key(key), within(value))))
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            serializer.collect_seq(list.iter().map(within))
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            serializer.collect_seq(tuple.iter().map(within))
        } else if value.is_none() {
            serializer.serialize_unit()
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            serializer.serialize_bool(flag.is_true())
        } else if value.is_exact_instance_of::<PyInt>() {
            serializer.serialize_i64(value.extract().map_err(S::Error::custom)?)
        } else {
            let number = value.cast_exact::<PyFloat>().map_err(S::Error::custom)?.value();
            if !number.is_finite() {
                return Err(S::Error::custom("not a JSON number"));
            }
            serializer.serialize_f64(number)
        }
    }
}

/// Text that is exactly a `str`, and Unicode.
struct Key<'py>(Bound<'py, PyAny>);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.cast_exact::<PyString>().map_err(S::Error::custom)?;
        serializer.serialize_str(text.to_str().map_err(S::Error::custom)?)
    }
}

#[derive(Clone, Copy)]
struct PlainSeed<'py>(Python<'py>);

impl<'de, 'py> DeserializeSeed<'de> for PlainSeed<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for PlainSeed<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0, flag).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        number.into_bound_py_any(self.0).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        number.into_bound_py_any(self.0).map_err(E::custom)
    }

    /// It may be an integer of more than 64 bits, and a fraction may be rounded in another way than Python's.
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom("not an integer of 64 bits"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0, text).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.0);
        while let Some(value) = array.next_element_seed(self)? {
            list.append(value).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.0);
        while let Some(key) = object.next_key_seed(self)? {
            dict.set_item(key, object.next_value_seed(self)?).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}
