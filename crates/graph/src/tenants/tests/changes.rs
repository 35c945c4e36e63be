//! Which tenant is asked for what happens, and what becomes of its failures.

use jiff::Timestamp;
use mailbridge_core::{
    changes::{
        Ask, Callback, Content, Cursor, Folders, Found, Page, Rule, Select, Subscription, What,
    },
    contract::{EventAttachment, MessageId},
};

use super::*;

#[async_trait]
impl Changes for Fake {
    async fn folders(
        &self,
        _: &Mailbox,
        _: &[String],
        _: Option<&Cursor>,
        _: &Deadline,
    ) -> Result<Folders> {
        unreachable!()
    }

    async fn page(&self, ask: &Ask<'_>) -> Result<Page> {
        let mut told = self.0.lock().unwrap();
        told.asked.push(ask.mailbox.to_string());
        let page = Page { items: Vec::new(), next: Cursor("next".to_owned()), more: false };
        told.perform.clone().map_or(Ok(page), Err)
    }

    async fn message(
        &self,
        _: &Mailbox,
        _: &MessageId,
        _: &Select,
        _: &Deadline,
    ) -> Result<Option<Found>> {
        unreachable!()
    }

    async fn attachments(
        &self,
        _: &Mailbox,
        _: &MessageId,
        _: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        unreachable!()
    }

    async fn content<'a>(
        &'a self,
        _: &Mailbox,
        _: What<'_>,
        _: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        unreachable!()
    }

    async fn discover(&self, _: &Rule, _: &Deadline) -> Result<Vec<Mailbox>> {
        let told = self.0.lock().unwrap();
        told.ready.clone().map_or(Ok(told.named.clone()), Err)
    }
}

#[async_trait]
impl Subscriptions for Fake {
    async fn subscribe(
        &self,
        _: &Mailbox,
        _: Option<&str>,
        _: &Callback,
        _: &Deadline,
    ) -> Result<Subscription> {
        unreachable!()
    }

    async fn renew(
        &self,
        _: &Mailbox,
        _: &str,
        _: Timestamp,
        _: &Deadline,
    ) -> Result<Subscription> {
        unreachable!()
    }

    async fn unsubscribe(&self, mailbox: &Mailbox, id: &str, _: &Deadline) -> Result<()> {
        self.0.lock().unwrap().asked.push(format!("{mailbox} {id}"));
        Ok(())
    }
}

async fn page(tenants: &Tenants, mailbox: &str) -> Result<Page> {
    let (mailbox, select) = (&Mailbox::new(mailbox), &Select::default());
    let deadline = &Deadline::fixed(Duration::from_secs(20));
    let (folder, cursor, since, page_size) = ("inbox", None, None, 10);
    tenants.page(&Ask { mailbox, folder, cursor, select, since, page_size, deadline }).await
}

#[tokio::test(start_paused = true)]
async fn each_mailbox_is_watched_in_its_tenant_and_a_block_is_that_tenants() {
    let (a, b) = (Fake::default(), Fake::default());
    let tenants = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    page(&tenants, "one@a.com").await.unwrap();
    page(&tenants, "two@b.com").await.unwrap();
    let deadline = Deadline::fixed(Duration::from_secs(20));
    let subscriptions = tenants.subscriptions().unwrap();
    subscriptions.unsubscribe(&Mailbox::new("one@a.com"), "s1", &deadline).await.unwrap();
    assert_eq!(a.asked(), ["one@a.com", "one@a.com s1"]);
    assert_eq!(b.asked(), ["two@b.com"]);

    a.fails_mail(Some(no_consent()));
    let error = page(&tenants, "one@a.com").await.unwrap_err();
    assert_eq!((scope(&error), error.field("tenant")), (Scope::Mailbox, Some("a")));
    assert_eq!(scope(&page(&tenants, "other@a.com").await.unwrap_err()), Scope::Mailbox);
    assert_eq!(a.asked(), ["one@a.com"], "the others do not ask");
    page(&tenants, "two@b.com").await.unwrap();
}

#[tokio::test]
async fn a_rule_is_put_to_every_tenant_and_each_names_its_own() {
    let (a, b) = (Fake::default(), Fake::default());
    let both = tenants(&[("a", &a, &["*@a.com"]), ("b", &b, &["*@b.com"])]);
    let named = |names: &[&str]| names.iter().map(|&name| Mailbox::new(name)).collect();
    a.0.lock().unwrap().named = named(&["z@a.com", "guest@b.com"]);
    b.0.lock().unwrap().named = named(&["k@b.com"]);
    let rule = Rule::Group("g".to_owned());
    let deadline = Deadline::fixed(Duration::from_secs(20));
    let found = both.discover(&rule, &deadline).await.unwrap();
    assert_eq!(found, [Mailbox::new("k@b.com"), Mailbox::new("z@a.com")]);

    b.fails(Some(no_consent()));
    let error = both.discover(&rule, &deadline).await.unwrap_err();
    assert_eq!(error.field("tenant"), Some("b"));
    assert!(matches!(error.verdict(), Verdict::Transient { .. }), "{error:?}");
    assert!(both.troubles().is_empty(), "it says nothing about mail");

    // the only tenant names whatever there is
    let only = tenants(&[("a", &a, &["*@a.com"])]);
    assert_eq!(only.discover(&rule, &deadline).await.unwrap().len(), 2);
}
