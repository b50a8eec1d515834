"""An MCP server that we did not write, whose tool needs the account of whoever calls at a vendor: PyPI authplane-mcp on
the official SDK, used as its guide says. The adapter turns what the broker refuses into what MCP clients understand.

$SERVER: issuer, client_id, client_secret, port, connection (what the tool trades its caller's token for).
Prints {"url"} when it listens; ends when its standard input closes. The tool `vendor` answers, as JSON text, what the SDK
got: {"token", "token_type", "expires_in", "scope"}.
"""

import asyncio
import json
import os
import sys
import threading

from authplane import ASCredentials
from authplane.oauth import TokenExchangeOptions
from authplane_mcp import authplane_mcp_auth, install_request_context, require_scope
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.fastmcp import FastMCP

config = json.loads(os.environ["SERVER"])
url = f"http://127.0.0.1:{config['port']}/mcp"


async def main():
    auth = await authplane_mcp_auth(
        issuer=config["issuer"],
        resource=url,
        scopes=["notes:read", "notes:write"],
        as_credentials=ASCredentials(client_id=config["client_id"], client_secret=config["client_secret"]),
        dev_mode=True,  # the broker under test is on loopback
    )
    server = FastMCP("desk", port=config["port"], json_response=True, stateless_http=True, log_level="ERROR", **auth)
    install_request_context(server)

    @server.tool()
    async def read_note() -> str:
        require_scope("notes:read")
        return "a note"

    @server.tool()
    async def vendor(scope: str = "") -> str:
        require_scope("notes:read")
        options = TokenExchangeOptions(
            subject_token=get_access_token().token, audiences=(config["connection"],), scope=scope
        )
        got = await auth.client.exchange(options)
        return json.dumps(
            {"token": got.access_token, "token_type": got.token_type, "expires_in": got.expires_in, "scope": got.scope}
        )

    print(json.dumps({"url": url}), flush=True)
    try:
        await server.run_streamable_http_async()
    finally:
        await auth.aclose()


threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
asyncio.run(main())
