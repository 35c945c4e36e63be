//! Whom a message may be sent to. Checked when it is sent: a draft may be incomplete.

use super::{Content, Recipient};
use crate::error::GraphError;

/// learn.microsoft.com/graph/api/resources/message: to, cc and bcc together.
const RECIPIENT_LIMIT: usize = 500;

/// Whether the message could be handed to transport.
pub fn check_sendable(content: &Content) -> Result<(), GraphError> {
    let count = content.recipients().count();
    if count == 0 || !content.recipients().chain(&content.reply_to).all(is_address) {
        return Err(GraphError::invalid_recipients());
    }
    if count > RECIPIENT_LIMIT {
        return Err(GraphError::too_many_recipients(RECIPIENT_LIMIT));
    }
    Ok(())
}

/// `local@domain`, by the rough rule that Exchange applies before transport.
fn is_address(recipient: &Recipient) -> bool {
    let address = recipient.address.as_str();
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let quoted = local.starts_with('"') && local.ends_with('"') && local.len() > 2;
    let plain = !local.is_empty() && !local.contains(['@', '"', '(', ')', ',', ';', ':', '\\']);
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>[]".contains(c);
    (quoted || plain)
        && !domain.is_empty()
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !domain.contains("..")
        && !domain.contains(forbidden)
        && (quoted || !local.contains(forbidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(address: &str) -> Recipient {
        Recipient { address: address.to_owned(), name: None }
    }

    fn check(recipients: Vec<Recipient>) -> Result<(), GraphError> {
        check_sendable(&Content { to: recipients, ..Content::default() })
    }

    #[test]
    fn addresses_are_checked_roughly() {
        for good in ["a@b.example", "\"a b\"@b.example", "o'neil+x@b.example"] {
            assert_eq!(check(vec![to(good)]), Ok(()), "{good}");
        }
        let bad =
            ["", "a", "a@", "@b", "a b@c", "a@b c", "a@@b", "A <a@b.example>", "a@b..c", "a@b\n"];
        for bad in bad {
            let error = check(vec![to("a@b.example"), to(bad)]).unwrap_err();
            assert_eq!(error.code, "ErrorInvalidRecipients", "{bad:?}");
        }
    }

    #[test]
    fn there_are_one_to_five_hundred() {
        let many = |count: usize| (0..count).map(|n| to(&format!("u{n}@b.example"))).collect();
        assert!(check(many(0)).is_err());
        assert!(check(many(500)).is_ok());
        assert_eq!(check(many(501)).unwrap_err().status.as_u16(), 400);
    }
}
