//! The list of what the sandbox can do. How a path says which is `route`'s part.

use serde::{Deserialize, Serialize};

/// What a request asks for. The names are those of faults, counters and the admin API.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /{tenant}/oauth2/v2.0/token`
    Token,
    /// The login host's discovery documents
    Discovery,
    /// `POST users/{id}/sendMail`
    SendMail,
    /// `POST users/{id}/messages`, also below a folder
    CreateMessage,
    /// `POST .../messages/{id}/send`
    SendMessage,
    /// `GET .../messages/{id}`
    GetMessage,
    /// `GET .../messages/{id}/$value`
    GetMessageValue,
    /// `PATCH .../messages/{id}`
    UpdateMessage,
    /// `DELETE .../messages/{id}`
    DeleteMessage,
    /// `GET .../messages`
    ListMessages,
    /// `POST .../messages/{id}/attachments`
    CreateAttachment,
    /// `GET .../messages/{id}/attachments`
    ListAttachments,
    /// `GET .../attachments/{id}`
    GetAttachment,
    /// `GET .../attachments/{id}/$value`
    GetAttachmentValue,
    /// `DELETE .../attachments/{id}`
    DeleteAttachment,
    /// `POST .../attachments/createUploadSession`
    CreateUploadSession,
    /// `PUT` on an upload URL
    UploadChunk,
    /// `GET` on an upload URL
    GetUpload,
    /// `DELETE` on an upload URL
    CancelUpload,
    /// `POST .../messages/{id}/createReply`
    CreateReply,
    /// `POST .../messages/{id}/createReplyAll`
    CreateReplyAll,
    /// `POST .../messages/{id}/createForward`
    CreateForward,
    /// `POST .../messages/{id}/reply`
    Reply,
    /// `POST .../messages/{id}/replyAll`
    ReplyAll,
    /// `POST .../messages/{id}/forward`
    Forward,
    /// `POST .../messages/{id}/move`
    MoveMessage,
    /// `POST .../messages/{id}/copy`
    CopyMessage,
    /// `POST .../messages/{id}/permanentDelete`
    PermanentDeleteMessage,
    /// `POST users/{id}/mailFolders`, or below `.../childFolders`
    CreateFolder,
    /// `GET users/{id}/mailFolders`, or `.../childFolders`
    ListFolders,
    /// `GET users/{id}/mailFolders/{id or well-known name}`
    GetFolder,
    /// `PATCH users/{id}/mailFolders/{id}`
    UpdateFolder,
    /// `DELETE users/{id}/mailFolders/{id}`
    DeleteFolder,
    /// `POST users/{id}/mailFolders/{id}/move`
    MoveFolder,
    /// `GET users/{id}/mailFolders/delta`
    FolderDelta,
    /// `GET users/{id}/mailFolders/{id}/messages/delta`
    MessageDelta,
    /// `POST subscriptions`
    CreateSubscription,
    /// `GET subscriptions`
    ListSubscriptions,
    /// `GET subscriptions/{id}`
    GetSubscription,
    /// `PATCH subscriptions/{id}`
    UpdateSubscription,
    /// `DELETE subscriptions/{id}`
    DeleteSubscription,
    /// `POST subscriptions/{id}/reauthorize`
    ReauthorizeSubscription,
    /// `GET groups/{id}/members`
    ListMembers,
    /// `GET groups/{id}/transitiveMembers`
    ListTransitiveMembers,
    /// `GET users`
    ListUsers,
    /// `GET users/{id}`
    GetUser,
    /// `POST $batch`; its requests count by themselves
    Batch,
    /// Anything Graph (or the sandbox) does not know
    Unknown,
}

impl Operation {
    /// Every operation, in the order of the counters.
    pub const ALL: [Self; 48] = [
        Self::Token,
        Self::Discovery,
        Self::SendMail,
        Self::CreateMessage,
        Self::SendMessage,
        Self::GetMessage,
        Self::GetMessageValue,
        Self::UpdateMessage,
        Self::DeleteMessage,
        Self::ListMessages,
        Self::CreateAttachment,
        Self::ListAttachments,
        Self::GetAttachment,
        Self::GetAttachmentValue,
        Self::DeleteAttachment,
        Self::CreateUploadSession,
        Self::UploadChunk,
        Self::GetUpload,
        Self::CancelUpload,
        Self::CreateReply,
        Self::CreateReplyAll,
        Self::CreateForward,
        Self::Reply,
        Self::ReplyAll,
        Self::Forward,
        Self::MoveMessage,
        Self::CopyMessage,
        Self::PermanentDeleteMessage,
        Self::CreateFolder,
        Self::ListFolders,
        Self::GetFolder,
        Self::UpdateFolder,
        Self::DeleteFolder,
        Self::MoveFolder,
        Self::FolderDelta,
        Self::MessageDelta,
        Self::CreateSubscription,
        Self::ListSubscriptions,
        Self::GetSubscription,
        Self::UpdateSubscription,
        Self::DeleteSubscription,
        Self::ReauthorizeSubscription,
        Self::ListMembers,
        Self::ListTransitiveMembers,
        Self::ListUsers,
        Self::GetUser,
        Self::Batch,
        Self::Unknown,
    ];
}

impl Operation {
    /// Whether it asks the directory about many users.
    pub fn is_of_directory(self) -> bool {
        matches!(self, Self::ListUsers | Self::ListMembers | Self::ListTransitiveMembers)
    }

    /// Whether it is about subscriptions, which belong to an app and not to a mailbox.
    pub fn is_of_subscriptions(self) -> bool {
        matches!(
            self,
            Self::CreateSubscription
                | Self::ListSubscriptions
                | Self::GetSubscription
                | Self::UpdateSubscription
                | Self::DeleteSubscription
                | Self::ReauthorizeSubscription
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_listed_once() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, index);
        }
    }
}
