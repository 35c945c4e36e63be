//! Which finding a refused token request is: a pure function of the failure.
//!
//! The AADSTS number chooses first, the failure's code where there is none. Numbers:
//! learn.microsoft.com, entra reference-error-codes; those of federated credentials as clients
//! report them. Microsoft may change numbers: what is not known becomes `credential_refused`, with
//! the number shown.

use mailbridge_core::{Code, Error};

use super::{Finding, Step};

/// What is known of the connection that was refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// The client id is the tenant's id.
    pub(super) client_id_is_tenant: bool,
    /// The app is used in tenants other than its own.
    pub(super) multi_tenant: bool,
    /// The credential is another issuer's token.
    pub(super) federated: bool,
}

/// The finding that a failure to get a token stands for.
pub(super) fn finding(error: &Error, asked: Asked) -> Finding {
    let number = error.field("aadsts").and_then(|text| text.strip_prefix("AADSTS"));
    let number = number.and_then(|digits| digits.parse::<u64>().ok());
    let throttled = error.field("status") == Some("429");
    number.and_then(|number| of_number(number, asked)).unwrap_or_else(|| of_code(error, throttled))
}

fn of_number(number: u64, asked: Asked) -> Option<Finding> {
    Some(match number {
        700_016 | 700_011 if asked.client_id_is_tenant => Finding::ClientIdIsTenant,
        700_016 | 700_011 if asked.multi_tenant => Finding::AppNotInTenant,
        700_016 | 700_011 => Finding::AppNotFound,
        7_000_229 => Finding::AppNotInTenant,
        50_194 => Finding::AppSingleTenant,
        7_000_112 | 70_001 | 1_000_031 => Finding::AppDisabled,
        53_003 | 530_032 | 50_131 => Finding::AppBlocked,
        65_001 | 650_056 | 90_094 => Finding::ConsentMissing,
        7_000_215 => Finding::SecretWrong,
        7_000_222 => Finding::SecretExpired,
        50_012 | 50_013 | 50_027 if asked.federated => Finding::FederatedRefused,
        700_027 => Finding::CertificateUnknown,
        70_021 | 70_025 | 700_211..=700_213 => Finding::FederatedNoMatch,
        90_002 => Finding::TenantUnknown,
        900_382 | 900_432 | 90_038 | 500_011 => Finding::CloudWrong,
        9_001_023 | 50_059 => Finding::TenantUnnamed,
        700_024 | 500_133 => Finding::ClockWrong,
        50_196 | 90_055 => Finding::LoginThrottled,
        _ => return None,
    })
}

fn of_code(error: &Error, throttled: bool) -> Finding {
    match error.code() {
        Code::CredentialUnreadable => Finding::CredentialUnreadable,
        // seen here, before anything was sent
        Code::CredentialSecretWrong => Finding::SecretIsId,
        Code::LoginUnreachable => Finding::LoginUnreachable,
        Code::LoginUnexpected => Finding::LoginNotMicrosoft,
        Code::LoginUnavailable if throttled => Finding::LoginThrottled,
        Code::LoginUnavailable => Finding::LoginUnavailable,
        _ => Finding::CredentialRefused,
    }
}

/// Steps that a refusal proves right: the login service looks for the tenant, then for the app,
/// then at the credential, then at the policies.
pub(super) fn proves(finding: Finding) -> &'static [Step] {
    match finding {
        Finding::SecretWrong
        | Finding::SecretExpired
        | Finding::CertificateUnknown
        | Finding::FederatedNoMatch => &[Step::Register, Step::Endpoint],
        Finding::AppNotFound
        | Finding::AppNotInTenant
        | Finding::AppSingleTenant
        | Finding::AppDisabled
        | Finding::AppBlocked
        | Finding::ConsentMissing
        | Finding::CredentialRefused
        | Finding::FederatedRefused => &[Step::Endpoint],
        _ => &[],
    }
}

/// Whether the login host was not even asked: the credential failed before.
pub(super) fn is_local(finding: Finding) -> bool {
    matches!(finding, Finding::CredentialUnreadable | Finding::SecretIsId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(number: u64, asked: Asked) -> Finding {
        let error = Error::blocked(Code::CredentialRefused, "refused")
            .with("aadsts", format_args!("AADSTS{number}"));
        finding(&error, asked)
    }

    #[test]
    fn a_number_counts_before_the_code_and_an_unknown_one_is_still_the_credentials() {
        let plain = Asked::default();
        assert_eq!(refused(7_000_222, plain), Finding::SecretExpired);
        assert_eq!(refused(7_000_999, plain), Finding::CredentialRefused);
        assert_eq!(refused(50_013, plain), Finding::CredentialRefused);
        let federated = Asked { federated: true, ..plain };
        assert_eq!(refused(50_013, federated), Finding::FederatedRefused);
    }

    #[test]
    fn an_app_that_is_not_there_is_another_mistake_when_it_is_anothers() {
        assert_eq!(refused(700_016, Asked::default()), Finding::AppNotFound);
        let anothers = Asked { multi_tenant: true, ..Asked::default() };
        assert_eq!(refused(700_016, anothers), Finding::AppNotInTenant);
    }

    #[test]
    fn what_a_refusal_proves_is_never_its_own_step() {
        for row in Finding::ALL {
            assert!(!proves(*row).contains(&row.step()), "{row}");
        }
    }
}
