//! The certificate credential: an assertion that the client signs itself.
//!
//! Facts: learn.microsoft.com/entra/identity-platform/certificate-credentials. PS256 with
//! `x5t#S256` is today's form; RS256 with `x5t` the form before. Which check comes first in the
//! service is not documented; here it is names, then key, then audience, then time.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::assertion::{Assertion, Endpoint};
use super::refusal::{Refusal, assertion as wrong};
use crate::config::{App, Certificate};
use crate::world::World;

const ALGORITHMS: [(&str, Algorithm); 2] =
    [("RS256", Algorithm::RS256), ("PS256", Algorithm::PS256)];

/// Checks everything that an assertion of the client itself says.
pub fn check(
    world: &World,
    app: &App,
    assertion: &Assertion<'_>,
    endpoint: &Endpoint<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let algorithm = assertion.algorithm(&ALGORITHMS)?;
    let (sha1, sha256) = (assertion.header("x5t"), assertion.header("x5t#S256"));
    if sha1.is_none() && sha256.is_none() {
        return Err(wrong::no_thumbprint());
    }
    let (issuer, subject) = (assertion.require("iss")?, assertion.require("sub")?);
    if issuer != subject {
        return Err(wrong::subject_is_not_issuer());
    }
    if !subject.eq_ignore_ascii_case(&app.client_id) {
        return Err(wrong::other_client());
    }
    let named = app.certificates.iter().find(|one| one.is_named(sha1, sha256));
    let named = named.ok_or_else(|| wrong::unknown_key(&app.client_id, sha1.or(sha256)))?;
    check_key(app, assertion, named, algorithm, now)?;
    check_audience(assertion, endpoint, algorithm)?;
    let until = assertion.check_time(now)?;
    let jti = assertion.require("jti")?;
    let fresh = world.ledger.first_use(&app.client_id, jti, until, now);
    if world.settings.refuse_replays && !fresh {
        return Err(wrong::replayed());
    }
    Ok(())
}

fn check_key(
    app: &App,
    assertion: &Assertion<'_>,
    certificate: &Certificate,
    algorithm: Algorithm,
    now: Timestamp,
) -> Result<(), Refusal> {
    if now < certificate.valid_from || now >= certificate.valid_until {
        return Err(wrong::expired_key(&app.client_id, certificate));
    }
    let key = DecodingKey::from_rsa_der(&certificate.public_key);
    if !assertion.is_signed_by(&key, algorithm) {
        return Err(wrong::bad_signature(&app.client_id, certificate));
    }
    Ok(())
}

fn check_audience(
    assertion: &Assertion<'_>,
    endpoint: &Endpoint<'_>,
    algorithm: Algorithm,
) -> Result<(), Refusal> {
    match assertion.audiences()?.as_slice() {
        [one] if endpoint.is_meant_by(one, algorithm == Algorithm::RS256) => Ok(()),
        [_] => Err(wrong::other_audience()),
        several => Err(wrong::several_audiences(several.len())),
    }
}
