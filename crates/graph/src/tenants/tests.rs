mod changes;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{
    Deadline, Doubt, Guarantee, Message, NoFiles, Original, Position, Report,
    contract::{Key, Undelivered, decode::decode},
};

use super::*;

/// Answers as it is told, and writes down who was asked for.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    ready: Option<Error>,
    perform: Option<Error>,
    hangs: bool,
    /// What a rule names here.
    named: Vec<Mailbox>,
    asked: Vec<String>,
}

impl Fake {
    /// As when there is no token.
    fn fails(&self, error: Option<Error>) {
        self.0.lock().unwrap().ready.clone_from(&error);
        self.fails_mail(error);
    }

    /// As when there is a token that is granted nothing.
    fn fails_mail(&self, error: Option<Error>) {
        self.0.lock().unwrap().perform = error;
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

#[async_trait]
impl Mail for Fake {
    async fn ready(&self) -> Result<()> {
        let hangs = self.0.lock().unwrap().hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        self.0.lock().unwrap().ready.clone().map_or(Ok(()), Err)
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        let mut told = self.0.lock().unwrap();
        told.asked.push(attempt.mailbox.to_string());
        told.perform.clone().map_or(Ok(Completion::Absent), Err)
    }

    async fn tidy(&self) {
        self.0.lock().unwrap().asked.push("tidy".to_owned());
    }

    fn reports(&self) -> Option<&dyn Reports> {
        Some(self)
    }
}

#[async_trait]
impl Reports for Fake {
    async fn arrived(&self, mailbox: &Mailbox, _since: Timestamp) -> Result<Vec<Report>> {
        let mut told = self.0.lock().unwrap();
        told.asked.push(format!("reports of {mailbox}"));
        told.perform.clone().map_or(Ok(Vec::new()), Err)
    }

    async fn original(&self, _mailbox: &Mailbox, _report: &Report) -> Result<Option<Original>> {
        Ok(None)
    }

    async fn undelivered(
        &self,
        _mailbox: &Mailbox,
        _report: &Report,
    ) -> Result<Option<Vec<Undelivered>>> {
        Ok(None)
    }

    async fn note(&self, _mailbox: &Mailbox, _report: &Report) -> Result<()> {
        Ok(())
    }
}

fn tenants(of: &[(&str, &Fake, &[&str])]) -> Tenants {
    let tenant = |(name, fake, mailboxes): &(&str, &Fake, &[&str])| Tenant {
        mailboxes: mailboxes.iter().map(ToString::to_string).collect(),
        graph: Arc::new((*fake).clone()),
        gate: Gate::new("c", (*name).to_owned()),
    };
    Tenants(of.iter().map(tenant).collect())
}

async fn perform(tenants: &Tenants, mailbox: &str) -> Result<Completion> {
    let json = r#"{"id":"1","to":"bob@x.org","subject":"Hi","text":"hello"}"#;
    let message = Message { payload: json.into(), ..Message::default() };
    let request = decode(&message, &Position::new("1")).unwrap().request;
    let attempt = Attempt {
        request: &request,
        mailbox: &Mailbox::new(mailbox),
        mark: &Key::of_id("1").mark("orders"),
        origin: None,
        guarantee: Guarantee::Once,
        doubt: Doubt::None,
        deadline: &Deadline::fixed(Duration::from_secs(20)),
        files: &NoFiles,
    };
    tenants.perform(attempt).await
}

fn scope(error: &Error) -> Scope {
    match error.verdict() {
        Verdict::Blocked { scope, .. } => scope,
        other => panic!("{other:?}"),
    }
}

fn no_consent() -> Error {
    let after = Some(Duration::from_secs(7));
    let verdict = Verdict::Blocked { scope: Scope::Connection, after };
    Error::new(Code::CredentialConsentMissing, verdict, "no")
}

#[tokio::test]
async fn each_mailbox_goes_to_its_tenant() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com", "it@x.org"]), ("b", &b, &["*@b.com"])]);
    for mailbox in ["one@A.com", "IT@x.org", "two@b.com"] {
        perform(&tenants, mailbox).await.unwrap();
    }
    assert_eq!(a.asked(), ["one@A.com", "IT@x.org"]);
    assert_eq!(b.asked(), ["two@b.com"]);

    let error = perform(&tenants, "she@x.org").await.unwrap_err();
    assert_eq!(error.code(), Code::RequestMailboxNoTenant);
    assert_eq!((error.verdict(), error.field("key")), (Verdict::Permanent, Some("tenants")));
    assert!(a.asked().is_empty() && b.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_blocked_closes_its_own_mailboxes_only() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    a.fails(Some(no_consent()));
    let error = perform(&tenants, "one@a.com").await.unwrap_err();
    assert_eq!(error.field("tenant"), Some("a"));
    let after = Some(Duration::from_secs(7));
    assert_eq!(error.verdict(), Verdict::Blocked { scope: Scope::Mailbox, after });
    perform(&tenants, "two@b.com").await.unwrap();
    tenants.ready().await.unwrap();

    // none is left
    b.fails(Some(no_consent()));
    assert_eq!(scope(&perform(&tenants, "two@b.com").await.unwrap_err()), Scope::Connection);
    assert_eq!(scope(&perform(&tenants, "one@a.com").await.unwrap_err()), Scope::Connection);
    assert_eq!(scope(&tenants.ready().await.unwrap_err()), Scope::Connection);

    // one is back, and with it the connection
    a.fails(None);
    tenants.ready().await.unwrap();
    perform(&tenants, "one@a.com").await.unwrap();
    assert_eq!(scope(&perform(&tenants, "two@b.com").await.unwrap_err()), Scope::Mailbox);
}

#[tokio::test]
async fn what_is_one_mailboxs_own_stays_its_own() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    for fake in [&a, &b] {
        let verdict = Verdict::Blocked { scope: Scope::Mailbox, after: None };
        fake.fails(Some(Error::new(Code::MailboxDenied, verdict, "no")));
    }
    for mailbox in ["one@a.com", "two@b.com"] {
        assert_eq!(scope(&perform(&tenants, mailbox).await.unwrap_err()), Scope::Mailbox);
    }
}

#[tokio::test]
async fn the_only_tenant_is_the_connection() {
    let only = Fake::default();
    let tenants = tenants(&[("only", &only, &["*"])]);
    only.fails(Some(no_consent()));
    let error = perform(&tenants, "any-user-id").await.unwrap_err();
    assert_eq!((scope(&error), error.field("tenant")), (Scope::Connection, None));
    assert_eq!(scope(&tenants.ready().await.unwrap_err()), Scope::Connection);
    assert!(tenants.troubles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_blocked_tenant_is_tried_by_one_mail_at_a_time() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    let denied = Error::blocked(Code::GraphPermissionMissing, "nothing is granted");
    a.fails_mail(Some(denied));
    for n in 0..100 {
        let error = perform(&tenants, &format!("m{n}@a.com")).await.unwrap_err();
        assert_eq!((scope(&error), error.code()), (Scope::Mailbox, Code::GraphPermissionMissing));
    }
    assert_eq!(a.asked(), ["m0@a.com"]);
    // this one does not show in the tenant's own word
    tenants.ready().await.unwrap();
    assert_eq!(tenants.troubles().len(), 1);

    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        let error = perform(&tenants, "m0@a.com").await.unwrap_err();
        let Verdict::Blocked { after: Some(after), .. } = error.verdict() else { panic!() };
        assert!(after >= Duration::from_secs(1) && after <= Duration::from_secs(30), "{after:?}");
        tokio::time::advance(after).await;
        waited += after;
    }
    let asked = a.asked().len();
    assert!((15..=21).contains(&asked), "{asked}");
    assert!(waited > Duration::from_mins(5), "the pauses grow: {waited:?}");

    a.fails_mail(None);
    tokio::time::advance(Duration::from_secs(30)).await;
    for n in 0..100 {
        perform(&tenants, &format!("m{n}@a.com")).await.unwrap();
    }
    assert!(tenants.troubles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn none_is_ready_for_the_reason_of_the_first_and_one_that_hangs_holds_nobody_up() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    a.fails(Some(no_consent()));
    b.fails(Some(Error::blocked(Code::CredentialAppNotFound, "no")));
    let error = tenants.ready().await.unwrap_err();
    assert_eq!((error.code(), error.field("tenant")), (Code::CredentialConsentMissing, Some("a")));
    let codes: Vec<_> = tenants.troubles().iter().map(|it| it.error.code()).collect();
    assert_eq!(codes, [Code::CredentialConsentMissing, Code::CredentialAppNotFound]);

    a.0.lock().unwrap().hangs = true;
    b.fails(None);
    tenants.ready().await.unwrap();

    // and whoever is ready first, the others are heard
    a.0.lock().unwrap().hangs = false;
    a.fails(None);
    tenants.ready().await.unwrap();
    assert!(tenants.troubles().is_empty(), "{:?}", tenants.troubles());
}

#[tokio::test]
async fn every_tenant_is_tidied() {
    let (contoso, fabrikam) = (Fake::default(), Fake::default());
    let both = tenants(&[("contoso", &contoso, &["*@a"]), ("fabrikam", &fabrikam, &["*@b"])]);
    both.tidy().await;
    for fake in [contoso, fabrikam] {
        assert_eq!(fake.0.lock().unwrap().asked, ["tidy"]);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_are_looked_for_in_the_mailbox_s_own_tenant() {
    let (north, south) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("north", &north, &["*@n.org"]), ("south", &south, &["*@s.org"])]);
    let reports = tenants.reports().unwrap();
    let look = async |mailbox| reports.arrived(&Mailbox::new(mailbox), Timestamp::MIN).await;
    look("a@s.org").await.unwrap();
    assert_eq!((north.asked(), south.asked()), (vec![], vec!["reports of a@s.org".to_owned()]));
    let error = look("a@elsewhere.org").await.unwrap_err();
    assert_eq!(error.code(), Code::RequestMailboxNoTenant);
    // what fails here closes nobody for mail
    south.fails_mail(Some(no_consent()));
    assert_eq!(scope(&look("a@s.org").await.unwrap_err()), Scope::Mailbox);
    assert!(tenants.troubles().is_empty());
    // and where mail is closed nobody looks
    perform(&tenants, "a@s.org").await.unwrap_err();
    south.asked();
    assert_eq!(scope(&look("a@s.org").await.unwrap_err()), Scope::Mailbox);
    look("a@n.org").await.unwrap();
    assert_eq!((north.asked(), south.asked()), (vec!["reports of a@n.org".to_owned()], vec![]));
}
