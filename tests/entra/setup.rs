//! What an administrator may do with `setup.sh`: run it, run it again, run it after it was stopped.

use crate::rig::Tenant;

const FEDERATED: &[(&str, &str)] = &[
    ("CREDENTIAL", "federated"),
    ("FEDERATED_ISSUER", "https://issuer.example"),
    ("FEDERATED_SUBJECT", "mail"),
];
const CERTIFICATE: &[(&str, &str)] = &[("CREDENTIAL", "certificate")];
const SECRET: &[(&str, &str)] = &[("CREDENTIAL", "secret"), ("TENANT", "contoso.com")];
const NONE: &[(&str, &str)] = &[("CREDENTIAL", "none")];
const SCOPED: &[(&str, &str)] = &[("MAILBOXES", "a@contoso.com b@contoso.com")];

/// The calls that change a tenant.
fn changes(calls: &[String]) -> Vec<&String> {
    let verbs = [" create ", " add ", " reset ", " delete ", " update ", " post ", " set "];
    calls.iter().filter(|call| verbs.iter().any(|verb| call.contains(verb))).collect()
}

#[test]
fn the_second_run_changes_nothing_and_says_the_same_connection() {
    for settings in [SECRET, CERTIFICATE, FEDERATED, NONE, SCOPED] {
        let tenant = Tenant::new();
        let first = tenant.set_up(settings);
        assert!(changes(&tenant.calls()).len() >= 3, "{:?}", tenant.calls());
        let (held, left) = (tenant.held(), tenant.left());
        tenant.resume();
        let second = tenant.set_up(settings);
        assert_eq!(tenant.held(), held, "{settings:?}");
        assert_eq!(tenant.left(), left, "{settings:?}");
        assert_eq!(changes(&tenant.calls()), Vec::<&String>::new());
        assert_eq!(second.stdout, first.stdout);
    }
}

#[test]
fn it_may_come_through_a_pipe() {
    let (whole, piped) = (Tenant::new(), Tenant::new());
    let by_file = whole.set_up(CERTIFICATE);
    let by_pipe = piped.piped(CERTIFICATE);
    assert_eq!(by_pipe.code, 0, "{}", by_pipe.stderr);
    let connection = |said: &str| said.lines().take(7).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(connection(&by_pipe.stdout), connection(&by_file.stdout));
    assert_eq!(piped.left(), whole.left());
}

#[test]
fn each_kind_of_credential_ends_up_where_it_belongs() {
    let tenant = Tenant::new();
    let ran = tenant.set_up(SECRET);
    assert_eq!(tenant.own_file("mailbridge-secret"), tenant.secrets()[0]);
    let credential = "client_secret: { file: \"./mailbridge-secret\" }, expires: 2027-01-02 }";
    assert!(ran.stdout.contains(credential), "{}", ran.stdout);
    assert!(ran.stdout.contains("tenant: 99999999-0000-1111-2222-333333333333"));
    assert_eq!(tenant.held()["app"], ["AzureADMyOrg"]);
    assert_eq!(tenant.held()["grants"], ["send-role", "readwrite-role", "users-role"]);
    assert_eq!(tenant.held()["permissions"], ["send-role", "readwrite-role", "users-role"]);

    let tenant = Tenant::new();
    let ran = tenant.set_up(CERTIFICATE);
    let file = tenant.own_file("mailbridge.pem");
    assert!(file.contains("PRIVATE KEY") && file.contains("BEGIN CERTIFICATE"));
    assert_eq!(tenant.held()["certificates"].len(), 1);
    assert!(ran.stdout.contains("certificate: { file: \"./mailbridge.pem\" }"));
    assert_eq!(tenant.left(), ["mailbridge.pem"]);

    let tenant = Tenant::new();
    let ran = tenant.set_up(FEDERATED);
    let parameters = &tenant.held()["federated"][0];
    assert!(parameters.contains("\"audiences\":[\"api://AzureADTokenExchange\"]"), "{parameters}");
    assert!(ran.stdout.contains("federated_token"));
    assert!(tenant.left().is_empty());
}

/// Stops a run at each call in turn, before and after its effect, and runs it again. How often a
/// secret was left behind that nobody knew.
fn finished_by_the_next(settings: &[(&str, &str)]) -> usize {
    let whole = Tenant::new();
    whole.set_up(settings);
    // the steps before the credential are the same for all kinds
    let first = match settings {
        SECRET => 1,
        _ => 1 + whole.calls().iter().rposition(|call| call.contains("post")).expect("a grant"),
    };
    let mut lost = 0;
    for (number, after) in (first..=whole.calls().len()).flat_map(|n| [(n, false), (n, true)]) {
        let tenant = Tenant::new();
        tenant.stop_at(number, after);
        let stopped = tenant.setup(settings);
        assert_ne!(stopped.code, 0, "call {number}: {}", stopped.stdout);
        lost += tenant.secrets().len();
        tenant.resume();
        tenant.set_up(settings);
        let held = tenant.held();
        for (kind, expected) in &whole.held() {
            // each run makes a key pair of its own
            let same = match *kind {
                "certificates" => held[kind].len() == expected.len(),
                _ => &held[kind] == expected,
            };
            assert!(same, "{kind}, stopped at call {number}, {after}: {:?}", held[kind]);
        }
        assert_eq!(tenant.left(), whole.left(), "call {number}");
        if settings == SECRET {
            assert_eq!(tenant.own_file("mailbridge-secret"), tenant.secrets()[0]);
        }
    }
    lost
}

#[test]
fn a_run_that_was_stopped_anywhere_is_finished_by_the_next() {
    // had no secret been lost on the way, this would prove little
    assert!(finished_by_the_next(SECRET) >= 2);
}

#[test]
fn a_certificate_is_uploaded_once_wherever_the_run_was_stopped() {
    assert_eq!(finished_by_the_next(CERTIFICATE), 0);
}

#[test]
fn a_federated_credential_is_made_once_wherever_the_run_was_stopped() {
    assert_eq!(finished_by_the_next(FEDERATED), 0);
}

#[test]
fn a_new_file_is_a_new_secret_beside_the_old_one() {
    let tenant = Tenant::new();
    tenant.set_up(SECRET);
    tenant.set_up(&[("SECRET_FILE", "./next")]);
    let files = [tenant.own_file("mailbridge-secret"), tenant.own_file("next")];
    assert_eq!(tenant.secrets(), files);
    assert_ne!(files[0], files[1]);
}

#[test]
fn a_file_that_holds_no_secret_of_this_app_is_left_alone() {
    let tenant = Tenant::new();
    tenant.set_up(SECRET);
    tenant.write("secrets", "");
    let ran = tenant.setup(SECRET);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("./mailbridge-secret holds no secret of this app"));
    assert!(tenant.own_file("mailbridge-secret").starts_with("S3c"));
    assert!(tenant.secrets().is_empty());
}

#[test]
fn only_what_is_asked_for_is_granted_and_more_is_pointed_out() {
    let tenant = Tenant::new();
    tenant.set_up(&[("PERMISSIONS", "Mail.Send"), ("CREDENTIAL", "none")]);
    assert_eq!(tenant.held()["permissions"], ["send-role"]);
    assert_eq!(tenant.held()["grants"], ["send-role"]);
    tenant.write("grants", "send-role\nreadwrite-role\n");
    let ran = tenant.set_up(&[("PERMISSIONS", "Mail.Send"), ("CREDENTIAL", "none")]);
    assert!(ran.stderr.contains("Mail.ReadWrite is granted too"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Mail.Send is granted too"), "{}", ran.stderr);
}

#[test]
fn with_mailboxes_no_mail_permission_is_granted_for_the_whole_tenant() {
    let tenant = Tenant::new();
    let ran = tenant.set_up(SCOPED);
    assert_eq!(tenant.held()["grants"], ["users-role"]);
    assert_eq!(tenant.held()["permissions"], ["users-role"]);
    for wanted in [
        "PrimarySmtpAddress -eq 'a@contoso.com' -or PrimarySmtpAddress -eq 'b@contoso.com'",
        "-Role 'Application Mail.Send'",
        "-Role 'Application Mail.ReadWrite'",
        "-Resource b@contoso.com",
    ] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("take back"), "{}", ran.stdout);
    // granted by an earlier run without mailboxes: told how to take that back, and not done unasked
    let tenant = Tenant::new();
    tenant.set_up(NONE);
    let ran = tenant.set_up(SCOPED);
    assert!(ran.stdout.contains("/appRoleAssignments/assignment-of-send-role'"), "{}", ran.stdout);
    assert!(ran.stdout.contains("--api-permissions readwrite-role"), "{}", ran.stdout);
    assert_eq!(tenant.held()["grants"].len(), 3);
}

#[test]
fn another_tenants_app_gets_its_principal_and_grants_and_nothing_else() {
    let client = ("CLIENT_ID", "11111111-2222-3333-4444-555555555555");
    let tenant = Tenant::new();
    let ran = tenant.setup(&[client, ("CREDENTIAL", "none")]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is it the object id, or another tenant's app"), "{}", ran.stderr);
    tenant.write("elsewhere", "");
    let ran = tenant.setup(&[client, ("MULTI_TENANT", "yes")]);
    assert!(ran.code == 1 && ran.stderr.contains("set CREDENTIAL='none'"), "{}", ran.stderr);
    for _ in 0..2 {
        tenant.set_up(&[client, ("MULTI_TENANT", "yes"), ("CREDENTIAL", "none")]);
        let held = tenant.held();
        assert_eq!((held["principal"].len(), held["grants"].len()), (1, 3));
        assert!(held["app"].is_empty() && held["permissions"].is_empty());
    }
}

#[test]
fn a_managed_identity_gets_its_grants_and_nothing_else() {
    let tenant = Tenant::new();
    tenant.write("principal", "66666666-7777-8888-9999-aaaaaaaaaaaa\n");
    let client = ("CLIENT_ID", "11111111-2222-3333-4444-555555555555");
    let ran = tenant.setup(&[client]);
    assert!(ran.code == 1 && ran.stderr.contains("set CREDENTIAL='none'"), "{}", ran.stderr);
    for _ in 0..2 {
        tenant.set_up(&[client, ("CREDENTIAL", "none"), ("PERMISSIONS", "Mail.Send")]);
        let held = tenant.held();
        assert_eq!((held["principal"].len(), &held["grants"][..]), (1, &["send-role".into()][..]));
        assert!(held["app"].is_empty() && held["permissions"].is_empty());
    }
}

#[test]
fn an_app_is_opened_to_other_tenants_and_never_closed() {
    let tenant = Tenant::new();
    tenant.set_up(NONE);
    tenant.set_up(&[("MULTI_TENANT", "yes"), ("CREDENTIAL", "none")]);
    assert_eq!(tenant.held()["app"], ["AzureADMultipleOrgs"]);
    let ran = tenant.set_up(NONE);
    assert_eq!(tenant.held()["app"], ["AzureADMultipleOrgs"]);
    assert!(ran.stderr.contains("open to AzureADMultipleOrgs; left as it is"), "{}", ran.stderr);
}

#[test]
fn a_wrong_setting_is_named_before_anything_is_asked() {
    for (name, value, said) in [
        ("CLOUD", "mars", "global, us_gov_l4, us_gov_l5 or china"),
        ("CLOUD", "us_gov_l5", "use setup.ps1 or Terraform"),
        ("CREDENTIAL", "password", "secret, certificate, federated or none"),
        ("CREDENTIAL", "federated", "needs FEDERATED_ISSUER"),
        ("PERMISSIONS", "Mail.Send Mail.Read", "names 'Mail.Read'"),
        ("MAILBOXES", "*@contoso.com", "MAILBOX_GROUP"),
        ("MULTI_TENANT", "true", "yes or no"),
        ("YEARS", "0", "1 to 10"),
        ("APP_NAME", "", "APP_NAME is empty"),
        ("APP_NAME", "it\"s", "quote"),
        ("SECRET_FILE", "no/such/folder", "nothing can be written to that folder"),
    ] {
        let tenant = Tenant::new();
        let ran = tenant.setup(&[(name, value)]);
        assert_eq!((ran.code, tenant.calls().len()), (2, 0), "{name}={value}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{name}={value}: {}", ran.stderr);
    }
    let tenant = Tenant::new();
    let ran = tenant.setup(&[("TENANT", "fabrikam.com")]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("az login --allow-no-subscriptions --tenant fabrikam.com"));
    assert_eq!(changes(&tenant.calls()), Vec::<&String>::new());
}

#[test]
fn a_national_cloud_is_chosen_before_the_tenant_is_asked() {
    let tenant = Tenant::new();
    let ran = tenant.set_up(&[("CLOUD", "china"), ("MAILBOX_GROUP", "Senders")]);
    let calls = tenant.calls();
    let chosen = calls.iter().position(|call| call.contains("cloud set --name AzureChinaCloud"));
    assert!(chosen < calls.iter().position(|call| call.contains("account show")), "{calls:?}");
    assert!(ran.stdout.contains("cloud: china"), "{}", ran.stdout);
    assert!(ran.stdout.contains("-ExchangeEnvironmentName O365China"), "{}", ran.stdout);
    assert!(ran.stdout.contains("MemberOfGroup -eq '$((Get-Group 'Senders')"), "{}", ran.stdout);
}
