//! From what each mailbox answered to the steps: pure, over all of a connection's probes at once,
//! because one answer alone does not tell a permission that nobody granted from a mailbox that is
//! kept closed.
//!
//! What worked anywhere is granted. What was denied everywhere is missing, if the token does not
//! list it either; if it does, Exchange keeps the app out. The token is a hint and never overrules
//! an answer.

use mailbridge_core::Mailbox;

use super::{
    Finding, Needs, Permission, Step,
    access::Access,
    claims::Claims,
    exchange::Exchange,
    probe::Answer,
    report::{Chart, Observation},
};

/// What one mailbox answered, by permission.
pub(super) struct Tried {
    pub(super) mailbox: String,
    pub(super) answers: Vec<(Permission, Answer)>,
}

/// All that was seen.
pub(super) struct Seen<'a> {
    pub(super) needs: &'a Needs,
    /// None when the token cannot be read.
    pub(super) claims: Option<&'a Claims>,
    /// Of the directory.
    pub(super) directory: &'a Answer,
    pub(super) tried: &'a [Tried],
    pub(super) exchange: Exchange<'a>,
}

/// How a permission stands over all mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    /// It worked somewhere.
    Worked,
    /// The token lists it; nothing was tried, or every mailbox was denied nevertheless.
    Listed,
    /// Denied wherever it was tried, and not listed.
    Missing,
    /// Not tried, and not listed.
    Unproven,
}

impl Seen<'_> {
    /// Fills the steps that need a token.
    pub(super) fn judge(&self, chart: &mut Chart) {
        let needed = self.needs.permissions();
        let grants: Vec<_> = needed.iter().map(|it| (*it, self.grant(*it))).collect();
        let missing: Vec<_> = with(&grants, Grant::Missing);
        let nothing_listed = self.claims.is_some_and(|claims| claims.roles.is_empty());
        let nothing_works = !missing.is_empty() && missing.len() == needed.len();
        if nothing_listed && nothing_works {
            let first = missing.first().and_then(|it| self.denial(*it));
            let observation = Observation::new(Finding::ConsentMissing);
            chart.note(observation.seen(first.into_iter().flat_map(Answer::fields)));
            return;
        }
        chart.found(Step::Consent, self.consent());
        for permission in &missing {
            let observation = Observation::new(missing_finding(*permission));
            let denial = self.denial(*permission);
            chart.note(
                observation
                    .about(permission.name())
                    .seen(denial.into_iter().flat_map(Answer::fields)),
            );
        }
        for permission in with(&grants, Grant::Unproven) {
            let observation = Observation::new(Finding::PermissionUnproven);
            chart.note(observation.about(permission.name()));
        }
        chart.found(Step::Permissions, permissions(&grants));
        self.extra(chart);
        if missing.is_empty() {
            self.mailboxes(chart);
        }
    }

    fn grant(&self, permission: Permission) -> Grant {
        let listed = self.listed(permission);
        let of_directory = match (permission, self.directory.access) {
            (Permission::UserRead, Access::Granted) => Some(Grant::Worked),
            (Permission::UserRead, Access::Denied) => Some(Grant::Missing),
            // nobody tries it, and no grant in Exchange stands for it
            (Permission::GroupRead, _) if !listed && self.claims.is_some() => Some(Grant::Missing),
            (Permission::UserRead | Permission::GroupRead, _) if listed => Some(Grant::Listed),
            (Permission::UserRead | Permission::GroupRead, _) => Some(Grant::Unproven),
            (Permission::Send | Permission::ReadWrite | Permission::Read, _) => None,
        };
        if let Some(grant) = of_directory {
            return grant;
        }
        let seen = |access| {
            let answers = self.tried.iter().flat_map(|tried| &tried.answers);
            answers.into_iter().any(|(it, answer)| *it == permission && answer.access == access)
        };
        if seen(Access::Granted) {
            Grant::Worked
        } else if listed {
            Grant::Listed
        } else if seen(Access::Denied) {
            Grant::Missing
        } else {
            Grant::Unproven
        }
    }

    /// Whether the token lists a permission, or one that has it in it.
    fn listed(&self, permission: Permission) -> bool {
        let wider = match permission {
            Permission::Read => Permission::ReadWrite.name(),
            Permission::GroupRead | Permission::UserRead => "Directory.Read.All",
            Permission::Send | Permission::ReadWrite => permission.name(),
        };
        self.claims.is_some_and(|claims| claims.lists(permission.name()) || claims.lists(wider))
    }

    /// An answer that shows that the permission is missing.
    fn denial(&self, permission: Permission) -> Option<&Answer> {
        if permission == Permission::UserRead {
            return Some(self.directory);
        }
        let mut answers = self.tried.iter().flat_map(|tried| &tried.answers);
        answers
            .find(|(it, answer)| *it == permission && answer.access == Access::Denied)
            .map(|(_, answer)| answer)
    }

    fn consent(&self) -> String {
        match self.claims {
            Some(claims) if !claims.roles.is_empty() => {
                format!("granted in Entra: {}", claims.roles.join(", "))
            }
            Some(_) => "nothing is granted in Entra; what works is granted in Exchange".to_owned(),
            None => "the token does not tell; see what works".to_owned(),
        }
    }

    fn extra(&self, chart: &mut Chart) {
        let needed = self.needs.permissions();
        let is_needed = |role: &str| needed.iter().any(|it| it.name().eq_ignore_ascii_case(role));
        let roles = self.claims.into_iter().flat_map(|claims| &claims.roles);
        let extra: Vec<_> = roles.filter(|role| !is_needed(role)).map(String::as_str).collect();
        if !needed.is_empty() && !extra.is_empty() {
            chart.note(Observation::new(Finding::PermissionNotNeeded).about(extra.join(", ")));
        }
    }

    fn mailboxes(&self, chart: &mut Chart) {
        for tried in self.tried {
            if let Some(observation) = self.closed(tried) {
                chart.note(observation.about(&tried.mailbox));
            }
        }
        let open: Vec<_> = self
            .tried
            .iter()
            .filter(|tried| tried.answers.iter().all(|(_, it)| it.access == Access::Granted))
            .map(|tried| tried.mailbox.as_str())
            .collect();
        chart.found(Step::Mailboxes, found(&open, self.tried.len(), self.needs));
        let wide = |claims: &Claims| claims.roles.iter().any(|role| role.starts_with("Mail."));
        if self.needs.bounded() && self.claims.is_some_and(wide) && !open.is_empty() {
            let names: Vec<_> = self.needs.mailboxes().iter().map(Mailbox::as_str).collect();
            let commands = self.exchange.narrow(&names, self.needs.permissions());
            chart.note(Observation::new(Finding::ScopeTooWide).commands(commands));
        }
    }

    /// What is wrong with one mailbox: the first answer that is not as it should be.
    fn closed(&self, tried: &Tried) -> Option<Observation> {
        let (_, answer) = tried.answers.iter().find(|(_, it)| it.access != Access::Granted)?;
        let finding = match answer.access {
            Access::Denied => Finding::MailboxDenied,
            Access::NoMailbox => Finding::MailboxWithoutLicence,
            Access::NoUser => Finding::MailboxUnknown,
            Access::Granted
            | Access::TokenRefused
            | Access::Unproven
            | Access::NotGraph
            | Access::Unreachable => Finding::MailboxUnproven,
        };
        let observation = Observation::new(finding).seen(answer.fields());
        Some(match finding {
            Finding::MailboxDenied => observation.commands(self.exchange.explain(&tried.mailbox)),
            _ => observation,
        })
    }
}

fn with(grants: &[(Permission, Grant)], wanted: Grant) -> Vec<Permission> {
    grants.iter().filter(|(_, grant)| *grant == wanted).map(|(it, _)| *it).collect()
}

fn missing_finding(permission: Permission) -> Finding {
    match permission {
        Permission::Send => Finding::SendNotGranted,
        Permission::ReadWrite => Finding::ReadWriteNotGranted,
        Permission::Read => Finding::ReadNotGranted,
        Permission::UserRead => Finding::UserReadNotGranted,
        Permission::GroupRead => Finding::GroupReadNotGranted,
    }
}

fn permissions(grants: &[(Permission, Grant)]) -> String {
    let told: Vec<_> = grants
        .iter()
        .filter_map(|(permission, grant)| match grant {
            Grant::Worked => Some(format!("{} works", permission.name())),
            Grant::Listed => Some(format!("{} is in the token", permission.name())),
            Grant::Missing | Grant::Unproven => None,
        })
        .collect();
    match (told.as_slice(), grants) {
        (_, []) => "no pipeline uses this connection, so none is needed".to_owned(),
        ([], _) => "none that is needed was seen to work".to_owned(),
        (told, _) => told.join(", "),
    }
}

fn found(open: &[&str], tried: usize, needs: &Needs) -> String {
    let patterns = if needs.unbounded() { "; patterns cannot be tried" } else { "" };
    match open.len() {
        _ if tried == 0 && needs.unbounded() => {
            "no mailbox is named, only patterns; try one with `--mailbox ADDRESS`".to_owned()
        }
        _ if tried == 0 => "no pipeline names a mailbox".to_owned(),
        count if count == tried && tried <= 3 => {
            format!("can be used: {}{patterns}", open.join(", "))
        }
        count => format!("{count} of {tried} can be used{patterns}"),
    }
}

#[cfg(test)]
mod tests;
