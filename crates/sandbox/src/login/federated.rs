//! The federated credential: another issuer's token in place of a proof of the client's own.
//!
//! Facts: learn.microsoft.com/entra/workload-id/workload-identity-federation. Issuer, subject and
//! audience are compared with case. The issuer's keys are those that the app's credentials carry.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::assertion::Assertion;
use super::refusal::{Refusal, assertion as wrong};
use crate::config::{App, FederatedCredential};

/// ES256 is taken for issuers in a laboratory; of Entra only RS256 is documented.
const ALGORITHMS: [(&str, Algorithm); 2] =
    [("RS256", Algorithm::RS256), ("ES256", Algorithm::ES256)];

/// Checks that one of the app's credentials means this token, and that the token is good.
pub fn check(app: &App, assertion: &Assertion<'_>, now: Timestamp) -> Result<(), Refusal> {
    if app.federated.is_empty() {
        return Err(wrong::not_federated(&app.client_id));
    }
    let algorithm = assertion.algorithm(&ALGORITHMS)?;
    let credential = find(app, assertion)?;
    let family = match algorithm {
        Algorithm::ES256 => AlgorithmFamily::Ec,
        _ => AlgorithmFamily::Rsa,
    };
    let id = assertion.header("kid");
    let mut keys = credential
        .keys
        .0
        .iter()
        // a key without an id may be any
        .filter(|one| one.id.is_none() || one.id.as_deref() == id)
        .filter(|one| one.key.family() == family)
        .peekable();
    if keys.peek().is_none() {
        return Err(wrong::unknown_issuer_key(id.unwrap_or_default()));
    }
    if !keys.any(|one| assertion.is_signed_by(&one.key, algorithm)) {
        return Err(wrong::bad_issuer_signature());
    }
    assertion.check_time(now).map(|_| ())
}

/// The credential for the token's issuer, subject and audience, or which of the three has none.
fn find<'a>(app: &'a App, assertion: &Assertion<'_>) -> Result<&'a FederatedCredential, Refusal> {
    let (issuer, subject) = (assertion.require("iss")?, assertion.require("sub")?);
    let audiences = assertion.audiences()?;
    let mut candidates: Vec<&FederatedCredential> = app.federated.iter().collect();
    candidates.retain(|one| one.issuer == issuer);
    if candidates.is_empty() {
        return Err(wrong::no_record_for("issuer", issuer, 700_211));
    }
    candidates.retain(|one| one.subject == subject);
    if candidates.is_empty() {
        return Err(wrong::no_record_for("subject", subject, 700_213));
    }
    candidates.retain(|one| audiences.contains(&one.audience.as_str()));
    candidates
        .first()
        .copied()
        .ok_or_else(|| wrong::no_record_for("audience", audiences.first().unwrap_or(&""), 700_212))
}
