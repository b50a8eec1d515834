"""PyPI mcp as an agent that its enterprise manages; the same $AGENT and the same answer as enterprise.mjs.

The SDK leaves the exchange at the provider to its user: that is `fetch_id_jag`.
"""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from storage import Storage

agent = json.loads(os.environ["AGENT"])


async def fetch_id_jag(audience, resource):
    async with httpx2.AsyncClient() as http:
        metadata = (await http.get(f"{agent['idp']}/.well-known/openid-configuration")).json()
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "subject_token": agent["id_token"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "audience": audience,
            "resource": resource,
            **{name: value for name, value in agent["at_idp"].items() if value},
        }
        answer = await http.post(metadata["token_endpoint"], data=form)
        return answer.raise_for_status().json()["access_token"]


async def main():
    storage = Storage()
    provider = IdentityAssertionOAuthProvider(
        server_url=agent["server"],
        storage=storage,
        client_id=agent["at_issuer"]["client_id"],
        client_secret=agent["at_issuer"]["client_secret"],
        issuer=agent["issuer"],
        assertion_provider=fetch_id_jag,
        scope=agent.get("scope"),
        token_endpoint_auth_method=agent.get("method", "client_secret_post"),
    )
    async with httpx2.AsyncClient(auth=provider) as http:
        async with Client(streamable_http_client(agent["server"], http_client=http)) as client:
            result = await client.call_tool(agent["call"]["name"], agent["call"]["arguments"])
            assert not result.is_error, result
    tokens = storage.tokens
    content = [part.model_dump(mode="json") for part in result.content]
    print(json.dumps({"granted": tokens.scope, "content": content, "refresh_token": tokens.refresh_token}))


asyncio.run(main())
