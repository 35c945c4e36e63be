//! Which finding a refused token request is: a pure function of the failure.
//!
//! The failure's code chooses, which was given where the refusal was read; its AADSTS number where
//! an administrator needs it finer. What is not known becomes `credential_refused`, with the number
//! shown.

use mailbridge_core::{Code, Error};

use super::{Finding, Step};

/// What is known of the connection that was refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// The app is used in tenants other than its own.
    pub(super) multi_tenant: bool,
    /// The credential is another issuer's token.
    pub(super) federated: bool,
    /// The credential is the machine's own identity.
    pub(super) machine: bool,
}

/// The finding that a failure to get a token stands for.
pub(super) fn finding(error: &Error, asked: Asked) -> Finding {
    let number = error.field("aadsts").and_then(|text| text.strip_prefix("AADSTS"));
    let number = number.and_then(|digits| digits.parse::<u64>().ok());
    let finer = number.and_then(|number| of_number(number, error, asked));
    finer.unwrap_or_else(|| of_code(error, number.is_some(), asked))
}

/// Numbers: learn.microsoft.com, entra reference-error-codes.
fn of_number(number: u64, error: &Error, asked: Asked) -> Option<Finding> {
    let clock = error.field("clock_skew_seconds").is_some();
    Some(match number {
        700_016 | 700_011 if asked.multi_tenant => Finding::AppNotInTenant,
        7_000_229 => Finding::AppNotInTenant,
        50_194 => Finding::AppSingleTenant,
        900_382 | 900_432 | 90_038 | 500_011 => Finding::CloudWrong,
        50_012 | 50_013 | 50_027 | 700_024 | 500_133 if asked.federated && !clock => {
            Finding::FederatedRefused
        }
        // the assertion is not for this endpoint, which is no mistake of a configuration
        700_023 => Finding::CredentialRefused,
        50_196 | 90_055 => Finding::LoginThrottled,
        _ => return None,
    })
}

/// `told`: the login service itself said so.
fn of_code(error: &Error, told: bool, asked: Asked) -> Finding {
    match error.code() {
        Code::CredentialUnreadable => Finding::CredentialUnreadable,
        Code::CredentialSecretWrong if told => Finding::SecretWrong,
        Code::CredentialSecretWrong => Finding::SecretIsId,
        Code::CredentialSecretExpired => Finding::SecretExpired,
        Code::CredentialKeyMismatch => Finding::CertificateMismatch,
        Code::CredentialCertificateExpired => Finding::CertificateExpired,
        Code::CredentialCertificateUnknown => Finding::CertificateUnknown,
        Code::CredentialFederationUnknown => Finding::FederatedNoMatch,
        Code::CredentialIdentityMissing => Finding::IdentityNotAssigned,
        Code::CredentialAppNotFound => Finding::AppNotFound,
        Code::CredentialAppDisabled => Finding::AppDisabled,
        Code::CredentialPolicyBlocked => Finding::AppBlocked,
        Code::CredentialConsentMissing => Finding::ConsentMissing,
        Code::CredentialTenantNotFound => Finding::TenantUnknown,
        Code::CredentialEndpointWrong => Finding::TenantUnnamed,
        Code::CredentialClockSkew => Finding::ClockWrong,
        Code::LoginUnreachable if asked.machine => Finding::IdentityUnreachable,
        Code::LoginUnreachable => Finding::LoginUnreachable,
        Code::LoginUnexpected => Finding::LoginNotMicrosoft,
        Code::LoginUnavailable if error.field("status") == Some("429") => Finding::LoginThrottled,
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
        | Finding::FederatedNoMatch
        | Finding::FederatedRefused => &[Step::Register, Step::Endpoint],
        Finding::AppNotFound
        | Finding::AppNotInTenant
        | Finding::AppSingleTenant
        | Finding::AppDisabled
        | Finding::AppBlocked
        | Finding::ConsentMissing
        | Finding::CredentialRefused => &[Step::Endpoint],
        _ => &[],
    }
}

/// Whether the login host was not even asked: the credential failed before.
pub(super) fn is_local(finding: Finding) -> bool {
    matches!(
        finding,
        Finding::CredentialUnreadable
            | Finding::SecretIsId
            | Finding::CertificateMismatch
            | Finding::CertificateExpired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, number: u64, asked: Asked) -> Finding {
        let error = Error::blocked(code, "refused").with("aadsts", format_args!("AADSTS{number}"));
        finding(&error, asked)
    }

    #[test]
    fn the_code_counts_and_the_number_where_it_is_finer() {
        let plain = Asked::default();
        let code = Code::CredentialSecretExpired;
        assert_eq!(refused(code, 7_000_222, plain), Finding::SecretExpired);
        assert_eq!(refused(Code::CredentialRefused, 7_000_999, plain), Finding::CredentialRefused);
        let tenant = Code::CredentialTenantNotFound;
        assert_eq!(refused(tenant, 90_002, plain), Finding::TenantUnknown);
        assert_eq!(refused(tenant, 900_382, plain), Finding::CloudWrong);
        let wrong = Code::CredentialSecretWrong;
        assert_eq!(refused(wrong, 7_000_215, plain), Finding::SecretWrong);
        assert_eq!(finding(&Error::blocked(wrong, "a GUID"), plain), Finding::SecretIsId);
    }

    #[test]
    fn a_federated_token_is_refused_for_its_own_sake_unless_the_clock_is_off() {
        let federated = Asked { federated: true, ..Asked::default() };
        let code = Code::CredentialClockSkew;
        assert_eq!(refused(code, 700_024, federated), Finding::FederatedRefused);
        assert_eq!(refused(code, 700_024, Asked::default()), Finding::ClockWrong);
        let error = Error::blocked(code, "refused").with("aadsts", "AADSTS700024");
        let off = error.with("clock_skew_seconds", 600);
        assert_eq!(finding(&off, federated), Finding::ClockWrong);
    }

    #[test]
    fn an_app_that_is_not_there_is_another_mistake_when_it_is_anothers() {
        let code = Code::CredentialAppNotFound;
        assert_eq!(refused(code, 700_016, Asked::default()), Finding::AppNotFound);
        let anothers = Asked { multi_tenant: true, ..Asked::default() };
        assert_eq!(refused(code, 700_016, anothers), Finding::AppNotInTenant);
    }

    #[test]
    fn what_a_refusal_proves_is_never_its_own_step() {
        for row in Finding::ALL {
            assert!(!proves(*row).contains(&row.step()), "{row}");
        }
    }
}
