//! Every misconfiguration that the doctor can name: one table, from which the program's answers,
//! its JSON and the documentation are made.
//!
//! It holds words only. Which of them fits what was seen is decided in `refusal`, `access` and
//! `offline`, each a pure function.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::Step;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, and should be changed.
    Warning,
    /// It does not work.
    Failed,
}

/// One row a misconfiguration: its id, the step that cures it, how bad it is, what is seen of it,
/// what that means, what to do.
macro_rules! findings {
    ($($variant:ident $id:literal $step:ident $severity:ident
       $seen:literal $means:literal $cure:literal)*) => {
        /// A misconfiguration. The id is stable: scripts match on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Finding {
            $(#[doc = $means] $variant,)*
        }

        impl Finding {
            /// All of them, in the order of the steps.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable id, such as `secret_expired`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// The step that it belongs to.
            pub const fn step(self) -> Step {
                match self { $(Self::$variant => Step::$step),* }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),* }
            }

            /// What is seen of it.
            pub const fn seen(self) -> &'static str {
                match self { $(Self::$variant => $seen),* }
            }

            /// What that means.
            pub const fn means(self) -> &'static str {
                match self { $(Self::$variant => $means),* }
            }

            /// What to do about it.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure),* }
            }
        }
    };
}

// AADSTS numbers: learn.microsoft.com, entra reference-error-codes. Graph codes: as in `classify`.
findings! {
    ClientIdMalformed "client_id_malformed" Register Failed
        "`client_id` is not a GUID"
        "this is not an application (client) id, but perhaps the app's name or its secret"
        "copy \"Application (client) ID\" from the app registration's overview"
    ClientIdIsTenant "client_id_is_tenant" Register Failed
        "`client_id` and `tenant` are the same GUID"
        "the tenant's id was copied in place of the app's"
        "copy \"Application (client) ID\" from the app registration's overview; the line below it \
         there is the tenant"
    AppNotFound "app_not_found" Register Failed
        "AADSTS700016, AADSTS700011"
        "the tenant knows no app with this client id"
        "compare `client_id` with \"Application (client) ID\" on the app registration's overview \
         (an object id, which looks the same, gives this very answer), and `tenant` with the one \
         that it is in; a single-tenant app works in its own tenant only. A new app takes some \
         minutes to be known"
    AppNotInTenant "app_not_in_tenant" Register Failed
        "AADSTS7000229; AADSTS700016 for a connection with `tenants`"
        "the app is another tenant's, and this tenant has no enterprise application for it yet"
        "have an administrator of this tenant open the link shown (LOGIN-HOST/TENANT/adminconsent\
         ?client_id=CLIENT-ID): it makes the app known there and grants what it asks for"
    AppSingleTenant "app_single_tenant" Register Failed
        "AADSTS50194"
        "the app is registered for accounts of its own tenant only, and is used elsewhere"
        "under Authentication of the app registration choose \"Accounts in any organizational \
         directory\", or use the app in its own tenant"
    AppDisabled "app_disabled" Register Failed
        "AADSTS7000112, AADSTS70001, AADSTS1000031"
        "an administrator has disabled the app in this tenant"
        "set \"Enabled for users to sign-in\" to Yes in the enterprise application's properties"
    AppBlocked "app_blocked" Register Failed
        "AADSTS53003, AADSTS530032, AADSTS50131"
        "a Conditional Access policy for workload identities refuses the app from here"
        "find the refused sign-in in the sign-in logs (service principal sign-ins), and let the \
         policy that it names include this address, or leave the app out of it"
    SendNotGranted "permission_missing_send" Permissions Failed
        "sending is denied in every mailbox, and the token does not list Mail.Send"
        "the app has not been granted the application permission Mail.Send"
        "add Mail.Send under API permissions (Microsoft Graph, Application permissions; the \
         delegated one of the same name does not count) and grant admin consent; or grant it in \
         Exchange for some mailboxes only, which takes up to 2 hours to act"
    ReadWriteNotGranted "permission_missing_read_write" Permissions Failed
        "reading or changing drafts is denied in every mailbox, and the token does not list \
         Mail.ReadWrite"
        "the app has not been granted the application permission Mail.ReadWrite, which \
         `guarantee: once` needs in order to look in the mailbox, and `after` to change mails"
        "add Mail.ReadWrite under API permissions (Microsoft Graph, Application permissions) and \
         grant admin consent; or grant it in Exchange for some mailboxes only; or use \
         `guarantee: at_least_once`, which needs Mail.Send alone"
    ReadNotGranted "permission_missing_read" Permissions Failed
        "reading is denied in every mailbox, and the token does not list Mail.Read"
        "the app has not been granted the application permission Mail.Read, which a pipeline of \
         events needs"
        "add Mail.Read under API permissions (Microsoft Graph, Application permissions; the \
         delegated one of the same name does not count) and grant admin consent; or grant it in \
         Exchange for some mailboxes only, which takes up to 2 hours to act"
    UserReadNotGranted "permission_missing_user_read" Permissions Failed
        "listing users is denied"
        "the app has not been granted the application permission User.Read.All, which finding \
         mailboxes by a filter needs"
        "add User.Read.All under API permissions (Microsoft Graph, Application permissions) and \
         grant admin consent; or name the mailboxes in the pipeline"
    GroupReadNotGranted "permission_missing_group_read" Permissions Failed
        "the token does not list GroupMember.Read.All"
        "the app has not been granted the application permission GroupMember.Read.All, which \
         finding the members of a group needs"
        "add GroupMember.Read.All under API permissions (Microsoft Graph, Application permissions) \
         and grant admin consent; or name the mailboxes in the pipeline"
    PermissionUnproven "permission_unproven" Permissions Warning
        "the token does not list the permission, and the pipelines name no mailbox to try"
        "the permission may be missing, or be granted in Exchange, where no token shows it"
        "name a mailbox of the pipelines with `--mailbox ADDRESS`, and it is tried"
    PermissionNotNeeded "permission_not_needed" Permissions Warning
        "the token lists a permission that no pipeline needs"
        "whoever gets hold of the credential can do more than mailbridge ever does"
        "remove it under API permissions, and revoke its admin consent, unless something else uses \
         this app for it"
    ConsentMissing "consent_missing" Consent Failed
        "AADSTS65001, AADSTS650056, AADSTS90094; or a token without any permission, and every \
         mailbox denied"
        "no administrator has consented to what the app asks for, or the consent was revoked"
        "press \"Grant admin consent\" under API permissions of the app, as an administrator; \
         mailbridge takes it up by itself"
    CredentialUnreadable "credential_unreadable" Credential Failed
        "the file or variable is missing, empty or unreadable"
        "the credential is not where the configuration says, or this user may not read it"
        "put it there, readable for the user that runs mailbridge; it is taken up by itself"
    SecretIsId "secret_is_id" Credential Failed
        "the client secret is a GUID"
        "the secret's id was copied in place of its value"
        "make a new secret and copy the column \"Value\", which the portal shows only once"
    SecretWrong "secret_wrong" Credential Failed
        "AADSTS7000215"
        "the client secret is not one of this app's"
        "make a new secret under Certificates & secrets of this very app, and put its value where \
         the configuration says; look for a lost last character, quotes or spaces"
    SecretExpired "secret_expired" Credential Failed
        "AADSTS7000222"
        "the client secret has expired"
        "make a new secret under Certificates & secrets, and put its value where the configuration \
         says; it is taken up by itself"
    CertificateUnknown "certificate_unknown" Credential Failed
        "AADSTS700027, AADSTS700030"
        "the certificate is not one of this app's, or the app has another one with its name"
        "upload the certificate (not its key) under Certificates & secrets of this very app, and \
         compare the thumbprint there with the file's"
    CertificateMismatch "certificate_mismatch" Credential Failed
        "the private key does not belong to the certificate"
        "key and certificate come from two pairs, so nothing that is signed can be checked"
        "put both of one pair into the file; `openssl x509 -pubkey` and `openssl pkey -pubout` \
         must print the same"
    CertificateExpired "certificate_expired" Credential Failed
        "the certificate's own end has passed"
        "the login service takes no signature of an expired certificate"
        "make a new certificate, upload it to the app, and put it with its key where the \
         configuration says; it is taken up by itself"
    FederatedNoMatch "federated_no_match" Credential Failed
        "AADSTS70021, AADSTS700211, AADSTS700212, AADSTS700213, AADSTS70025"
        "no federated credential of the app has the issuer, subject and audience of this token"
        "compare them letter by letter under Certificates & secrets, Federated credentials; for \
         Kubernetes the subject is system:serviceaccount:NAMESPACE:NAME and the audience \
         api://AzureADTokenExchange"
    FederatedRefused "federated_refused" Credential Failed
        "AADSTS50013, AADSTS50012, AADSTS50027, AADSTS500133 or AADSTS700024 for a federated token, \
         by a clock that is right"
        "the token has expired, or its issuer's keys do not fit it"
        "look whether the file is written anew by its issuer, and whether the issuer's keys can be \
         read from the internet"
    IdentityNotAssigned "identity_not_assigned" Credential Failed
        "the identity endpoint answers \"Identity not found\""
        "no managed identity is assigned to this machine, or none with this id"
        "assign the identity to the machine or app; with several of them give `client_id` of the \
         one to use (not its object id)"
    IdentityUnreachable "identity_unreachable" Credential Failed
        "no answer from the identity endpoint"
        "this machine is not in Azure, or something keeps it from 169.254.169.254"
        "run it where the identity is assigned; let no proxy and no network policy stand between"
    CredentialExpiring "credential_expiring" Credential Warning
        "`expires:`, or the certificate's own end, is less than 30 days away"
        "the credential is right, and will not be for much longer"
        "add a second one to the app now and list both under `credential:`; remove the old one \
         when it has expired"
    CredentialRefused "credential_refused" Credential Failed
        "any other AADSTS number"
        "the login service refuses the app for a reason that is not in this table"
        "look the number up at https://login.microsoftonline.com/error, and the sign-in by its \
         correlation id in the sign-in logs"
    TenantUnknown "tenant_unknown" Endpoint Failed
        "AADSTS90002"
        "there is no such tenant in this cloud"
        "compare `tenant` with \"Directory (tenant) ID\" on the app registration's overview, and \
         `cloud` with the cloud that the tenant is in"
    CloudWrong "cloud_wrong" Endpoint Failed
        "AADSTS900382, AADSTS900432, AADSTS90038, AADSTS500011; or the login service names another \
         cloud's Graph for this tenant"
        "the tenant is in another cloud than the connection says"
        "set `cloud:` to the tenant's: global, us_gov_l4, us_gov_l5 or china"
    TenantUnnamed "tenant_unnamed" Endpoint Failed
        "`tenant` or `token_endpoint` says common, organizations or consumers; AADSTS9001023"
        "this stands for any tenant, and an app without a user signs in to one"
        "give the tenant's GUID or a domain of it; personal accounts cannot be used at all"
    EndpointV1 "endpoint_v1" Endpoint Failed
        "`token_endpoint` ends in /oauth2/token"
        "this is the token endpoint of v1, which takes other fields"
        "leave `token_endpoint` out, or give the one that ends in /oauth2/v2.0/token"
    EndpointOfUsers "endpoint_of_users" Endpoint Failed
        "`token_endpoint` ends in /authorize"
        "this is where users sign in, and there is no user"
        "leave `token_endpoint` out, or give the one that ends in /oauth2/v2.0/token"
    LoginUnreachable "login_unreachable" Endpoint Failed
        "no connection to the login host, or none that lasts until its answer"
        "name resolution, a proxy or a firewall keeps this machine from the login host"
        "let this machine reach the login host on port 443; from here `curl -v` on the address \
         that is shown tells where it ends"
    LoginNotMicrosoft "login_not_microsoft" Endpoint Failed
        "the answer to a token request is HTML, or anything but a token response"
        "something else answers in the login host's place: a proxy, a captive portal, a wrong URL"
        "check `cloud` and `token_endpoint`, and let traffic to the login host through untouched"
    LoginThrottled "login_throttled" Endpoint Failed
        "HTTP 429 of the login host, AADSTS50196"
        "the app asked for tokens too often, and has to wait"
        "wait a few minutes; then find out what asks for tokens without keeping them: mailbridge \
         asks about once an hour for each worker"
    LoginUnavailable "login_unavailable" Endpoint Failed
        "HTTP 5xx of the login host, AADSTS90033 and its like"
        "the login service has a passing failure"
        "run this again in a moment; if it lasts, see the service health of Microsoft 365"
    ClockWrong "clock_wrong" Endpoint Failed
        "AADSTS700024, AADSTS500133, and this machine's clock is not the login host's"
        "assertions of a certificate are valid for minutes, and by this clock not now"
        "let this machine keep time (NTP)"
    ClockOff "clock_off" Endpoint Warning
        "the `Date` of the login host is more than a minute away from this machine's clock"
        "a secret works all the same; a certificate stops working when it gets worse"
        "let this machine keep time (NTP)"
    GraphUnreachable "graph_unreachable" Endpoint Failed
        "no connection to the Graph host, or no answer"
        "name resolution, a proxy or a firewall keeps this machine from Graph"
        "let this machine reach the Graph host on port 443; it is another host than the login host"
    GraphNotMicrosoft "graph_not_microsoft" Endpoint Failed
        "the Graph host's answer is not one of Graph's"
        "something else answers in Graph's place: a proxy, a captive portal, a wrong URL"
        "check `cloud`, and let traffic to the Graph host through untouched"
    GraphRefusesToken "graph_refuses_token" Endpoint Failed
        "HTTP 401 of Graph for a token of a moment ago"
        "login and Graph host do not belong together, or the app was disabled just now"
        "check the hosts under `cloud`, and that nothing on the way takes the Authorization header \
         away"
    MailboxPersonal "mailbox_personal" Mailboxes Failed
        "the address is of outlook.com, hotmail.com, live.com, msn.com or the like"
        "this is a personal account, which no app can use without its user"
        "use a mailbox of a work or school tenant"
    MailboxUnknown "mailbox_unknown" Mailboxes Failed
        "ErrorInvalidUser, Request_ResourceNotFound"
        "the tenant has no such user or mailbox"
        "check the address for typing errors; an alias or a former name may have to be replaced by \
         the user principal name. A new user takes about 15 minutes to be known"
    MailboxWithoutLicence "mailbox_without_licence" Mailboxes Failed
        "MailboxNotEnabledForRESTAPI, ErrorNonExistentMailbox"
        "the user has no mailbox in Exchange Online: no licence, soft-deleted, or on-premises"
        "assign a licence with Exchange Online, or make it a shared mailbox; a mailbox on-premises \
         has to be migrated first"
    MailboxDenied "mailbox_denied" Mailboxes Failed
        "ErrorAccessDenied in this mailbox, while the permission is granted as such"
        "Exchange keeps the app out of this mailbox: RBAC for Applications or an application \
         access policy does not include it"
        "add the mailbox to the management scope or the policy's group; the commands shown tell \
         which. A change takes 30 minutes to 2 hours to act. A mistyped address may be denied too"
    MailboxUnproven "mailbox_unproven" Mailboxes Failed
        "HTTP 429 or 5xx of Graph for this mailbox"
        "Graph could not say just now whether the mailbox can be used"
        "run this again in a moment"
    ScopeTooWide "scope_too_wide" Mailboxes Warning
        "the token lists mail permissions, and the pipelines name a few mailboxes only"
        "consent in Entra opens every mailbox of the tenant to this app, unless an application \
         access policy limits it"
        "grant the permissions in Exchange for these mailboxes, then take the consent in Entra \
         back, since grants add up; the commands shown do it. It takes up to 2 hours to act"
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl JsonSchema for Finding {
    fn schema_name() -> Cow<'static, str> {
        "Finding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let ids: Vec<_> = Self::ALL.iter().map(|finding| finding.id()).collect();
        json_schema!({ "type": "string", "enum": ids })
    }
}

/// The whole table in Markdown, a section a step, for the documentation.
pub fn table() -> String {
    let mut text = String::new();
    for step in Step::ALL {
        text.extend(["\n## ", &step.number().to_string(), " ", step.name(), "\n\n"]);
        text.push_str("| finding | seen | means | cure |\n|---|---|---|---|\n");
        for row in Finding::ALL.iter().filter(|finding| finding.step() == step) {
            let severity = if row.severity() == Severity::Warning { " (warning)" } else { "" };
            let id = format!("`{row}`{severity}");
            text.extend(["| ", &id, " | ", row.seen(), " | ", row.means(), " | ", row.cure()]);
            text.push_str(" |\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_an_id_of_its_own_and_stands_with_its_step() {
        let mut ids: Vec<_> = Finding::ALL.iter().map(|row| row.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Finding::ALL.len());
        assert!(Finding::ALL.is_sorted_by_key(|row| row.step()));
        for row in Finding::ALL {
            for text in [row.seen(), row.means(), row.cure()] {
                assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('|'), "{row}");
            }
        }
    }
}
