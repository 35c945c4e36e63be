//! Commands for Exchange Online PowerShell, filled in for one app and its mailboxes.
//!
//! Cmdlets: learn.microsoft.com, exchange application-rbac and graph auth-limit-mailbox-access.
//! Every value goes in single quotes, in which PowerShell expands nothing.

use super::Permission;

/// Exchange, as the administrator of one app speaks to it.
pub(super) struct Exchange<'a> {
    /// None when only a token could tell it, and did not.
    pub(super) client_id: Option<&'a str>,
    /// The enterprise application's object id, if a token told it.
    pub(super) object_id: Option<&'a str>,
    /// The connection's Graph host with its version.
    pub(super) graph: &'a str,
}

impl Exchange<'_> {
    /// Lets the app into these mailboxes only: grants in Exchange, then the consent in Entra away.
    pub(super) fn narrow(&self, mailboxes: &[&str], permissions: &[Permission]) -> Vec<String> {
        let mail = [Permission::Send, Permission::ReadWrite, Permission::Read];
        let mail: Vec<_> = mail.into_iter().filter(|it| permissions.contains(it)).collect();
        let mut lines = self.connect();
        lines.push(format!(
            "New-ServicePrincipal -AppId {} -ObjectId $principal -DisplayName 'mailbridge'",
            self.app()
        ));
        lines.push(format!(
            "New-ManagementScope -Name 'mailbridge mailboxes' -RecipientRestrictionFilter {}",
            quoted(&filter(mailboxes))
        ));
        for permission in &mail {
            lines.push(format!(
                "New-ManagementRoleAssignment -App $principal -Role {} -CustomResourceScope \
                 'mailbridge mailboxes'",
                quoted(&format!("Application {}", permission.name()))
            ));
        }
        lines
            .push("# InScope must be True for each of these, before anything is taken away".into());
        lines.extend(mailboxes.iter().map(|mailbox| test(mailbox)));
        lines.extend(self.revoke());
        lines
    }

    /// Tells why a mailbox is denied.
    pub(super) fn explain(&self, mailbox: &str) -> Vec<String> {
        let mut lines = self.connect();
        lines.push(test(mailbox));
        lines.push("# or, where an application access policy is in use:".to_owned());
        lines.push(format!(
            "Test-ApplicationAccessPolicy -AppId {} -Identity {}",
            self.app(),
            quoted(mailbox)
        ));
        lines
    }

    fn app(&self) -> String {
        quoted(self.client_id.unwrap_or("CLIENT-ID-OF-THE-IDENTITY"))
    }

    fn connect(&self) -> Vec<String> {
        let environment = match self.cloud() {
            Some((exchange, _)) => format!(" -ExchangeEnvironmentName {exchange}"),
            None => String::new(),
        };
        let principal = match self.object_id {
            Some(id) => format!("$principal = {}", quoted(id)),
            None => "$principal = 'OBJECT-ID-OF-THE-ENTERPRISE-APPLICATION'".to_owned(),
        };
        vec![format!("Connect-ExchangeOnline{environment}"), principal]
    }

    /// What Entra grants for the whole tenant.
    fn revoke(&self) -> Vec<String> {
        let environment = match self.cloud() {
            Some((_, graph)) => format!(" -Environment {graph}"),
            None => String::new(),
        };
        let scopes = "'Application.Read.All', 'AppRoleAssignment.ReadWrite.All'";
        vec![
            "# then the consent in Entra, which opens every mailbox as long as it stands"
                .to_owned(),
            format!("Connect-MgGraph{environment} -Scopes {scopes}"),
            "$graph = Get-MgServicePrincipal -Filter \"appId eq \
             '00000003-0000-0000-c000-000000000000'\""
                .to_owned(),
            "$mail = $graph.AppRoles | Where-Object Value -Like 'Mail.*'".to_owned(),
            "Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal -All | \
             Where-Object AppRoleId -In $mail.Id | ForEach-Object { \
             Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal \
             -AppRoleAssignmentId $_.Id }"
                .to_owned(),
        ]
    }

    /// The names of a national cloud at Exchange and at Graph's PowerShell.
    fn cloud(&self) -> Option<(&'static str, &'static str)> {
        let host = self.graph.trim_start_matches("https://").split('/').next();
        match host.unwrap_or_default() {
            "graph.microsoft.us" => Some(("O365USGovGCCHigh", "USGov")),
            "dod-graph.microsoft.us" => Some(("O365USGovDoD", "USGovDoD")),
            "microsoftgraph.chinacloudapi.cn" => Some(("O365China", "China")),
            _ => None,
        }
    }
}

fn test(mailbox: &str) -> String {
    format!(
        "Test-ServicePrincipalAuthorization -Identity $principal -Resource {} | Format-Table",
        quoted(mailbox)
    )
}

/// A filter in Exchange's own language, whose quotes are doubled as PowerShell's are.
fn filter(mailboxes: &[&str]) -> String {
    let one = |mailbox: &&str| {
        let property = if crate::config::is_guid(mailbox) {
            "ExternalDirectoryObjectId"
        } else {
            "PrimarySmtpAddress"
        };
        format!("{property} -eq {}", quoted(mailbox))
    };
    mailboxes.iter().map(one).collect::<Vec<_>>().join(" -or ")
}

/// A value as PowerShell takes it literally. Typographic quotes end a text there as plain ones do
/// (learn.microsoft.com, about_quoting_rules), and a control character would break the line.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('\'');
    for character in value.chars().filter(|character| !character.is_control()) {
        if matches!(character, '\'' | '\u{2018}'..='\u{201B}') {
            text.push(character);
        }
        text.push(character);
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leaves_its_quotes() {
        assert_eq!(quoted("a@b"), "'a@b'");
        assert_eq!(quoted("o'neil@b"), "'o''neil@b'");
        assert_eq!(quoted("x\u{2019}; calc"), "'x\u{2019}\u{2019}; calc'");
        assert_eq!(quoted("$(calc)\r\n`x"), "'$(calc)`x'");
        let nested = quoted(&filter(&["o'neil@b"]));
        assert_eq!(nested, "'PrimarySmtpAddress -eq ''o''''neil@b'''");
    }

    #[test]
    fn the_commands_name_exactly_these_mailboxes_and_permissions() {
        let exchange = Exchange {
            client_id: Some("11111111-2222-3333-4444-555555555555"),
            object_id: Some("99999999-2222-3333-4444-555555555555"),
            graph: "https://graph.microsoft.us/v1.0",
        };
        let permissions = [Permission::Send, Permission::UserRead];
        let lines = exchange.narrow(&["a@b.example", "c@b.example"], &permissions).join("\n");
        insta::assert_snapshot!(lines);
    }
}
