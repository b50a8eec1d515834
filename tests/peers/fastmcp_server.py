"""A protected MCP server that we did not write: PyPI fastmcp, verifying our tokens by our key set.

$SERVER: issuer, jwks_uri, algorithm (ES256), port (0: any), scope (every call needs it), audience (its own URL),
authorization_server (what its metadata says instead of the issuer), bound (true: tokens without a proof of their key
are refused, see bound.py).
Prints {"url"} when it listens, and {"client_id", "sub", "scopes"} of the caller whenever `test-tool` is called; ends when
its standard input closes.
"""

import json
import os
import socket
import sys
import threading

import uvicorn
from bound import Bound
from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

config = json.loads(os.environ["SERVER"])
listener = socket.create_server(("127.0.0.1", config.get("port", 0)))
base = f"http://127.0.0.1:{listener.getsockname()[1]}"
url = f"{base}/mcp"

verifier = JWTVerifier(
    jwks_uri=config["jwks_uri"],
    issuer=config["issuer"],
    audience=config.get("audience", url),
    algorithm=config.get("algorithm", "ES256"),
    required_scopes=[config["scope"]],
)
server = FastMCP(
    "notes",
    auth=RemoteAuthProvider(
        token_verifier=verifier,
        authorization_servers=[config.get("authorization_server", config["issuer"])],
        base_url=base,
        scopes_supported=config.get("scopes_supported", [config["scope"]]),
    ),
)


@server.tool
def read_note() -> str:
    return "a note"


@server.tool(name="test-tool")
def test_tool() -> str:
    token = get_access_token()
    print(json.dumps({"client_id": token.client_id, "sub": token.claims["sub"], "scopes": token.scopes}), flush=True)
    return "called"


@server.tool(auth=require_scopes("notes:write"))
def write_note(text: str) -> str:
    return f"wrote {text}"


print(json.dumps({"url": url}), flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
app = server.http_app()
if config.get("bound"):
    app = Bound(app, config["issuer"], url, base)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
