//! Secrets: values that cannot be printed, and the places they come from.

use std::{borrow::Cow, fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{Code, Error, Result};

/// A secret value. It has no `Display` and no `Serialize`, its `Debug` shows nothing, and its memory
/// is cleared when it goes.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a value into safe keeping.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text in quotes")
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Secret, E> {
                Ok(Secret::new(value))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Where a secret comes from. It is read at each use, so a rotated file is taken up without a
/// restart.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape")]
pub enum SecretSource {
    /// A file that holds the secret and nothing else; a final line break is dropped.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// The secret itself, in the configuration. Works; `mailbridge check` warns about it.
    Literal(Secret),
}

impl SecretSource {
    /// Reads the secret now.
    ///
    /// # Errors
    /// `credential_unreadable`, when the file or variable is missing, empty or not UTF-8. The verdict
    /// is *blocked*: no request is at fault, and it heals once the source is there.
    pub async fn read(&self) -> Result<Secret> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env(name) => Self::read_env(name),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|cause| {
                    unreadable("the secret's file cannot be read")
                        .with("file", path.display())
                        .with("cause", cause.kind())
                })?;
                not_empty(text.trim_end_matches(['\r', '\n']))
                    .map_err(|error| error.with("file", path.display()))
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one door to secrets in the environment")]
    fn read_env(name: &str) -> Result<Secret> {
        let text = std::env::var(name).map_err(|_| {
            unreadable("the secret's environment variable is not set").with("variable", name)
        })?;
        not_empty(&text).map_err(|error| error.with("variable", name))
    }
}

fn not_empty(text: &str) -> Result<Secret> {
    if text.trim().is_empty() {
        return Err(unreadable("the secret is empty"));
    }
    Ok(Secret::new(text))
}

fn unreadable(detail: &'static str) -> Error {
    Error::blocked(Code::CredentialUnreadable, detail)
}

/// The two ways to write it: text, or an object with one key.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected `{ file: PATH }`, `{ env: NAME }`, or the secret as text in quotes"
)]
enum Shape {
    Literal(Secret),
    File(FileShape),
    Env(EnvShape),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShape {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvShape {
    env: String,
}

impl From<Shape> for SecretSource {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Literal(secret) => Self::Literal(secret),
            Shape::File(FileShape { file }) => Self::File(file),
            Shape::Env(EnvShape { env }) => Self::Env(env),
        }
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "where a secret comes from; files are read again when they change",
            "oneOf": [
                { "type": "object", "properties": { "file": { "type": "string" } },
                  "required": ["file"], "additionalProperties": false },
                { "type": "object", "properties": { "env": { "type": "string" } },
                  "required": ["env"], "additionalProperties": false },
                { "type": "string", "description": "the secret itself (not recommended)" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
        let source: SecretSource = serde_json::from_str(r#""hunter2""#).unwrap();
        assert!(!format!("{source:?}").contains("hunter2"));
    }

    #[test]
    fn a_wrong_shape_does_not_repeat_the_value() {
        let error = serde_json::from_str::<SecretSource>("123456").unwrap_err().to_string();
        assert!(error.contains("{ file: PATH }") && !error.contains("123456"), "{error}");
    }

    #[tokio::test]
    async fn a_file_is_read_without_its_line_break_and_refused_when_empty() {
        let file = std::env::temp_dir().join(format!("mailbridge-secret-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, "abc\r\n").unwrap();
        let source = SecretSource::File(file.clone());
        assert_eq!(source.read().await.unwrap().expose(), "abc");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(source.read().await.unwrap_err().code(), Code::CredentialUnreadable);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(source.read().await.unwrap_err().code(), Code::CredentialUnreadable);
    }
}
