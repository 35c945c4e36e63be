//! A faithful emulator of Microsoft Graph mail, in memory, over real HTTP.
//!
//! It answers as the login host and as Graph on one plain-HTTP port, and takes the bytes of upload
//! sessions on another, so that a client nobody here wrote can be pointed at it:
//! `POST /{tenant}/oauth2/v2.0/token`, then `/v1.0/users/{mailbox}/...`. Secrets, certificate
//! assertions, federated tokens and managed identities (`/metadata/identity/oauth2/token`,
//! `/msi/token`) are verified for real. It is strict where Graph is strict, keeps the *truth* of
//! what was really sent, and can make everything go wrong that goes wrong with the real service,
//! before or after the effect, repeatably under a seed.
//!
//! Deliberately absent: delivery (nothing arrives but what the admin side injects and the reports
//! of mails that bounce), a wall between tenants beyond what clients can see, persistence, TLS, and
//! of change notifications resource data, filters, Event Hubs and the limits of their service.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mailbridge_sandbox::{Fault, Operation, Sandbox, DEMO_TENANT_ID};
//!
//! let sandbox = Sandbox::builder().seed(7).start_local().await?;
//! sandbox.handle().add_fault(Fault::answer(504).after().on(Operation::SendMail).first(1));
//! println!("token at {}/{DEMO_TENANT_ID}/oauth2/v2.0/token", sandbox.login_url());
//! println!("sent so far: {}", sandbox.handle().truth().sent_total());
//! sandbox.stop().await;
//! # Ok(()) }
//! ```
//!
//! # The admin side
//!
//! JSON below `/_sandbox/`, the same powers as [`Handle`]. Errors are `{"error": "sentence"}`.
//!
//! | request | body or query | answer |
//! |---|---|---|
//! | `GET truth` | | [`Summary`]: totals, drafts left, sends by mailbox |
//! | `GET truth/sent` | the fields of [`Which`] | `{"sent": [`[`Sent`]`]}`; paged by `after` |
//! | `GET truth/properties` | `?property=` id | `{"values", "sent", "duplicates"}` |
//! | `GET requests` | | `{"requests": {operation: {status: count}}}`; status `cut` had no answer |
//! | `GET faults` | | `{"faults": [`[`Rule`]`]}` |
//! | `POST faults` | a [`Fault`], or an array of them | `{"ids": [..]}` |
//! | `DELETE faults` | `?id=`; all without | `{"cleared": n}` |
//! | `POST apps` | `{"client_id", "tenant"?}`, and what changes, in all tenants or in one | `{}` |
//! | `POST apps/add` | `{"tenant", "app"}`, an [`App`] | `{}` |
//! | `POST apps/secrets` | `{"client_id", "action", "secret"?, "id"?, "expires"?}` | `{}` |
//! | `POST apps/certificates` | as secrets, with `"certificate"` and `"thumbprint"` | `{}` |
//! | `POST apps/federated` | `{"client_id", "action", "credential"?, "subject"?}` | `{}` |
//! | `GET tokens` | | `{"tokens": `[`TokenCounts`]`}` |
//! | `POST tokens/revoke` | nothing, or `{"client_id"}` | `{"revoked": n}` |
//! | `POST tokens/refresh` | `{"client_id"}` | `{"refreshed": n}`: tokens with the roles of now |
//! | `POST messages/receive` | an [`Arrival`] | an [`Arrived`] |
//! | `POST messages/edit` | `{"message", "change"}`: a [`Pointer`], a PATCH body | `{}` |
//! | `POST messages/delete` | `{"message", "for_good"?}`: a [`Pointer`], a flag | `{}` |
//! | `POST messages/move` | `{"message", "folder"}`: a [`Pointer`], a folder | `{}` |
//! | `POST messages/bulk` | a [`Bulk`], or an array of them | `{"received": n}` |
//! | `POST messages/attachments` | a [`Pointer`] | `{"attachments": [`[`SentAttachment`]`]}` |
//! | `POST messages/break` | `{"message", "attachment"}`: a [`Pointer`], a number from 0 on | `{}` |
//! | `GET messages` | `?mailbox=&folder=` | `{"messages": [`[`Held`]`]}`, by order of arrival |
//! | `POST folders` | `{"mailbox", "parent"?, "name"}` | `{"id"}` |
//! | `POST folders/delete` | `{"mailbox", "folder"}` | `{}` |
//! | `GET delta` | | the [`DeltaFaults`] |
//! | `POST delta` | [`DeltaFaults`], which replace those before | `{}` |
//! | `POST delta/evict` | `{"mailbox"?, "folder"?}` | `{"evicted": n}` folders |
//! | `GET subscriptions` | | `{"subscriptions": [`[`SubscriptionView`]`]}`, the living ones |
//! | `POST subscriptions/lifecycle` | `{"id"?, "event"}`, a [`LifecycleEvent`] | `{"told": n}` |
//! | `GET notifications` | | `{"faults", "counts"}`: [`NotificationFaults`], [`NotificationCounts`] |
//! | `POST notifications` | [`NotificationFaults`], which replace those before | `{}` |
//! | `GET bounces` | | `{"bounces": [`[`Bounce`]`]}` |
//! | `POST bounces` | a [`Bounce`], or an array of them | `{"added": n}` |
//! | `DELETE bounces` | | `{"cleared": n}` |
//! | `POST limits` | `{"message_bytes"}` | `{}` |
//! | `POST uploads/expire` | | `{"expired": n}` |
//! | `POST groups` | `{"tenant", "group"}`, a [`Group`], in place of that with its id | `{}` |
//! | `POST mailboxes` | `{"mailbox", "state"}`, a [`MailboxState`] | `{}` |
//! | `POST outage` | `{"login"}`, an [`Outage`] | `{}` |
//! | `POST clock` | `{"advance_seconds"?, "login_skew_seconds"?}` | `{"now"}` |
//! | `POST reset` | | `{}` |
//!
//! What changes of an app: `disabled` (AADSTS7000112), `blocked` by Conditional Access (53003),
//! `installed` (700016 when not), `roles` in Entra, `grants` in Exchange, `access_policy` (or
//! `"no_access_policy": true`); the last three replace what there was. `action` is `add`, `expire`
//! or `revoke`; without a secret (by value or id), thumbprint (SHA-1) or subject the last two mean
//! all of the app's. Apps, certificates (PEM, or the base64 of DER), federated credentials and
//! grants are written as in a [`Description`]. A managed identity is an app here.
//!
//! A folder is named by its well-known name, its id, or display names from the root down
//! (`inbox/Projects`). Faults of delta queries and of notifications follow from the seed; delays and
//! what they wait for go by the sandbox's clock.
//!
//! The property id is as in `$filter`; `duplicates` counts the values that were sent more than
//! once. A fault rule, as JSON: `{"match": {"operation": "send_message", "mailbox":
//! "*@contoso.example"}, "when": "after", "often": {"probability": 0.05}, "limit": 100, "kind":
//! {"answer": {"status": 504}}}`.

mod admin;
mod admission;
mod answer;
mod batch;
mod body;
mod bounce;
mod budget;
mod builder;
mod bulk;
mod clock;
mod config;
mod counters;
mod dice;
mod directory;
mod error;
mod exchange;
mod fault;
mod handle;
mod line;
mod lock;
mod login;
mod mailbox;
mod message;
mod metadata;
mod odata;
mod operation;
mod person;
mod preference;
mod route;
mod server;
mod subscription;
mod text;
mod truth;
mod upload;
mod world;

pub use bounce::Bounce;
pub use budget::Budgets;
pub use builder::{Builder, Span, StartError};
pub use bulk::{Between, Bulk};
pub use config::{
    ALL_ROLES, App, BadCredential, Certificate, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN,
    DEMO_IDENTITY_HEADER, DEMO_TENANT_ID, Description, FEDERATED_LIMIT, FederatedCredential, Group,
    IDENTITY_PATH, IdsOnSend, IssuerKeys, MailboxGrant, MailboxSpec, ManagedIdentity, Secret,
    TOKEN_EXCHANGE_AUDIENCE, Tenant,
};
pub use counters::Counts;
pub use error::GraphError;
pub use fault::{DeltaFaults, Fake, Fault, Kind, Matching, Often, Resync, Rule, When};
pub use handle::mail::Held;
pub use handle::{Handle, LifecycleEvent, NotThere};
pub use login::{Outage, TokenCount, TokenCounts};
pub use mailbox::MailboxState;
pub use message::AttachmentKind;
pub use person::{Arrival, Arrived, Pointer};
pub use route::Operation;
pub use server::Running;
pub use subscription::{HubMessage, NotificationCounts, NotificationFaults, SubscriptionView};
pub use truth::{Sent, SentAttachment, Summary, Truth, Via, Which};

/// The way in: [`Sandbox::builder`].
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// A sandbox yet to be described.
    pub fn builder() -> Builder {
        Builder::default()
    }
}
