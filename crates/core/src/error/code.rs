//! The catalogue of failures. `docs/errors`, `mailbridge explain` and the JSON schema of an outcome
//! are made from this table, so that a code, its meaning and its cure are written once.

use std::{fmt, str::FromStr};

/// One row a failure: the code, what it means, the step that cures it.
macro_rules! codes {
    ($($(#[$section:meta])* $variant:ident $text:literal $meaning:literal $cure:literal)*) => {
        /// Which failure it is. The text is stable: users match on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text, such as `graph_throttled`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }

            /// What to do about it, in one or two sentences.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure),* }
            }
        }
    };
}

codes! {
    // requests: what a producer publishes
    RequestEmpty "request_empty"
        "the message has no payload"
        "publish a JSON request, a CloudEvent or an RFC 5322 message; `mailbridge schema request` shows the shape"
    RequestContentType "request_content_type"
        "the message's content type is not one that mailbridge reads"
        "use application/json, application/cloudevents+json or message/rfc822, or leave the header out for JSON"
    RequestNotJson "request_not_json"
        "the payload is not JSON"
        "check the producer's serialisation; the dead letter holds the original bytes"
    RequestInvalid "request_invalid"
        "a field of the request is unknown, missing or of the wrong type"
        "compare the request with `mailbridge schema request`; the message names the field"
    RequestBadId "request_bad_id"
        "the request's id is empty or too long"
        "give an id of 1 to 512 characters, or leave it out"
    RequestNoMailbox "request_no_mailbox"
        "neither the request nor the pipeline names the mailbox to send from"
        "set `mailbox` in the request or in the pipeline"
    RequestMailboxNotAllowed "request_mailbox_not_allowed"
        "the pipeline does not allow this mailbox"
        "add the mailbox to `allow_mailboxes`, or correct the request"
    RequestMailboxNoTenant "request_mailbox_no_tenant"
        "no tenant of the connection has this mailbox"
        "add the mailbox, or a pattern such as `*@contoso.com`, to its tenant in the connection's `tenants`"
    RequestRecipientNotAllowed "request_recipient_not_allowed"
        "the pipeline does not send to a recipient of this mail"
        "add the recipient, or a pattern, to `recipients.allow`, or take it out of `recipients.deny`; an answer names its recipients itself where they are checked"
    RequestNoRecipient "request_no_recipient"
        "the mail has no recipient"
        "give at least one address in `to`, `cc` or `bcc`"
    RequestTooManyRecipients "request_too_many_recipients"
        "the mail has more recipients than Exchange Online takes"
        "split it into mails of 500 recipients or fewer"
    RequestBadAddress "request_bad_address"
        "an address is not a mail address"
        "give `local@domain`, `Name <local@domain>` or {\"address\": …, \"name\": …}"
    RequestSubjectTooLong "request_subject_too_long"
        "the subject is longer than Exchange Online takes"
        "shorten it to 255 characters"
    RequestBadHeader "request_bad_header"
        "a custom header has a name or value that Graph refuses"
        "names start with `x-` and hold letters, digits and hyphens; values are one line"
    RequestTooManyHeaders "request_too_many_headers"
        "the mail has more custom headers than Graph takes"
        "use five or fewer; one header may hold JSON"
    RequestBadAttachment "request_bad_attachment"
        "an attachment has no name or no content, or its content is not base64"
        "give `name` with standard base64 in `content`, or a `url` with what is known of it"
    RequestAttachmentTooLarge "request_attachment_too_large"
        "an attachment is over the 150 MB that Graph takes"
        "send a link to the file instead"
    RequestTooManyAttachments "request_too_many_attachments"
        "the mail has more attachments than one request may bring"
        "send an archive of the files, or several mails"
    RequestTooLarge "request_too_large"
        "the text of the mail, or a message that cannot be taken apart, is over what Graph takes in one request"
        "keep text and html together under about 3 MB; a signed or encrypted message under 3 MB as a whole"
    RequestBadMessageId "request_bad_message_id"
        "`message` is not the id of a message"
        "give the immutable id that the message's event told as `message_id`"
    RequestBadMime "request_bad_mime"
        "the MIME message cannot be read"
        "give an RFC 5322 message with a From or a mailbox, and at least one recipient"
    RequestConflict "request_conflict"
        "two fields of the request exclude each other"
        "the message names them; remove one"
    RequestNeedsAtLeastOnce "request_needs_at_least_once"
        "`save_to_sent_items: false` cannot be kept with `guarantee: once`"
        "use a pipeline with `guarantee: at_least_once`, or let the copy be saved"
    RequestExpired "request_expired"
        "the request's `not_after` has passed"
        "nothing to cure: it was not sent because it was too late"
    ComposeFailed "compose_failed"
        "the pipeline's templates cannot make a request of this event"
        "correct the template or the event: the message names the field, the place in the template and what is missing; `mailbridge render` shows what comes of an event"
    FilterFailed "filter_failed"
        "the pipeline's `when` cannot be evaluated for this event"
        "correct the expression: the message names the place; the event was not published, and is in the dead letters where there are any"
    // what a request refers to
    AttachmentNotAllowed "attachment_not_allowed"
        "the reference leads outside the places that the pipeline allows"
        "add its place to the pipeline's `attachments`, or correct the reference"
    AttachmentMissing "attachment_missing"
        "there is nothing behind the reference, or not any more"
        "keep files until their mail's outcome is published; then replay the dead letter"
    AttachmentChanged "attachment_changed"
        "the file changed while it was read"
        "write files before publishing the request, and never change them; then replay the dead letter"
    AttachmentMismatch "attachment_mismatch"
        "the file is not what the request says of it"
        "compare `sha256` and `size` with the file; nothing was sent"
    AttachmentUnavailable "attachment_unavailable"
        "the place that holds the file does not answer"
        "nothing: it is tried again; check the place and the way to it if it lasts"
    // the mailbox and Graph
    MailboxBudget "mailbox_budget"
        "the mailbox has sent as much as the pipeline lets it"
        "nothing: its requests wait until there is room; raise `budgets` if that is too little"
    GraphThrottled "graph_throttled"
        "Graph asked to slow down for this mailbox"
        "nothing: mailbridge waits as long as Graph asked, for this mailbox only"
    GraphUnavailable "graph_unavailable"
        "Graph answered with a passing failure"
        "nothing: it is tried again; see the request id if it lasts"
    GraphUnreachable "graph_unreachable"
        "no connection to Graph could be made"
        "check name resolution, the proxy and the firewall from this machine to the Graph host"
    GraphTimeout "graph_timeout"
        "Graph did not answer in time"
        "nothing: it is looked up or tried again"
    GraphCut "graph_connection_cut"
        "the connection to Graph broke before its answer"
        "nothing: it is looked up or tried again"
    GraphUnauthorized "graph_unauthorized"
        "Graph refuses the token, also after a fresh one"
        "check that `cloud`, `tenant` and the Graph host belong together, and that the app was not disabled"
    GraphPermissionMissing "graph_permission_missing"
        "the app has not been granted what this needs"
        "grant the application permissions Mail.Send and Mail.ReadWrite (to find mailboxes by a rule also User.Read.All, for groups GroupMember.Read.All) and give admin consent; it resumes by itself"
    MailboxDenied "mailbox_denied"
        "the app may not use this mailbox"
        "check Exchange RBAC for Applications or the application access policy; a change takes up to 2 hours"
    MailboxNotFound "mailbox_not_found"
        "there is no such mailbox, or it is not in Exchange Online"
        "check the address, and that the user has an Exchange Online licence"
    MailboxFull "mailbox_full"
        "the mailbox is full, or its named properties are used up"
        "make room in the mailbox, or raise its quota; it resumes by itself"
    MailboxSuspended "mailbox_suspended"
        "Exchange has stopped this account from sending"
        "lift the block in the Microsoft 365 Defender portal (restricted entities); it resumes by itself"
    MailboxQuota "mailbox_send_quota"
        "the mailbox has reached its sending limit"
        "nothing: it resumes when the limit's window has passed; spread the load over more mailboxes"
    GraphDraftGone "graph_draft_gone"
        "a draft was no longer there when it was to be changed or sent"
        "nothing: the mailbox is looked at, in case the draft was sent; find out who or what deletes drafts if it lasts"
    GraphMessageGone "graph_message_gone"
        "the message that the request names is not in the mailbox"
        "nothing, if somebody deleted it; else check the id, and that it is the immutable one of this mailbox"
    GraphFolderNotFound "graph_folder_not_found"
        "the folder that the request or the pipeline names is not in the mailbox"
        "give a well-known name such as `archive`, or the folder's id"
    GraphCursorExpired "graph_cursor_expired"
        "Graph has forgotten where the reading of a folder was"
        "nothing: the folder is read anew, and what was published before is not published again"
    GraphAnswerTooLarge "graph_answer_too_large"
        "Graph's answer is larger than mailbridge takes at once"
        "nothing: a page is asked for again, smaller; if it lasts, ask for less of each mail (`body`, `headers`)"
    GraphGroupNotFound "graph_group_not_found"
        "the group that the pipeline names is not in the directory"
        "give the group's object id, and check that it is a group of this tenant"
    CursorTaken "cursor_taken"
        "another worker reads the folder"
        "nothing, in a pool: it is that worker's; else look for a second program with the same pipeline and state"
    GraphSubscriptionGone "graph_subscription_gone"
        "Graph does not know the subscription any more"
        "nothing: another one is made"
    GraphSubscriptionRefused "graph_subscription_refused"
        "Graph does not take the subscription"
        "see Graph's own code in the message; `public_url` must lead from the internet to this worker's HTTP side, by https, and answer within 10 seconds; until then the mailbox is polled"
    NotificationUnreadable "notification_unreadable"
        "a call to the notification endpoint is not what Graph sends"
        "nothing, if somebody else has found the endpoint; check that nothing between Graph and here (gateway, firewall) changes bodies if mailboxes are not woken"
    GraphItemUnreadable "graph_item_unreadable"
        "what Graph says of a message cannot be read"
        "nothing here: the message is reported with its id and the others go on; look at it in the mailbox"
    GraphAttachmentUnreadable "graph_attachment_unreadable"
        "Graph does not open the attachment, or it has no content of its own"
        "nothing here: the event says so; open it in the mailbox"
    GraphAttachmentTooSmall "graph_attachment_too_small"
        "graph takes an attachment neither in one piece nor in many"
        "report it with the attachment's size and the request id"
    GraphUploadFailed "graph_upload_failed"
        "an attachment could not be uploaded"
        "nothing: it is tried again; see Graph's answer in the message if it lasts"
    GraphSendAsDenied "graph_send_as_denied"
        "the mailbox may not send in the name of `from`"
        "grant Send As or Send on Behalf to the sending mailbox, or leave `from` out"
    GraphRecipientsRefused "graph_recipients_refused"
        "Graph refuses a recipient"
        "correct the addresses of the request"
    GraphTooLarge "graph_message_too_large"
        "the message is larger than this mailbox may send"
        "send less, or raise the mailbox's message size limit"
    GraphRefused "graph_refused"
        "Graph refuses the request as malformed"
        "see Graph's own code in the message; if the request is right, report it with the request id"
    GraphUnexpected "graph_unexpected_answer"
        "Graph's answer is not what its documentation says"
        "check that nothing between here and Graph (proxy, firewall) answers in its place"
    GraphLinkElsewhere "graph_link_elsewhere"
        "a link in Graph's answer leads away from the connection's Graph host"
        "check that nothing between here and Graph (proxy, firewall) changes its answers; the token was not sent there"
    SendInDoubt "send_in_doubt"
        "an earlier attempt may have sent the mail, and the pipeline says not to send again"
        "look for the mail in the mailbox's Sent Items; replay the dead letter if it is not there"
    MailBounced "mail_bounced"
        "the mail was sent, and a report to the sender says that somebody did not get it"
        "`bounce` in the outcome has the recipients and what their server said: correct the address, or lift the block; then publish a new request"
    // identity
    CredentialUnreadable "credential_unreadable"
        "a credential's file or variable is missing or empty, or does not hold what it should"
        "put the secret, or the certificate with its key, where the configuration says; it is read again by itself"
    CredentialSecretWrong "credential_secret_wrong"
        "the client secret is wrong"
        "put the secret's value (not its id) where the configuration says; it is taken up by itself"
    CredentialSecretExpired "credential_secret_expired"
        "the client secret has expired"
        "add a new secret to the app registration and put its value where the configuration says; it is taken up by itself"
    CredentialCertificateExpired "credential_certificate_expired"
        "the certificate has expired, or is not valid yet"
        "make a new certificate, add it to the app registration and put it where the configuration says; it is taken up by itself"
    CredentialKeyMismatch "credential_key_mismatch"
        "the private key does not belong to the certificate"
        "put the key and the certificate of one pair into the file; it is taken up by itself"
    CredentialIdentityMissing "credential_identity_missing"
        "the platform gives this machine no such managed identity"
        "assign the identity to the virtual machine, app or container, or correct the id under `managed_identity`"
    CredentialAppNotFound "credential_app_not_found"
        "the app is not known in this tenant"
        "check that `client_id` is the application (client) id, not the object id, which looks the same; then `tenant`, and that an administrator of the tenant has consented"
    CredentialAppDisabled "credential_app_disabled"
        "the app is disabled in this tenant"
        "enable sign-in for the enterprise application"
    CredentialTenantNotFound "credential_tenant_not_found"
        "there is no such tenant in this cloud"
        "check `tenant` and `cloud`"
    CredentialConsentMissing "credential_consent_missing"
        "nobody has consented to the app in this tenant"
        "have an administrator grant admin consent"
    CredentialCertificateUnknown "credential_certificate_unknown"
        "the certificate is not one of this app's"
        "upload the certificate (not its key) to this very app registration, and compare the thumbprint there with the file's"
    CredentialEndpointWrong "credential_endpoint_wrong"
        "the app cannot sign in at this token endpoint"
        "name the app's own tenant in `tenant` and `token_endpoint`, not common, organizations or consumers; for other tenants the app must be registered as multi-tenant"
    CredentialPolicyBlocked "credential_policy_blocked"
        "a Conditional Access policy refuses the app"
        "find the refused sign-in in the tenant's sign-in logs (service principal sign-ins), and let the policy that it names include this machine's address, or leave the app out of it"
    CredentialFederationUnknown "credential_federation_unknown"
        "no federated credential of the app fits the token"
        "compare issuer, subject and audience letter by letter with the app's federated credentials; for Kubernetes the subject is system:serviceaccount:NAMESPACE:NAME and the audience api://AzureADTokenExchange"
    CredentialClockSkew "credential_clock_skew"
        "what the app proves itself with is not valid at this time: this machine's clock is wrong, or a federated token has expired"
        "set the machine's clock by NTP; the message says by how many seconds it is ahead, or behind when negative; if it is right, have the federated token's file renewed"
    CredentialRefused "credential_refused"
        "the login service refuses the app"
        "look the AADSTS number up in Microsoft's reference of error codes"
    LoginUnreachable "login_unreachable"
        "the login service cannot be reached"
        "check name resolution, the proxy and the firewall from this machine to the login host"
    LoginUnavailable "login_unavailable"
        "the login service answered with a passing failure"
        "nothing: it is tried again"
    LoginUnexpected "login_unexpected_answer"
        "the answer of the token endpoint is not a token response"
        "check the login host, and that nothing between here and it answers in its place"
    // buses and state
    BusUnreachable "bus_unreachable"
        "the bus cannot be reached"
        "check the servers' addresses and that they run; it is tried again"
    BusUnauthorized "bus_unauthorized"
        "the bus refuses the credentials, or denies this subject"
        "check the bus's credentials and the permissions of its user"
    BusServerTooOld "bus_server_too_old"
        "the server is older than mailbridge can work with"
        "upgrade it; the message names the version needed and why"
    BusStreamMissing "bus_stream_missing"
        "the stream does not exist"
        "create it with the command in the message, or set `create: true`"
    BusConsumerMissing "bus_consumer_missing"
        "the consumer does not exist"
        "create it with the command in the message, or set `create: true`"
    BusMismatch "bus_mismatch"
        "a stream or consumer is not what mailbridge needs"
        "change it with the command in the message"
    BusPublishFailed "bus_publish_failed"
        "the bus did not confirm a message"
        "nothing: it is published again; look at the bus's storage and limits if it lasts"
    BusPayloadTooLarge "bus_payload_too_large"
        "a message is larger than the bus takes; a dead letter is then stored without its payload"
        "raise the limit of the server (max_payload) and of the stream (max_msg_size) above the \
         largest request"
    BusLost "bus_lost"
        "the connection to the bus was lost"
        "nothing: it is made again"
    StateFailed "state_failed"
        "the state store failed"
        "check the store's disk or bucket"
    LocalFile "local_file"
        "a local file cannot be read or written"
        "check the path and its permissions"
    FileStoreUnavailable "file_store_unavailable"
        "files cannot be stored in the place that the pipeline names"
        "check that the place is there, has room, and takes the credentials; it is tried again"
    EventTooLarge "event_too_large"
        "a part of the mail is larger than the pipeline puts into an event"
        "give the pipeline a `store`, so that the event refers to it, or raise the limit"
    // configuration and the program
    ConfigUnreadable "config_unreadable"
        "the configuration file cannot be read"
        "check the path"
    ConfigInvalid "config_invalid"
        "the configuration is wrong"
        "the message names the file, the line, the key and what was expected"
    Listen "listen_failed"
        "the HTTP side cannot listen on its address"
        "choose another address under `http.listen`, or stop what listens there"
    Internal "internal"
        "mailbridge itself failed"
        "report it with the log line"
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text_of_its_own_a_meaning_and_a_cure() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(!code.meaning().ends_with('.') && !code.cure().is_empty());
        }
    }
}
