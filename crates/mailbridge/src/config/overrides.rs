//! Overrides from the environment: `MAILBRIDGE_HTTP__LISTEN=127.0.0.1:9000` sets `http.listen`.
//!
//! Two underscores stand between keys; a variable without them is not an override. Keys are taken
//! in lower case, so a name with capitals cannot be reached this way. Secrets never come this way:
//! a value that looks like a number or a list would be taken as one, and values of variables end up
//! in error texts. A secret is named instead: `client_secret: { env: NAME }`.

use figment::{Figment, providers::Env};

use super::{
    locate::Places,
    problem::{Place, Problem},
    secret_key,
};

const PREFIX: &str = "MAILBRIDGE_";

/// Merges the environment's overrides, notes their places, and refuses secrets among them.
pub fn apply(figment: Figment, places: &mut Places, problems: &mut Vec<Problem>) -> Figment {
    let provider = Env::prefixed(PREFIX).filter(|name| name.as_str().contains("__")).split("__");
    for (name, _) in provider.iter() {
        let key: Vec<String> = name.as_str().split('.').map(str::to_owned).collect();
        let variable = format!("{PREFIX}{}", key.join("__").to_uppercase());
        if is_secret(&key) {
            let message = "a secret is not taken from an override; write `{ env: NAME }` or \
                           `{ file: PATH }` under this key in the file";
            let place = Place { source: format!("${variable}"), line: None };
            problems.push(Problem { place, key: key.clone(), message: message.to_owned() });
        }
        places.add_variable(&variable, key);
    }
    figment.merge(provider)
}

/// Whether the key holds a secret itself, and not the name of a file or variable that does.
fn is_secret(key: &[String]) -> bool {
    let named = matches!(key.last().map(String::as_str), Some("file" | "env"));
    !named && key.iter().skip(1).any(|part| secret_key(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_key() {
        let secret = |text: &str| {
            let key: Vec<_> = text.split('.').map(str::to_owned).collect();
            is_secret(&key)
        };
        for yes in ["connections.c.credential.client_secret", "buses.b.nats.auth.password"] {
            assert!(secret(yes), "{yes}");
        }
        for no in ["connections.c.credential.client_secret.file", "connections.c.token_endpoint"] {
            assert!(!secret(no), "{no}");
        }
    }
}
