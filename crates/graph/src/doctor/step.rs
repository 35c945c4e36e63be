//! The six steps of setting an app up, in the order in which an administrator takes them.

use schemars::JsonSchema;
use serde::Serialize;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The app is registered, enabled, and open to this tenant.
    Register,
    /// The app asks for the permissions that are needed, and for no more.
    Permissions,
    /// An administrator has consented.
    Consent,
    /// The credential is right and stays so for a while.
    Credential,
    /// Tenant, cloud and hosts are right and can be reached.
    Endpoint,
    /// Each mailbox can be used, and no others.
    Mailboxes,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Register,
        Self::Permissions,
        Self::Consent,
        Self::Credential,
        Self::Endpoint,
        Self::Mailboxes,
    ];

    /// 1 to 6.
    pub const fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Permissions => "permissions",
            Self::Consent => "consent",
            Self::Credential => "credential",
            Self::Endpoint => "endpoint",
            Self::Mailboxes => "mailboxes",
        }
    }
}
