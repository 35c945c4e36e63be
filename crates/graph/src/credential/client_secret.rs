//! The client secret, read from where it is kept at each token request.

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Result, Secret, SecretSource};

use super::Credential;
use crate::config::is_guid;

pub(super) struct ClientSecret {
    pub(super) source: SecretSource,
}

#[async_trait]
impl Credential for ClientSecret {
    async fn fields(&self) -> Result<Vec<(&'static str, Secret)>> {
        let secret = self.source.read().await?;
        if is_guid(secret.expose()) {
            return Err(self.located(Error::blocked(
                Code::CredentialSecretWrong,
                "this is the client secret's id, a GUID, and not its value",
            )));
        }
        Ok(vec![("client_secret", secret)])
    }
}

impl ClientSecret {
    fn located(&self, error: Error) -> Error {
        match &self.source {
            SecretSource::File(path) => error.with("file", path.display()),
            SecretSource::Env(name) => error.with("variable", name),
            SecretSource::Literal(_) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_file_is_taken_up_and_an_id_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let credential = ClientSecret { source: SecretSource::File(file.path().to_owned()) };
        for value in ["first", "second~"] {
            std::fs::write(file.path(), format!("{value}\n")).unwrap();
            let fields = credential.fields().await.unwrap();
            assert_eq!(fields[0].0, "client_secret");
            assert_eq!(fields[0].1.expose(), value);
        }
        let id = "0b5f3a0e-0000-4000-8000-00000000abcd";
        std::fs::write(file.path(), id).unwrap();
        let error = credential.fields().await.unwrap_err();
        assert_eq!(error.code(), Code::CredentialSecretWrong);
        assert!(error.to_string().contains("id, a GUID") && !error.to_string().contains(id));
    }
}
