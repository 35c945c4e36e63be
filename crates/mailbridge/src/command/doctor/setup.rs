//! `mailbridge doctor --print-setup`: the script that takes the six steps, with its settings filled
//! in for one connection. Nothing is run.
//!
//! The scripts are those of `deploy/entra`; only the lines between their two markers are changed.

use std::fmt::Write as _;

use mailbridge_core::{Mailbox, SecretSource};
use mailbridge_graph::{
    Connection,
    cloud::{Cloud, Named},
    config::Kind,
    doctor::{Needs, Permission},
};

const BASH: &str = include_str!("../../../../../deploy/entra/setup.sh");
const POWERSHELL: &str = include_str!("../../../../../deploy/entra/setup.ps1");
const BEGIN: &str = "# --- settings";
const END: &str = "# --- end of settings";

/// The language of the script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// bash, with Microsoft's `az`.
    #[default]
    Bash,
    /// PowerShell 7.
    #[value(alias = "pwsh")]
    Powershell,
}

/// A setting: its name in bash, in PowerShell, and its value.
type Setting = (&'static str, &'static str, String);

/// The script, filled in for a connection.
pub fn script(shell: Shell, name: &str, connection: &Connection, needs: &Needs) -> String {
    let source = match shell {
        Shell::Bash => BASH,
        Shell::Powershell => POWERSHELL,
    };
    let settings = settings(connection, needs);
    let mut script = String::with_capacity(source.len() + 512);
    let mut within = false;
    for line in source.lines() {
        within = (within || line == BEGIN) && line != END;
        let filled = settings.iter().find_map(|setting| filled(shell, line, setting));
        script.push_str(filled.filter(|_| within).as_deref().unwrap_or(line));
        script.push('\n');
        if line == BEGIN {
            // writing to a String cannot fail
            writeln!(script, "# filled in for the connection {name}").ok();
        }
    }
    script
}

/// The line with its value, if it is this setting's.
fn filled(shell: Shell, line: &str, (bash, powershell, value): &Setting) -> Option<String> {
    match shell {
        Shell::Bash => {
            line.strip_prefix(bash)?.strip_prefix('=')?;
            Some(format!("{bash}='{}'", value.replace('\'', r"'\''")))
        }
        Shell::Powershell => {
            line.strip_prefix('$')?.strip_prefix(powershell)?.strip_prefix(" = ")?;
            Some(format!("${powershell} = '{}'", doubled(value)))
        }
    }
}

/// As PowerShell takes it literally; typographic quotes count as plain ones there.
fn doubled(value: &str) -> String {
    let quote = |c: char| matches!(c, '\'' | '\u{2018}'..='\u{201B}');
    value.chars().flat_map(|c| std::iter::repeat_n(c, if quote(c) { 2 } else { 1 })).collect()
}

/// What is known of the settings; the others keep what the script has.
fn settings(connection: &Connection, needs: &Needs) -> Vec<Setting> {
    let one_line = |text: &str| text.replace(char::is_control, "");
    // of several tenants the first; the script is run once for each
    let tenant = connection.tenant.as_ref().or_else(|| connection.tenants.keys().next());
    let needs = match connection.tenants.values().next() {
        Some(mailboxes) => &needs.within(mailboxes),
        None => needs,
    };
    let mut settings: Vec<Setting> = vec![
        ("TENANT", "Tenant", one_line(tenant.map_or("", String::as_str))),
        ("CLIENT_ID", "ClientId", one_line(client_id(connection).unwrap_or_default())),
        ("PERMISSIONS", "Permissions", permissions(needs)),
    ];
    if !connection.tenants.is_empty() {
        settings.push(("MULTI_TENANT", "MultiTenant", "yes".to_owned()));
    }
    if let Some(cloud) = cloud(&connection.cloud) {
        settings.push(("CLOUD", "Cloud", cloud.to_owned()));
    }
    if needs.bounded() {
        let mailboxes: Vec<_> = needs.mailboxes().iter().map(Mailbox::as_str).collect();
        settings.push(("MAILBOXES", "Mailboxes", one_line(&mailboxes.join(" "))));
    }
    settings.extend(credential(connection));
    settings
}

/// The app's, or that of the machine's identity.
fn client_id(connection: &Connection) -> Option<&str> {
    let identity = connection.credential.iter().flat_map(|it| &it.all).find_map(|it| {
        let Kind::ManagedIdentity(identity) = &it.kind else { return None };
        identity.client_id.as_deref()
    });
    connection.client_id.as_deref().or(identity)
}

/// Those that the pipelines need; without a pipeline, those for sending once.
fn permissions(needs: &Needs) -> String {
    let needed = match needs.permissions() {
        [] => &[Permission::Send, Permission::ReadWrite],
        needed => needed,
    };
    needed.iter().map(|permission| permission.name()).collect::<Vec<_>>().join(" ")
}

fn cloud(cloud: &Cloud) -> Option<&'static str> {
    match cloud {
        Cloud::Named(Named::Global) => Some("global"),
        Cloud::Named(Named::UsGovL4) => Some("us_gov_l4"),
        Cloud::Named(Named::UsGovL5) => Some("us_gov_l5"),
        Cloud::Named(Named::China) => Some("china"),
        Cloud::Named(Named::Sandbox) | Cloud::Explicit(_) => None,
    }
}

fn credential(connection: &Connection) -> Vec<Setting> {
    let kind = |kind: &str| ("CREDENTIAL", "Credential", kind.to_owned());
    // of two, the second one is the new one
    let Some(newest) = connection.credential.as_ref().and_then(|it| it.all.last()) else {
        return Vec::new();
    };
    match &newest.kind {
        Kind::ClientSecret(SecretSource::File(path)) => {
            let path = path.display().to_string();
            vec![kind("secret"), ("SECRET_FILE", "SecretFile", path)]
        }
        Kind::ClientSecret(_) => vec![kind("secret")],
        Kind::Certificate(certificate) => {
            let path = certificate.file.display().to_string();
            vec![kind("certificate"), ("CERTIFICATE_FILE", "CertificateFile", path)]
        }
        Kind::FederatedToken(_) => vec![kind("federated")],
        // it needs none; the scripts grant an identity its permissions all the same
        Kind::ManagedIdentity(_) => vec![kind("none")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(tenant: &str) -> Connection {
        let connection = json!({ "tenant": tenant, "cloud": "china",
            "credential": { "client_secret": { "file": "/run/secrets/graph" } } });
        serde_json::from_value(connection).unwrap()
    }

    fn changed(shell: Shell, source: &str, tenant: &str) -> Vec<String> {
        let mut needs = Needs::default();
        needs.sending(mailbridge_core::Guarantee::AtLeastOnce, ["a@x.org", "b@x.org"]);
        let script = script(shell, "contoso", &connection(tenant), &needs);
        let before: Vec<_> = source.lines().collect();
        script.lines().filter(|line| !before.contains(line)).map(str::to_owned).collect()
    }

    #[test]
    fn the_settings_of_both_scripts_are_filled_in_and_nothing_else_is_touched() {
        let lines = changed(Shell::Bash, BASH, "contoso.cn");
        let wanted = [
            "# filled in for the connection contoso",
            "TENANT='contoso.cn'",
            "CLOUD='china'",
            "PERMISSIONS='Mail.Send'",
            "SECRET_FILE='/run/secrets/graph'",
            "MAILBOXES='a@x.org b@x.org'",
        ];
        assert_eq!(lines, wanted);
        let lines = changed(Shell::Powershell, POWERSHELL, "contoso.cn");
        let wanted = [
            "# filled in for the connection contoso",
            "$Tenant = 'contoso.cn'",
            "$Cloud = 'china'",
            "$Permissions = 'Mail.Send'",
            "$SecretFile = '/run/secrets/graph'",
            "$Mailboxes = 'a@x.org b@x.org'",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn each_kind_and_the_first_of_several_tenants_have_their_settings() {
        let of = |connection: serde_json::Value| {
            let connection = serde_json::from_value(connection).unwrap();
            let mut needs = Needs::default();
            needs.sending(mailbridge_core::Guarantee::Once, ["a@a.org", "b@b.org"]);
            let settings = settings(&connection, &needs);
            settings.into_iter().map(|(name, _, value)| format!("{name}={value}")).collect()
        };
        let has = |lines: &Vec<String>, wanted: &str| lines.iter().any(|line| line == wanted);
        let two: Vec<_> = of(json!({ "tenants": { "a.org": ["*@a.org"], "b.org": ["*@b.org"] },
            "credential": [{ "client_secret": { "file": "old" } },
                           { "certificate": { "file": "new.pem" } }] }));
        for wanted in [
            "TENANT=a.org",
            "MULTI_TENANT=yes",
            "MAILBOXES=a@a.org",
            "CREDENTIAL=certificate",
            "CERTIFICATE_FILE=new.pem",
        ] {
            assert!(has(&two, wanted), "{wanted}: {two:?}");
        }
        let id = "5a0d0003-5a0d-4000-8000-0000000000b0";
        let machine: Vec<_> =
            of(json!({ "credential": { "managed_identity": { "client_id": id } } }));
        assert!(has(&machine, &format!("CLIENT_ID={id}")) && has(&machine, "CREDENTIAL=none"));
        let workload: Vec<_> = of(json!({ "credential": { "federated_token": {} } }));
        assert!(has(&workload, "CREDENTIAL=federated"), "{workload:?}");
    }

    #[test]
    fn no_value_leaves_its_quotes() {
        let lines = changed(Shell::Bash, BASH, "x'; rm -rf ~\n; '$(id)");
        assert_eq!(lines[1], r"TENANT='x'\''; rm -rf ~; '\''$(id)'");
        let lines = changed(Shell::Powershell, POWERSHELL, "x\u{2019}; $(calc)'");
        assert_eq!(lines[1], "$Tenant = 'x\u{2019}\u{2019}; $(calc)'''");
    }
}
