//! Guard rails of a requests pipeline as users write them.

use mailbridge_core::contract::Address;
use mailbridge_engine::guard;
use schemars::JsonSchema;
use serde::Deserialize;

/// Who may get mail from a pipeline. The whole of a mail is refused if one recipient is.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipients {
    /// Patterns such as `*@contoso.com`; with some, whoever fits none gets no mail.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Patterns of those who get no mail, also if they are allowed.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Who gets all mail in place of its recipients, for staging systems.
    #[serde(default)]
    pub redirect_to: Option<Address>,
}

/// How much each mailbox may send. What is more waits, and nothing fails. Counted by each worker by
/// itself, since its start: with several, give each its share.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Mails in any minute, 1 or more. Exchange Online itself delays what is beyond 30.
    #[serde(default)]
    pub mails_per_minute: Option<u32>,
    /// Recipients in any 24 hours, 1 or more. Exchange Online refuses what is beyond 10,000.
    #[serde(default)]
    pub recipients_per_day: Option<u32>,
    /// How many times shorter the minute and the day are, 1 to 600; 1 when absent. For a sandbox
    /// with `--budgets-scale`: Exchange Online's minutes are minutes.
    #[serde(default)]
    pub scale: Option<u32>,
}

impl Recipients {
    /// As the engine takes them.
    pub fn rules(&self) -> guard::Recipients {
        let Self { allow, deny, redirect_to } = self.clone();
        guard::Recipients { allow, deny, redirect_to }
    }

    /// What cannot be meant, by its key.
    pub fn mistakes(&self) -> Option<(&'static str, String)> {
        let wrong = self.redirect_to.as_ref().is_some_and(|address| !address.is_plausible());
        wrong.then(|| ("recipients.redirect_to", "expected a mail address".to_owned()))
    }
}

impl Budgets {
    /// As the engine takes them.
    pub fn limits(self) -> guard::Budgets {
        let Self { mails_per_minute, recipients_per_day, scale } = self;
        guard::Budgets { mails_per_minute, recipients_per_day, scale: scale.unwrap_or(1) }
    }

    /// What cannot be meant, by its key.
    pub fn mistakes(self) -> Option<(&'static str, String)> {
        if self.scale.is_some_and(|scale| !(1..=600).contains(&scale)) {
            return Some(("budgets.scale", "expected 1 to 600".to_owned()));
        }
        let nothing = |limit: Option<u32>| limit == Some(0);
        let key = match (nothing(self.mails_per_minute), nothing(self.recipients_per_day)) {
            (true, _) => "budgets.mails_per_minute",
            (_, true) => "budgets.recipients_per_day",
            _ => return None,
        };
        Some((key, "expected 1 or more: with 0 nothing would ever be sent".to_owned()))
    }
}
