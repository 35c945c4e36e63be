"""A worker as one would write it on Microsoft's SDK: what becomes of a request, on any bus.

The SDK tries 429, 503 and 504 again, three times, and obeys Retry-After. What is still refused
then, a later delivery tries again, up to five; a refusal for good goes to the dead letters at once.
"""

import asyncio
import json
import os
import time

import httpx
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from kiota_abstractions.api_error import APIError
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import (
    SendMailPostRequestBody,
)

SCOPE = "https://graph.microsoft.com/.default"
FOR_GOOD = {400, 403, 404, 413}


class Again(Exception):
    """Not sent as far as anybody knows, and worth another try later."""


class NoToken(Exception):
    """Not the mail's fault: to be tried for as long as it takes."""


class Refused(Exception):
    """No later try would do better."""


class Secret:
    """azure-identity's ClientSecretCredential speaks https only; this is the same request."""

    def __init__(self):
        self.http, self.lock, self.token = httpx.AsyncClient(), asyncio.Lock(), None

    async def get_token(self, *scopes, **_):
        async with self.lock:
            if self.token is None or self.token.expires_on < time.time() + 300:
                url = f"{os.environ['LOGIN']}/{os.environ['TENANT']}/oauth2/v2.0/token"
                form = {
                    "grant_type": "client_credentials",
                    "client_id": os.environ["CLIENT_ID"],
                    "client_secret": os.environ["CLIENT_SECRET"],
                    "scope": scopes[0],
                }
                answer = await self.http.post(url, data=form)
                if answer.status_code != 200:
                    raise ClientAuthenticationError(message=answer.text)
                got = answer.json()
                expires = int(time.time()) + got["expires_in"]
                self.token = AccessToken(got["access_token"], expires)
            return self.token

    async def close(self):
        await self.http.aclose()


class Mailer:
    """Sends one request's mail."""

    def __init__(self):
        provider = AzureIdentityAuthenticationProvider(
            Secret(), scopes=[SCOPE], allowed_hosts=["127.0.0.1"]
        )
        adapter = GraphRequestAdapter(provider)
        adapter.base_url = f"{os.environ['GRAPH']}/v1.0"
        self.graph = GraphServiceClient(request_adapter=adapter)

    async def send(self, request):
        to = Recipient(email_address=EmailAddress(address=request["to"]))
        message = Message(
            subject=request["subject"],
            body=ItemBody(content_type=BodyType.Text, content=request["text"]),
            to_recipients=[to],
        )
        body = SendMailPostRequestBody(message=message)
        try:
            await self.graph.users.by_user_id(request["mailbox"]).send_mail.post(body)
        except APIError as error:
            if error.response_status_code in FOR_GOOD:
                raise Refused(str(error.response_status_code)) from error
            raise Again(str(error.response_status_code)) from error
        except ClientAuthenticationError as error:
            raise NoToken(str(error)) from error
        except httpx.HTTPError as error:
            raise Again(type(error).__name__) from error


def outcome(request):
    return json.dumps({"id": request["id"], "status": "accepted"}).encode()
