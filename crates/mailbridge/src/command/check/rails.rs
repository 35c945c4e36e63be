//! The guard rails of a pipeline in words. What is not guarded is not told.

use std::fmt::{self, Write};

use mailbridge_engine::{
    Settings,
    guard::{Budgets, Recipients},
};

/// Tells them, a line each.
pub fn tell(text: &mut impl Write, settings: &Settings) -> fmt::Result {
    let Settings { deny_mailboxes, recipients, budgets, dry_run, .. } = settings;
    let mut row = |what: &str, told: String| writeln!(text, "    {what:<12}  {told}");
    if !deny_mailboxes.is_empty() {
        row("except", format!("mailboxes {}", deny_mailboxes.join(" ")))?;
    }
    let Recipients { allow, deny, redirect_to } = recipients;
    let rules = [("only", allow), ("never", deny)];
    let rules = rules.into_iter().filter(|(_, patterns)| !patterns.is_empty());
    let rules: Vec<_> =
        rules.map(|(word, patterns)| format!("{word} {}", patterns.join(" "))).collect();
    if !rules.is_empty() {
        row("recipients", format!("{}; a mail to others is rejected", rules.join(", ")))?;
    }
    if let Some(to) = redirect_to {
        row("redirected", format!("every mail goes to {}, and to nobody else", to.address))?;
    }
    let Budgets { mails_per_minute, recipients_per_day, scale } = budgets;
    let limits = [(mails_per_minute, "mails a minute"), (recipients_per_day, "recipients a day")];
    let limits: Vec<_> =
        limits.into_iter().filter_map(|(max, of)| Some(format!("{} {of}", (*max)?))).collect();
    if !limits.is_empty() {
        let told = format!("{} for each mailbox; what is more waits", limits.join(", "));
        let faster = format!("; all of this {scale} times as fast, for a sandbox");
        row("budgets", if *scale > 1 { told + &faster } else { told })?;
    }
    if *dry_run {
        row("dry run", "nothing is sent or changed; outcomes say so".to_owned())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mailbridge_core::contract::Address;

    use super::*;

    #[test]
    fn only_what_is_guarded_is_told() {
        let told = |settings: &Settings| {
            let mut text = String::new();
            tell(&mut text, settings).unwrap();
            text
        };
        assert_eq!(told(&Settings::default()), "");
        let text = told(&Settings {
            deny_mailboxes: vec!["ceo@x.org".to_owned()],
            recipients: Recipients {
                allow: vec!["*@x.org".to_owned()],
                deny: vec!["all@x.org".to_owned()],
                redirect_to: Some(Address::parse("staging@x.org")),
            },
            budgets: Budgets {
                mails_per_minute: Some(30),
                recipients_per_day: Some(500),
                ..Budgets::default()
            },
            dry_run: true,
            ..Settings::default()
        });
        let expected = "    except        mailboxes ceo@x.org
    recipients    only *@x.org, never all@x.org; a mail to others is rejected
    redirected    every mail goes to staging@x.org, and to nobody else
    budgets       30 mails a minute, 500 recipients a day for each mailbox; what is more waits
    dry run       nothing is sent or changed; outcomes say so
";
        assert_eq!(text, expected);
    }
}
