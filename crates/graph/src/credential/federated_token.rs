//! Another issuer's token in a file, such as the one that Kubernetes writes for a service account
//! (learn.microsoft.com, entra workload-identity-federation). It is passed on as it is.

use std::path::PathBuf;

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Result, Secret, SecretSource};

use super::{Credential, certificate::ASSERTION_TYPE};

pub(super) struct FederatedToken {
    pub(super) file: PathBuf,
}

#[async_trait]
impl Credential for FederatedToken {
    async fn fields(&self) -> Result<Vec<(&'static str, Secret)>> {
        let token = SecretSource::File(self.file.clone()).read().await?;
        let token = Secret::new(token.expose().trim());
        if token.expose().split('.').filter(|part| !part.is_empty()).count() != 3 {
            let detail = "this file holds no token of an issuer: three parts with dots between";
            return Err(Error::blocked(Code::CredentialUnreadable, detail)
                .with("file", self.file.display()));
        }
        Ok(vec![
            ("client_assertion_type", Secret::new(ASSERTION_TYPE)),
            ("client_assertion", token),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_passed_on_and_something_else_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let credential = FederatedToken { file: file.path().to_owned() };
        std::fs::write(file.path(), "head.body.signature\n").unwrap();
        let fields = credential.fields().await.unwrap();
        assert_eq!(fields[1].1.expose(), "head.body.signature");
        for wrong in ["hush", "a.b", "a..c"] {
            std::fs::write(file.path(), wrong).unwrap();
            let error = credential.fields().await.unwrap_err();
            assert_eq!(error.code(), Code::CredentialUnreadable);
            assert!(error.field("file").is_some() && !error.to_string().contains("hush"));
        }
    }
}
