//! Who may get mail from a pipeline.

use mailbridge_core::{
    Code, Error, Mailbox, Result,
    contract::{Address, Request},
};

/// Rules about recipients. Without any, everybody may get mail.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    /// Patterns such as `*@contoso.com`; with some, whoever fits none gets no mail.
    pub allow: Vec<String>,
    /// Patterns of those who get no mail, also if they are allowed.
    pub deny: Vec<String>,
    /// Who gets all mail, in place of the recipients.
    pub redirect_to: Option<Address>,
}

impl Recipients {
    /// Checks a request, and redirects it where that is asked for: then the rules are about whoever
    /// would have got it all the same, so that a rehearsal refuses what the stage would.
    ///
    /// # Errors
    /// `request_recipient_not_allowed`, for the whole mail: it is not sent to some and not to others.
    pub(crate) fn admit(&self, request: &mut Request) -> Result<()> {
        if !self.allow.is_empty() || !self.deny.is_empty() {
            let recipients = request.recipients()?;
            let refused = recipients.iter().filter(|recipient| !self.allows(recipient)).count();
            if refused > 0 {
                let detail = "the pipeline does not send to every recipient of this mail";
                return Err(Error::permanent(Code::RequestRecipientNotAllowed, detail)
                    .with("recipients", recipients.len())
                    .with("recipients_refused", refused));
            }
        }
        if let Some(to) = &self.redirect_to {
            request.redirect(to);
        }
        Ok(())
    }

    fn allows(&self, recipient: &str) -> bool {
        let recipient = Mailbox::new(recipient);
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| recipient.matches(pattern));
        (self.allow.is_empty() || fits(&self.allow)) && !fits(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{Message, Position, contract::decode};

    use super::*;

    fn admitted(rules: &Recipients, to: &str) -> Result<Vec<String>> {
        let payload = format!(r#"{{"to":{to},"text":"t"}}"#).into_bytes().into();
        let message = Message { payload, ..Message::default() };
        let mut request = decode::decode(&message, &Position::new("p")).unwrap().request;
        rules.admit(&mut request)?;
        request.recipients()
    }

    #[test]
    fn one_recipient_that_is_not_allowed_is_enough() {
        let rules = Recipients {
            allow: vec!["*@contoso.com".to_owned()],
            deny: vec!["ceo@*".to_owned()],
            redirect_to: None,
        };
        assert!(admitted(&rules, r#"["a@contoso.com","B@Contoso.com"]"#).is_ok());
        for bad in [r#"["a@contoso.com","b@x.org"]"#, r#""CEO@contoso.com""#] {
            let error = admitted(&rules, bad).unwrap_err();
            assert_eq!(error.code(), Code::RequestRecipientNotAllowed);
            assert!(!error.to_string().contains('@'), "{error}");
        }
    }

    #[test]
    fn a_redirected_mail_goes_to_one_and_is_checked_as_if_it_went_to_all() {
        let redirect_to = Some(Address::parse("staging@contoso.com"));
        let rules = Recipients { redirect_to, ..Recipients::default() };
        assert_eq!(admitted(&rules, r#"["a@x.org","b@x.org"]"#).unwrap(), ["staging@contoso.com"]);
        let rules = Recipients { deny: vec!["a@*".to_owned()], ..rules };
        assert!(admitted(&rules, r#""a@x.org""#).is_err());
    }
}
