"""PyPI mcp as a client; the same journey and the same $CLIENT as client.mjs, the browser being browser.mjs."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from storage import Storage

options = json.loads(os.environ["CLIENT"])
registration = options.get("registration") or {}
redirect_uri = options.get("redirect_uri", "http://127.0.0.1:33418/callback")


class Browser:
    """browser.mjs in a process of its own, so that its cookies outlive a walk."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["node", Path(__file__).with_name("browser.mjs")],
            env={**os.environ, "PERSON": json.dumps(options.get("person", {}))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.change = {}
        self.asked = []

    async def open(self, url):
        self.asked.append(dict(parse_qsl(urlsplit(url).query)))
        line = json.dumps({"url": url, "stop": redirect_uri, **self.change}) + "\n"
        self.answer = await asyncio.to_thread(self._walk, line)

    def _walk(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return dict(parse_qsl(urlsplit(answer["url"]).query))

    async def result(self):
        assert "error" not in self.answer, self.answer
        assert self.answer.get("iss"), "the response names its issuer"
        return AuthorizationCodeResult(code=self.answer["code"], state=self.answer["state"], iss=self.answer["iss"])


def report(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


async def use(client, tool):
    result = await client.call_tool(tool["name"], tool.get("arguments", {}))
    assert not result.is_error, result.content
    return [part.model_dump(mode="json", exclude_none=True) for part in result.content]


async def journey(storage, browser):
    if "client_id" in registration:
        storage.client = OAuthClientInformationFull(redirect_uris=[redirect_uri], **registration)
    auth = OAuthClientProvider(
        server_url=options["server"],
        client_metadata=OAuthClientMetadata(
            client_name="Peer",
            redirect_uris=[redirect_uri],
            token_endpoint_auth_method="none",
            scope=options.get("scope"),
        ),
        storage=storage,
        redirect_handler=browser.open,
        callback_handler=browser.result,
        client_metadata_url=registration.get("metadata_url"),
    )
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30) as http,
        Client(streamable_http_client(options["server"], http_client=http)) as client,
    ):
        granted = storage.tokens.scope
        report("authorize", client_id=storage.client.client_id, asked=browser.asked[0].get("scope"), granted=granted)

        tools = [tool.name for tool in (await client.list_tools()).tools]
        report("call", tools=tools, content=await use(client, options["call"]))

        before = storage.tokens.refresh_token
        assert before, "a refresh token was issued"
        auth.context.token_expiry_time = 1  # long past
        await use(client, options["call"])
        assert len(browser.asked) == 1, "a refresh needs no browser"
        assert storage.tokens.refresh_token != before, "a public client's refresh token is rotated"
        report("refresh", granted=storage.tokens.scope)

        if wanted := options.get("step_up"):
            browser.change = {"untick": []}
            narrow = set(storage.tokens.scope.split())
            content = await use(client, wanted)
            assert len(browser.asked) == 2, "more scope takes another consent"
            assert narrow < set(storage.tokens.scope.split()), f"{narrow} grew to {storage.tokens.scope}"
            report("step-up", asked=browser.asked[1].get("scope"), granted=storage.tokens.scope, content=content)

    report("done", access_token=storage.tokens.access_token)


try:
    asyncio.run(journey(Storage(), Browser()))
except BaseException as error:  # task groups raise exception groups
    report("failed", error=repr(error))
    sys.exit(1)
