//! Values that are written as text in a form of their own, in a configuration and on the command
//! line.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// A value with a text form.
pub trait Text: Sized {
    /// What the text must be, for people.
    const EXPECTED: &str;

    /// Reads the text form.
    fn read(text: &str) -> Option<Self>;
}

/// Reads a value that may be left out.
pub fn optional<'de, T: Text, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData)).map(Some)
}

/// Reads a value on the command line.
pub fn argument<T: Text>(text: &str) -> Result<T, String> {
    T::read(text).ok_or_else(|| format!("expected {}", T::EXPECTED))
}

struct Reader<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        argument(text).map_err(E::custom)
    }
}
