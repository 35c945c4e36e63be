//! Finding a claims challenge among the `WWW-Authenticate` headers of an answer.
//!
//! learn.microsoft.com, entra claims-challenge: there may be several headers, several schemes in
//! one, and parameters in any order; only `error="insufficient_claims"` is a challenge.

use http_auth::{ChallengeRef, parser::ChallengeParser};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::token::Challenge;

/// The first claims challenge that can be read.
pub(super) fn find(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(ChallengeParser::new).filter_map(Result::ok).find_map(|it| claims(&it))
}

fn claims(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |wanted: &str| {
        let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    if parameter("error")? != "insufficient_claims" {
        return None;
    }
    Challenge::decode(&parameter("claims")?)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// `{"access_token":{"nbf":{"essential":true}}}`
    const CLAIMS: &str = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==";

    fn found(values: &[&str]) -> bool {
        let values = values.iter().map(|text| HeaderValue::from_str(text).unwrap());
        let headers: HeaderMap = values.map(|value| (WWW_AUTHENTICATE, value)).collect();
        let known = Challenge::decode(CLAIMS);
        assert!(known.is_some());
        find(&headers).inspect(|found| assert_eq!(Some(found), known.as_ref())).is_some()
    }

    #[test]
    fn a_challenge_is_found_however_it_is_written() {
        let plain = format!(r#"Bearer error="insufficient_claims", claims="{CLAIMS}""#);
        let graphs = format!(
            r#"Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize",
               client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims",
               claims="{CLAIMS}""#
        )
        .replace('\n', "");
        let turned = format!(
            r#"bearer claims="{CLAIMS}",realm="a \"b\", c=d" , ERROR="insufficient_claims""#
        );
        let among = format!(r#"Basic realm="x", {plain}, PoP realm="""#);
        for text in [&plain, &graphs, &turned, &among] {
            assert!(found(&[text]), "{text}");
        }
        assert!(found(&[r#"Basic realm="x""#, "not, a = header", &plain]));
    }

    #[test]
    fn what_is_not_a_challenge_is_not_found() {
        let others = [
            r#"Bearer realm="", error="invalid_token""#.to_owned(),
            format!(r#"Bearer error="invalid_token", claims="{CLAIMS}""#),
            format!(r#"PoP error="insufficient_claims", claims="{CLAIMS}""#),
            r#"Bearer error="insufficient_claims""#.to_owned(),
            r#"Bearer error="insufficient_claims", claims="no json""#.to_owned(),
            format!(r#"Bearer error="insufficient_claims", claims="{CLAIMS}"#),
            String::new(),
        ];
        for text in &others {
            assert!(!found(&[text]), "{text}");
        }
        assert!(!found(&[]));
    }
}
