use mailbridge_core::Guarantee;

use super::*;
use crate::doctor::report::{Status, StepReport};

const READ_WRITE: Permission = Permission::ReadWrite;
const SEND: Permission = Permission::Send;

/// What a connection's mailboxes answered, and what came of it.
struct Case {
    roles: Option<&'static [&'static str]>,
    mailboxes: &'static [&'static str],
    answers: Vec<(&'static str, Permission, Access)>,
    discovery: bool,
    /// Pipelines read, instead of sending.
    reading: bool,
}

impl Case {
    fn with_roles(roles: &'static [&'static str]) -> Self {
        Self {
            roles: Some(roles),
            mailboxes: &["a@x.org"],
            answers: Vec::new(),
            discovery: false,
            reading: false,
        }
    }

    fn answering(mut self, access: Access) -> Self {
        for mailbox in self.mailboxes {
            self.answers.extend([(*mailbox, READ_WRITE, access), (*mailbox, SEND, access)]);
        }
        self
    }

    fn steps(&self) -> Vec<StepReport> {
        let mut needs = Needs::default();
        if self.reading {
            needs.reading(false, self.mailboxes.iter().copied());
        } else {
            needs.sending(Guarantee::Once, self.mailboxes.iter().copied());
        }
        if self.discovery {
            needs.discovery(self.reading);
        }
        let roles = self.roles.map(|roles| roles.iter().map(|&role| role.to_owned()).collect());
        let claims = roles.map(|roles| Claims { roles, ..Claims::default() });
        let answer = |access| Answer { access, fields: Vec::new() };
        let tried: Vec<_> = self
            .mailboxes
            .iter()
            .filter(|mailbox| !mailbox.contains('*'))
            .map(|mailbox| Tried {
                mailbox: (*mailbox).to_owned(),
                answers: self
                    .answers
                    .iter()
                    .filter(|(of, ..)| of == mailbox)
                    .map(|(_, permission, access)| (*permission, answer(*access)))
                    .collect(),
            })
            .collect();
        let exchange = Exchange { client_id: Some("c"), object_id: None, graph: "https://g/v1.0" };
        let directory = answer(Access::Denied);
        let claims = claims.as_ref();
        let seen = Seen { needs: &needs, claims, directory: &directory, tried: &tried, exchange };
        let mut chart = Chart::default();
        seen.judge(&mut chart);
        chart.finish()
    }

    fn findings(&self) -> Vec<Finding> {
        self.steps().iter().flat_map(|step| &step.findings).map(|finding| finding.id).collect()
    }
}

const BOTH: &[&str] = &["Mail.ReadWrite", "Mail.Send"];

#[test]
fn grants_of_exchange_are_enough_and_show_nothing_in_the_token() {
    let case = Case::with_roles(&[]).answering(Access::Granted);
    assert_eq!(case.findings(), []);
    let steps = case.steps();
    assert!(steps[2].found.as_deref().unwrap().contains("Exchange"), "{:?}", steps[2]);
    assert_eq!(steps[5].status, Status::Ok);
}

#[test]
fn nothing_listed_and_everything_denied_is_the_consent() {
    let case = Case::with_roles(&[]).answering(Access::Denied);
    assert_eq!(case.findings(), [Finding::ConsentMissing]);
    assert_eq!(case.steps()[5].because_of, Some(Step::Consent));
}

#[test]
fn a_permission_that_is_not_listed_and_works_nowhere_is_missing() {
    let mut case = Case::with_roles(&["Mail.ReadWrite"]);
    case.answers =
        vec![("a@x.org", READ_WRITE, Access::Granted), ("a@x.org", SEND, Access::Denied)];
    assert_eq!(case.findings(), [Finding::SendNotGranted]);
    // an opaque token is no consent that is missing
    case.roles = None;
    case.answers = vec![("a@x.org", READ_WRITE, Access::Denied), ("a@x.org", SEND, Access::Denied)];
    assert_eq!(case.findings(), [Finding::SendNotGranted, Finding::ReadWriteNotGranted]);
}

#[test]
fn what_is_listed_and_denied_everywhere_is_kept_out_by_exchange() {
    let case = Case::with_roles(BOTH).answering(Access::Denied);
    assert_eq!(case.findings(), [Finding::MailboxDenied]);
}

#[test]
fn one_mailbox_that_works_shows_that_the_others_are_closed() {
    let mut case = Case::with_roles(&[]);
    case.mailboxes = &["a@x.org", "b@x.org"];
    case = case.answering(Access::Granted);
    for (of, _, access) in &mut case.answers {
        if *of == "b@x.org" {
            *access = Access::Denied;
        }
    }
    assert_eq!(case.findings(), [Finding::MailboxDenied]);
    let steps = case.steps();
    let observation = &steps[5].findings[0];
    assert_eq!(observation.about.as_deref(), Some("b@x.org"));
    assert!(observation.commands.iter().any(|line| line.contains("'b@x.org'")));
}

#[test]
fn more_than_is_needed_is_told() {
    let roles = &["Mail.ReadWrite", "Mail.Send", "Calendars.Read"];
    let case = Case::with_roles(roles).answering(Access::Granted);
    assert_eq!(case.findings(), [Finding::PermissionNotNeeded, Finding::ScopeTooWide]);
    let mut patterns = Case::with_roles(BOTH);
    patterns.mailboxes = &["*@x.org", "a@x.org"];
    let patterns = patterns.answering(Access::Granted);
    assert_eq!(patterns.findings(), [], "whoever allows any mailbox needs all of them");
}

#[test]
fn without_a_mailbox_to_try_the_token_is_a_hint() {
    let mut case = Case::with_roles(&["Mail.Send"]);
    case.mailboxes = &["*@x.org"];
    assert_eq!(case.findings(), [Finding::PermissionUnproven]);
    assert!(case.steps().iter().all(|step| step.status != Status::Failed));
}

#[test]
fn the_directory_is_asked_for_discovery_only() {
    let mut case = Case::with_roles(BOTH).answering(Access::Granted);
    case.discovery = true;
    assert_eq!(case.findings(), [Finding::UserReadNotGranted]);
}

#[test]
fn whoever_reads_needs_to_read_and_no_more() {
    let read = |roles, access| {
        let mut case = Case { reading: true, ..Case::with_roles(roles) };
        case.answers = vec![("a@x.org", Permission::Read, access)];
        case
    };
    assert_eq!(read(&["Mail.Send"], Access::Denied).findings()[0], Finding::ReadNotGranted);
    assert_eq!(read(&[], Access::Granted).findings(), []);
    let wide = read(&["Mail.ReadWrite"], Access::Granted).findings();
    assert_eq!(wide, [Finding::PermissionNotNeeded, Finding::ScopeTooWide]);
    let mut group = read(&["Mail.Read", "User.Read.All"], Access::Granted);
    group.discovery = true;
    let missing = [Finding::UserReadNotGranted, Finding::GroupReadNotGranted];
    assert_eq!(group.findings(), missing, "the directory is denied here");
}

#[test]
fn each_kind_of_closed_mailbox_has_its_finding() {
    for (access, finding) in [
        (Access::NoUser, Finding::MailboxUnknown),
        (Access::NoMailbox, Finding::MailboxWithoutLicence),
        (Access::Unproven, Finding::MailboxUnproven),
    ] {
        assert_eq!(Case::with_roles(BOTH).answering(access).findings(), [finding]);
    }
}
