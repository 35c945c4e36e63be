//! What a refusal of the token endpoint means: AADSTS numbers to codes.
//!
//! Numbers: learn.microsoft.com, entra reference-error-codes. Microsoft may change them, so they
//! only choose the name of a failure; every failure here holds the connection, whatever the number.
//! The description is never passed on: it may repeat what was sent.

use std::time::Duration;

use mailbridge_core::{Code, Error, Scope, Verdict};
use serde::Deserialize;

use crate::http::Skew;

/// The login service's own advice against a caller that loops (50196) is to stop for minutes.
const LOOP_WAIT: Duration = Duration::from_mins(5);

#[derive(Default, Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    trace_id: Option<String>,
    #[serde(default)]
    correlation_id: Option<String>,
}

/// The failure that an answer other than 2xx stands for. Always *blocked* for the connection.
/// `skew`: how far this machine's clock is off, if too far.
pub(super) fn refusal(
    status: u16,
    wait: Option<Duration>,
    skew: Option<Skew>,
    body: &[u8],
) -> Error {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return unreadable(status, wait);
    };
    let numbers = refusal.numbers();
    let known =
        numbers.iter().find_map(|number| meaning(*number, skew).map(|code| (*number, code)));
    let passing = status == 429 || status >= 500 || refusal.error == "temporarily_unavailable";
    let (number, code) = match known {
        Some((number, code)) => (Some(number), code),
        None if passing => (numbers.first().copied(), Code::LoginUnavailable),
        None => (numbers.first().copied(), Code::CredentialRefused),
    };
    let wait = if number == Some(50_196) { wait.max(Some(LOOP_WAIT)) } else { wait };
    let mut error = held(code, sentence(code), wait).with("status", status);
    if let Some(number) = number {
        error = error.with("aadsts", format_args!("AADSTS{number}"));
    }
    if let Some(skew) = skew.filter(|_| code == Code::CredentialClockSkew) {
        error = error.with("clock_skew_seconds", skew.seconds());
    }
    for (name, id) in [("trace_id", &refusal.trace_id), ("correlation_id", &refusal.correlation_id)]
    {
        if let Some(id) = id {
            error = error.with(name, crate::http::printable(id));
        }
    }
    error
}

fn unreadable(status: u16, wait: Option<Duration>) -> Error {
    let (code, detail) = if status == 429 || status >= 500 {
        (Code::LoginUnavailable, "the login service answered with a passing failure")
    } else {
        (Code::LoginUnexpected, "the answer of the token endpoint is not the login service's own")
    };
    held(code, detail, wait).with("status", status)
}

fn held(code: Code, detail: &'static str, after: Option<Duration>) -> Error {
    Error::new(code, Verdict::Blocked { scope: Scope::Connection, after }, detail)
}

impl Refusal {
    /// The numbers given, or else the one that the description starts with.
    fn numbers(&self) -> Vec<u64> {
        if !self.error_codes.is_empty() {
            return self.error_codes.clone();
        }
        let told = self.error_description.split("AADSTS").nth(1).unwrap_or_default();
        let digits: String = told.chars().take_while(char::is_ascii_digit).take(12).collect();
        digits.parse().into_iter().collect()
    }
}

/// Numbers of one code, in the words of the reference.
fn meaning(number: u64, skew: Option<Skew>) -> Option<Code> {
    Some(match number {
        // "the provided assertion is not within its valid time range", "… has expired"
        700_024 | 500_133 => Code::CredentialClockSkew,
        // "the assertion is invalid", for its time among other reasons
        50_012 | 50_013 | 50_027 if skew.is_some() => Code::CredentialClockSkew,
        // "invalid signature, the key was not found", "no thumbprint nor key id in the header",
        // "not a supported signature algorithm", "subject name in certificate isn't authorized"
        700_027 | 5_002_723 | 5_002_738 | 700_030 => Code::CredentialCertificateUnknown,
        // "no matching federated identity record found", "no configured federated credentials"
        70_021 | 70_025 | 700_211..=700_213 => Code::CredentialFederationUnknown,
        // "blocked by Conditional Access"
        53_003 | 530_032 | 50_131 => Code::CredentialPolicyBlocked,
        // "not supported over common or consumers", "not configured as a multi-tenant application",
        // "no tenant-identifying information", "assertion audience does not match realm issuer"
        9_001_023 | 50_194 | 50_059 | 700_023 => Code::CredentialEndpointWrong,
        7_000_215 => Code::CredentialSecretWrong,
        7_000_222 => Code::CredentialSecretExpired,
        // "application not found in the directory", "missing service principal", "the assertion's
        // application is not the client_id"
        700_016 | 700_011 | 7_000_229 | 700_021 | 90_072 => Code::CredentialAppNotFound,
        7_000_112 | 70_001 | 1_000_031 => Code::CredentialAppDisabled,
        90_002 | 900_382 | 900_432 | 90_038 => Code::CredentialTenantNotFound,
        65_001 | 650_056 | 90_094 => Code::CredentialConsentMissing,
        50_033 | 50_196 | 90_006 | 90_012 | 90_024 | 90_033 | 90_055 | 90_090 => {
            Code::LoginUnavailable
        }
        _ => return None,
    })
}

fn sentence(code: Code) -> &'static str {
    match code {
        Code::LoginUnavailable => "the login service cannot give a token now",
        other => other.meaning(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn refused(status: u16, number: u64) -> Error {
        skewed(status, number, None)
    }

    fn skewed(status: u16, number: u64, skew: Option<Skew>) -> Error {
        let body = serde_json::json!({
            "error": "invalid_client",
            "error_description": format!("AADSTS{number}: secret 'hunter2' is wrong. Trace ID: x"),
            "error_codes": [number],
            "trace_id": "0b5f3a0e-0000-4000-8000-00000000abcd",
            "correlation_id": "not an\nid",
        });
        refusal(status, None, skew, body.to_string().as_bytes())
    }

    #[test]
    fn each_number_has_its_code() {
        let cases = [
            (401, 7_000_215, Code::CredentialSecretWrong),
            (401, 7_000_222, Code::CredentialSecretExpired),
            (400, 700_016, Code::CredentialAppNotFound),
            (400, 7_000_112, Code::CredentialAppDisabled),
            (400, 90_002, Code::CredentialTenantNotFound),
            (400, 65_001, Code::CredentialConsentMissing),
            (400, 53_003, Code::CredentialPolicyBlocked),
            (401, 700_027, Code::CredentialCertificateUnknown),
            (401, 5_002_723, Code::CredentialCertificateUnknown),
            (400, 70_021, Code::CredentialFederationUnknown),
            (400, 70_025, Code::CredentialFederationUnknown),
            (400, 700_211, Code::CredentialFederationUnknown),
            (400, 700_212, Code::CredentialFederationUnknown),
            (400, 700_213, Code::CredentialFederationUnknown),
            (400, 50_013, Code::CredentialRefused),
            (400, 700_024, Code::CredentialClockSkew),
            (400, 500_133, Code::CredentialClockSkew),
            (400, 700_021, Code::CredentialAppNotFound),
            (400, 7_000_229, Code::CredentialAppNotFound),
            (400, 700_023, Code::CredentialEndpointWrong),
            (400, 9_001_023, Code::CredentialEndpointWrong),
            (400, 50_194, Code::CredentialEndpointWrong),
            (400, 7_000_999, Code::CredentialRefused),
            (400, 90_033, Code::LoginUnavailable),
            (503, 7_000_999, Code::LoginUnavailable),
        ];
        for (status, number, code) in cases {
            let error = refused(status, number);
            assert_eq!(error.code(), code, "{number}");
            let expected = Verdict::Blocked { scope: Scope::Connection, after: None };
            assert_eq!(error.verdict(), expected);
            assert_eq!(error.field("aadsts"), Some(format!("AADSTS{number}").as_str()));
        }
    }

    #[test]
    fn a_clock_that_is_off_is_named_where_it_is_to_blame() {
        let now = SystemTime::now();
        let ahead = Some(Skew::between(now, now - Duration::from_mins(10)));
        for number in [700_024, 500_133, 50_013] {
            let error = skewed(401, number, ahead);
            assert_eq!(error.code(), Code::CredentialClockSkew, "{number}");
            assert_eq!(error.field("clock_skew_seconds"), Some("600"));
        }
        assert_eq!(refused(401, 700_024).field("clock_skew_seconds"), None);
        let other = skewed(401, 7_000_215, ahead);
        assert_eq!(other.code(), Code::CredentialSecretWrong);
        assert_eq!(other.field("clock_skew_seconds"), None);
    }

    #[test]
    fn ids_are_told_and_descriptions_are_not() {
        let error = refused(401, 7_000_215);
        assert_eq!(error.field("trace_id"), Some("0b5f3a0e-0000-4000-8000-00000000abcd"));
        assert_eq!(error.field("correlation_id"), Some("…"));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_number_may_stand_in_the_description_only() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#;
        let error = refusal(401, None, None, body);
        assert_eq!(error.code(), Code::CredentialSecretExpired);
    }

    #[test]
    fn throttling_and_loops_wait() {
        let minute = Some(Duration::from_mins(1));
        let body = br#"{"error":"temporarily_unavailable"}"#;
        let verdict = |after| Verdict::Blocked { scope: Scope::Connection, after };
        assert_eq!(refusal(429, minute, None, body).verdict(), verdict(minute));
        assert_eq!(refused(400, 50_196).verdict(), verdict(Some(LOOP_WAIT)));
    }

    #[test]
    fn a_page_in_place_of_json_is_unexpected_unless_it_passes() {
        assert_eq!(refusal(403, None, None, b"<html>").code(), Code::LoginUnexpected);
        assert_eq!(refusal(302, None, None, b"").code(), Code::LoginUnexpected);
        assert_eq!(refusal(503, None, None, b"<html>").code(), Code::LoginUnavailable);
    }
}
