"""A protected MCP server that we did not write: the official Python SDK in its first generation, used as its guide says.
It writes the address of its authorization server as it likes.

$SERVER: issuer, jwks_uri, algorithm (ES256), port, scope (every call needs it).
Prints {"url"} when it listens; ends when its standard input closes.
"""

import json
import os
import sys
import threading

import jwt
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.fastmcp import FastMCP

config = json.loads(os.environ["SERVER"])
url = f"http://127.0.0.1:{config['port']}/mcp"
keys = jwt.PyJWKClient(config["jwks_uri"])


class Verifier(TokenVerifier):
    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            key = keys.get_signing_key_from_jwt(token)
            algorithms = [config.get("algorithm", "ES256")]
            claims = jwt.decode(token, key, algorithms=algorithms, audience=url, issuer=config["issuer"])
        except jwt.PyJWTError:
            return None
        return AccessToken(token=token, client_id=claims["client_id"], scopes=claims["scope"].split(), resource=url)


server = FastMCP(
    "notes",
    port=config["port"],
    json_response=True,
    stateless_http=True,
    log_level="ERROR",
    token_verifier=Verifier(),
    auth=AuthSettings(
        issuer_url=config["issuer"], resource_server_url=url, required_scopes=[config["scope"]]
    ),
)


@server.tool()
async def read_note() -> str:
    return "a note"


print(json.dumps({"url": url}), flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.run(transport="streamable-http")
