"""PyPI mcp as a program that works for itself; the same $PROGRAM and the same answer as program.mjs.

$PROGRAM may also say how the secret is told: method (client_secret_basic, client_secret_post).
"""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from storage import Storage

program = json.loads(os.environ["PROGRAM"])


def provider(storage):
    known = {
        "server_url": program["server"],
        "storage": storage,
        "client_id": program["client_id"],
        "scope": program.get("scope"),
        "issuer": program["issuer"],
    }
    if "private_key" not in program:
        method = program.get("method", "client_secret_basic")
        secret = program["client_secret"]
        return ClientCredentialsOAuthProvider(**known, client_secret=secret, token_endpoint_auth_method=method)
    signed = SignedJWTParameters(
        issuer=program["client_id"],
        subject=program["client_id"],
        signing_key=program["private_key"],
        signing_algorithm=program["algorithm"],
    )
    return PrivateKeyJWTOAuthProvider(**known, assertion_provider=signed.create_assertion_provider())


async def main():
    storage = Storage()
    async with httpx2.AsyncClient(auth=provider(storage)) as http:
        async with Client(streamable_http_client(program["server"], http_client=http)) as client:
            result = await client.call_tool(program["call"]["name"], program["call"]["arguments"])
            assert not result.is_error, result
    tokens = storage.tokens.model_dump(mode="json")
    content = [part.model_dump(mode="json") for part in result.content]
    kept = {name: tokens[name] for name in ("access_token", "refresh_token")}
    print(json.dumps({"granted": tokens["scope"], "content": content, **kept}))


asyncio.run(main())
