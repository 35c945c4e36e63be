//! What an app proves itself with, as a user writes it.

use std::{fmt, path::PathBuf};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use mailbridge_core::SecretSource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

/// Credentials that may stand side by side: the old one and the new one of a rotation.
pub const CREDENTIALS_MAX: usize = 2;

/// One credential, or two that are tried in order.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// In the order in which they are tried.
    pub all: Vec<Credential>,
    /// Whether they were written as a list: then a key's path has a number in it.
    listed: bool,
}

impl Credentials {
    /// The keys that lead to something inside one of them, below `credential`.
    pub(super) fn key(&self, index: usize, rest: &str) -> String {
        let number = if self.listed { format!(".{index}") } else { String::new() };
        let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        format!("credential{number}{rest}")
    }
}

impl From<Credential> for Credentials {
    fn from(credential: Credential) -> Self {
        Self { all: vec![credential], listed: false }
    }
}

/// What an app proves itself with, and until when.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What it is.
    pub kind: Kind,
    /// When it ends, as far as its owner has said so. A certificate says so itself.
    pub expires: Option<Timestamp>,
}

/// The kinds of credential.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A client secret: the secret's value, not its id.
    ClientSecret(SecretSource),
    /// A certificate with its private key.
    Certificate(Certificate),
    /// Another issuer's token, such as a Kubernetes service account's: workload identity.
    FederatedToken(FederatedToken),
    /// The identity that Azure gives this machine, app or container.
    ManagedIdentity(ManagedIdentity),
}

impl Kind {
    /// Its key in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClientSecret(_) => "client_secret",
            Self::Certificate(_) => "certificate",
            Self::FederatedToken(_) => "federated_token",
            Self::ManagedIdentity(_) => "managed_identity",
        }
    }
}

/// A certificate with its private key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file with the certificate, and with its private key unless `key_file` has it; or a PFX
    /// (PKCS #12) file with both. Read again when it changes.
    pub file: PathBuf,
    /// A PEM file with the private key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The password of a PFX file; none when absent.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// How assertions are signed; `ps256` when absent.
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// How assertions are signed (learn.microsoft.com, entra certificate-credentials).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// RSA-PSS, with the certificate's SHA-256 thumbprint: what Microsoft asks for.
    #[default]
    Ps256,
    /// RSA PKCS #1, with the SHA-1 thumbprint: the older form, for login services that know no
    /// other.
    Rs256,
}

/// Another issuer's token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FederatedToken {
    /// The file with the token, read anew for each token request; `$AZURE_FEDERATED_TOKEN_FILE`
    /// when absent. Tenant and client id may then come from `$AZURE_TENANT_ID` and
    /// `$AZURE_CLIENT_ID`, as the workload identity webhook sets them.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// The identity that Azure gives this machine, app or container. One of the ids says which, where
/// there are several; without any it is the system-assigned one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// The identity's client id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The identity's object (principal) id.
    #[serde(default)]
    pub object_id: Option<String>,
    /// The identity's resource id, `/subscriptions/…`.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// The endpoint of the machine's metadata service (IMDS), where it is not Azure's own. Plain
    /// http on loopback and on link-local addresses only.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// A credential as it is written: one key says its kind.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credential")]
struct Keys {
    /// A client secret: the secret's value, not its id.
    #[serde(default)]
    client_secret: Option<SecretSource>,
    /// A certificate with its private key.
    #[serde(default)]
    certificate: Option<Certificate>,
    /// Another issuer's token, such as a Kubernetes service account's: workload identity.
    #[serde(default)]
    federated_token: Option<FederatedToken>,
    /// The identity that Azure gives this machine, app or container.
    #[serde(default)]
    managed_identity: Option<ManagedIdentity>,
    /// When it ends: a date such as 2027-01-31, or an RFC 3339 time. Told as a metric, and from 30
    /// days before in the log.
    #[serde(default, deserialize_with = "end")]
    #[schemars(with = "Option<String>")]
    expires: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Keys::deserialize(deserializer)?;
        let kinds = [
            keys.client_secret.map(Kind::ClientSecret),
            keys.certificate.map(Kind::Certificate),
            keys.federated_token.map(Kind::FederatedToken),
            keys.managed_identity.map(Kind::ManagedIdentity),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(Self { kind, expires: keys.expires }),
            _ => Err(de::Error::custom(
                "expected one of client_secret, certificate, federated_token, managed_identity; \
                 two credentials are a list of two",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrTwo;
        impl<'de> Visitor<'de> for OneOrTwo {
            type Value = Credentials;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a credential such as `{ client_secret: { file: PATH } }`, or two")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Credentials, A::Error> {
                Credential::deserialize(MapAccessDeserializer::new(map)).map(Credentials::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Credentials, A::Error> {
                let all: Vec<Credential> = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                if (1..=CREDENTIALS_MAX).contains(&all.len()) {
                    return Ok(Credentials { all, listed: true });
                }
                Err(de::Error::custom("expected one credential, or two during a rotation"))
            }
        }
        deserializer.deserialize_any(OneOrTwo)
    }
}

impl JsonSchema for Credentials {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credentials".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Keys>();
        schemars::json_schema!({
            "description": "what the app proves itself with; two are tried in order, as during a rotation",
            "oneOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": 2 }]
        })
    }
}

/// The end of a day (UTC), or a time.
fn end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let day = || {
        let next = text.parse::<Date>().ok()?.tomorrow().ok()?;
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let end = text.parse().ok().or_else(day);
    end.map(Some).ok_or_else(|| {
        de::Error::custom(
            "expected a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z",
        )
    })
}

/// What Azure puts into the environment of a program, by the names of its variables. The program
/// reads it; nothing here does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `AZURE_TENANT_ID`.
    pub tenant: Option<String>,
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub federated_token_file: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority_host: Option<String>,
    /// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`: App Service, Functions, Container Apps. The header
    /// is named, not kept: it is read where it is used.
    pub identity_endpoint: Option<String>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: another host for IMDS.
    pub imds_host: Option<String>,
}

/// The variable that holds what App Service wants to see in its header.
pub(crate) const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

impl Environment {
    /// Takes what concerns credentials from an environment.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        Self {
            tenant: given("AZURE_TENANT_ID"),
            client_id: given("AZURE_CLIENT_ID"),
            federated_token_file: given("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
            authority_host: given("AZURE_AUTHORITY_HOST"),
            identity_endpoint: given("IDENTITY_ENDPOINT")
                .filter(|_| given(IDENTITY_HEADER).is_some()),
            imds_host: given("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        }
    }
}
