"""A token exchange that we did not write: PyPI authplane-sdk, as an MCP server that calls another one would use it.

$EXCHANGE: issuer, client_id, client_secret, resource. Each line that comes in is JSON, the SDK's options (subject_token,
resources, audiences, scope…); each answer is one JSON line, {"issued": the answer, "accepted": what the verifier of the
other server makes of it} or {"refused": "the SDK's exception", "because": …}.
"""

import asyncio
import dataclasses
import json
import os
import sys

from authplane import ASCredentials, AuthplaneClient
from authplane.errors import AuthplaneError
from authplane.oauth import TokenExchangeOptions


async def main(issuer, client_id, client_secret, resource):
    credentials = ASCredentials(client_id=client_id, client_secret=client_secret)
    client = await AuthplaneClient.create(issuer, auth=credentials, dev_mode=True)  # the broker under test is on loopback
    verifier = client.resource(resource)
    for line in sys.stdin:
        try:
            issued = await client.exchange(TokenExchangeOptions(**json.loads(line)))
            claims = await verifier.verify(issued.access_token)
            accepted = {"sub": claims.sub, "scopes": sorted(claims.scopes), "actor": claims.act["sub"]}
            answer = {"issued": dataclasses.asdict(issued), "accepted": accepted}
        except AuthplaneError as refusal:
            answer = {"refused": type(refusal).__name__, "because": str(refusal)}
        print(json.dumps(answer), flush=True)
    await client.aclose()


asyncio.run(main(**json.loads(os.environ["EXCHANGE"])))
