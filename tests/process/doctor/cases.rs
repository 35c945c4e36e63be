//! Every misconfiguration, made.

use mailbridge_graph::doctor::Finding;
use mailbridge_sandbox::{
    App, DEMO_CLIENT_ID, DEMO_TENANT_ID, Fault, Handle, Kind, MailboxGrant, MailboxState,
    Operation, Outage,
};

use super::kinds;
use super::world::{Case, MAILBOX, SECRET, Values, granted};

/// Rows that no configuration of a pipeline that sends can meet: each has a test of its own.
pub const TESTED_ELSEWHERE: [Finding; 3] =
    [Finding::ReadNotGranted, Finding::UserReadNotGranted, Finding::GroupReadNotGranted];

/// What a client id that nobody has looks like: an object id, for instance.
const NOBODY: &str = "0e000000-0000-4000-8000-00000000000d";

pub fn cases() -> Vec<Case> {
    [register(), permissions(), credential(), kinds::cases(), endpoint(), mailboxes()]
        .into_iter()
        .flatten()
        .collect()
}

/// A failure of the configuration's values.
pub(super) fn wrong(name: &'static str, finding: Finding, change: fn(&mut Values)) -> Case {
    let mut case = Case { name, finding, exit: 1, ..Case::healthy() };
    change(&mut case.values);
    case
}

/// A mistake that shows before anything is asked.
fn offline(name: &'static str, finding: Finding, change: fn(&mut Values)) -> Case {
    Case { exit: 78, ..wrong(name, finding, change) }
}

/// An app that is not as it should be.
fn with_app(name: &'static str, finding: Finding, app: App) -> Case {
    Case { name, finding, exit: 1, app, ..Case::healthy() }
}

/// Something that happens at the service.
fn when(name: &'static str, finding: Finding, act: fn(&Handle)) -> Case {
    Case { name, finding, exit: 1, act, ..Case::healthy() }
}

/// The same for what strikes requests to the directory, which the sandbox lets strike only those
/// that it would have let in.
fn at_graph(name: &'static str, finding: Finding, act: fn(&Handle)) -> Case {
    Case { app: granted().roles(["User.Read.All"]), ..when(name, finding, act) }
}

pub(super) fn warning(case: Case) -> Case {
    Case { exit: 0, ..case }
}

/// The login host refuses with this number, which the sandbox has no other reason for.
fn refuse(handle: &Handle, status: u16, number: u32) {
    let mut fault = Fault::answer(status).on(Operation::Token);
    if let Kind::Answer(fake) = &mut fault.kind {
        fake.message = Some(format!("AADSTS{number}: made up. Trace ID: x"));
    }
    handle.add_fault(fault);
}

/// A page in place of an answer.
fn page(handle: &Handle, operation: Operation) {
    let mut fault = Fault::answer(200).on(operation);
    if let Kind::Answer(fake) = &mut fault.kind {
        fake.html = true;
    }
    handle.add_fault(fault);
}

fn register() -> Vec<Case> {
    vec![
        offline("a name as the client id", Finding::ClientIdMalformed, |values| {
            values.client_id = "mailbridge";
        }),
        offline("the tenant's id as the client id", Finding::ClientIdIsTenant, |values| {
            values.client_id = DEMO_TENANT_ID;
        }),
        wrong("an object id as the client id", Finding::AppNotFound, |values| {
            values.client_id = NOBODY;
        }),
        with_app("nobody has consented here", Finding::AppNotFound, granted().not_installed()),
        when("the app is another tenant's", Finding::AppNotInTenant, |handle| {
            refuse(handle, 400, 7_000_229);
        }),
        Case {
            app: granted().not_installed(),
            ..wrong("a tenant that has not consented", Finding::AppNotInTenant, |values| {
                values.tenant = "";
                values.more = "tenants: { contoso.example: [\"*@contoso.example\"] }";
            })
        },
        when("a single-tenant app in another tenant", Finding::AppSingleTenant, |handle| {
            refuse(handle, 400, 50_194);
        }),
        with_app("a disabled app", Finding::AppDisabled, granted().disabled()),
        with_app("conditional access", Finding::AppBlocked, granted().blocked()),
    ]
}

fn permissions() -> Vec<Case> {
    let app = || App::new(DEMO_CLIENT_ID).secret(SECRET);
    let grant = |role| MailboxGrant::new(role, [MAILBOX]);
    let patterns = |values: &mut Values| values.mailboxes = &["*@contoso.example"];
    vec![
        with_app(
            "nobody granted sending",
            Finding::SendNotGranted,
            app().grant(grant("Application Mail.ReadWrite")),
        ),
        with_app(
            "nobody granted looking",
            Finding::ReadWriteNotGranted,
            app().roles(["Mail.Send", "Mail.Read"]),
        ),
        warning(wrong("no mailbox to try", Finding::PermissionUnproven, patterns)),
        warning(with_app(
            "a permission too many",
            Finding::PermissionNotNeeded,
            granted().roles(["Calendars.Read"]),
        )),
        with_app("the consent is revoked", Finding::ConsentMissing, app()),
        when("the login host says so", Finding::ConsentMissing, |handle| {
            refuse(handle, 400, 65_001);
        }),
    ]
}

fn credential() -> Vec<Case> {
    vec![
        wrong("no such file", Finding::CredentialUnreadable, |values| {
            values.credential = "{ client_secret: { file: nowhere } }";
        }),
        wrong("an empty file", Finding::CredentialUnreadable, |values| values.secret = "\n"),
        wrong("the secret's id in the file", Finding::SecretIsId, |values| {
            values.secret = "0b5f3a0e-0000-4000-8000-00000000abcd";
        }),
        offline("the secret's id in the configuration", Finding::SecretIsId, |values| {
            values.credential = r#"{ client_secret: "0b5f3a0e-0000-4000-8000-00000000abcd" }"#;
        }),
        wrong("a wrong secret", Finding::SecretWrong, |values| values.secret = "hush-wrong"),
        when("an expired secret", Finding::SecretExpired, |handle| {
            handle.expire_secret(DEMO_CLIENT_ID, None).expect("the app is known");
        }),
        when("a number that nobody knows", Finding::CredentialRefused, |handle| {
            refuse(handle, 401, 7_000_999);
        }),
    ]
}

fn endpoint() -> Vec<Case> {
    vec![
        wrong("another tenant", Finding::TenantUnknown, |values| values.tenant = NOBODY),
        when("another cloud", Finding::CloudWrong, |handle| refuse(handle, 400, 900_382)),
        offline("/common", Finding::TenantUnnamed, |values| values.tenant = "common"),
        offline("/consumers in the endpoint", Finding::TenantUnnamed, |values| {
            values.more = "token_endpoint: \"{sandbox}/consumers/oauth2/v2.0/token\"";
        }),
        offline("v1", Finding::EndpointV1, |values| {
            values.more = "token_endpoint: \"{sandbox}/contoso.example/oauth2/token\"";
        }),
        offline("the endpoint of users", Finding::EndpointOfUsers, |values| {
            values.more = "token_endpoint: \"{sandbox}/contoso.example/oauth2/v2.0/authorize\"";
        }),
        wrong("no login host", Finding::LoginUnreachable, |values| values.login_is_gone = true),
        when("the login host hangs up", Finding::LoginUnreachable, |handle| {
            handle.set_outage(Outage::Reset);
        }),
        when("a captive portal", Finding::LoginNotMicrosoft, |handle| {
            page(handle, Operation::Token);
        }),
        when("garbage from the login host", Finding::LoginNotMicrosoft, |handle| {
            handle.set_outage(Outage::Garbage);
        }),
        when("a throttled login", Finding::LoginThrottled, |handle| {
            handle.set_outage(Outage::Throttled);
        }),
        when("a login outage", Finding::LoginUnavailable, |handle| {
            handle.set_outage(Outage::Unavailable);
        }),
        warning(when("a clock that is off", Finding::ClockOff, |handle| {
            handle.set_login_skew(-600);
        })),
        wrong("no Graph host", Finding::GraphUnreachable, |values| values.graph_is_gone = true),
        at_graph("a proxy's page for Graph", Finding::GraphNotMicrosoft, |handle| {
            page(handle, Operation::ListUsers);
        }),
        at_graph("a token that Graph refuses", Finding::GraphRefusesToken, |handle| {
            handle.add_fault(Fault::answer(401).on(Operation::ListUsers));
        }),
    ]
}

fn mailboxes() -> Vec<Case> {
    vec![
        wrong("a personal account", Finding::MailboxPersonal, |values| {
            values.mailboxes = &[MAILBOX, "somebody@outlook.com"];
        }),
        Case {
            // with a scope of mailboxes, one that is not there is outside of it
            app: App::new(DEMO_CLIENT_ID).secret(SECRET).roles(["Mail.Send", "Mail.ReadWrite"]),
            ..wrong("nobody's mailbox", Finding::MailboxUnknown, |values| {
                values.mailboxes = &[MAILBOX, "nobody@contoso.example"];
            })
        },
        when("no licence", Finding::MailboxWithoutLicence, |handle| {
            set(handle, MailboxState::NotEnabled);
        }),
        wrong("a mailbox outside the scope", Finding::MailboxDenied, |values| {
            values.mailboxes = &[MAILBOX, "bob@contoso.example"];
        }),
        with_app(
            "an application access policy",
            Finding::MailboxDenied,
            App::new(DEMO_CLIENT_ID)
                .secret(SECRET)
                .roles(["Mail.Send", "Mail.ReadWrite"])
                .access_policy(["bob@contoso.example"]),
        ),
        when("a throttled mailbox", Finding::MailboxUnproven, |handle| {
            set(handle, MailboxState::Throttled);
        }),
        warning(with_app(
            "the whole tenant",
            Finding::ScopeTooWide,
            App::new(DEMO_CLIENT_ID).secret(SECRET).roles(["Mail.Send", "Mail.ReadWrite"]),
        )),
    ]
}

fn set(handle: &Handle, state: MailboxState) {
    handle.set_mailbox(MAILBOX, state).expect("it is there");
}
