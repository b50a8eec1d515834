"""An MCP server that trusts Chancery, with fastmcp: two tools, one scope each.

    pip install fastmcp==4.1.2
    CHANCERY_ISSUER=https://auth.acme.com SERVER_URL=https://mcp.acme.com/mcp python mcp_server.py
"""

import os
from urllib.parse import urlsplit

from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.auth.providers.jwt import JWTVerifier

ISSUER = os.environ.get("CHANCERY_ISSUER", "http://localhost:9000")
URL = os.environ.get("SERVER_URL", "http://localhost:9030/mcp")  # as in `resources` of Chancery's configuration
base = URL.removesuffix("/mcp")

auth = RemoteAuthProvider(
    token_verifier=JWTVerifier(
        jwks_uri=f"{ISSUER}/.well-known/jwks.json",
        issuer=ISSUER,
        audience=URL,
        algorithm="ES256",
        required_scopes=["notes:read"],
    ),
    authorization_servers=[ISSUER],
    base_url=base,
    scopes_supported=["notes:read", "notes:write"],
)
server = FastMCP("notes", auth=auth)
notes: list[str] = []


@server.tool
def read_notes() -> str:
    return "\n".join(notes) or "No notes yet."


@server.tool(auth=require_scopes("notes:write"))
def write_note(text: str) -> str:
    notes.append(text)
    return "Noted."


if __name__ == "__main__":
    server.run(transport="http", host="127.0.0.1", port=urlsplit(URL).port or 9030)
