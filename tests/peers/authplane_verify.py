"""A verifier that we did not write: PyPI authplane-sdk, as a resource server would use it.

$VERIFIER: issuer, resource. Each line that comes in is an access token; each answer is one JSON line, {"accepted": sub,
"scopes": [...]} or {"refused": "the SDK's exception"}. The SDK fetches our RFC 8414 metadata and our key set.
"""

import asyncio
import json
import os
import sys

from authplane import AuthplaneClient
from authplane.errors import AuthplaneError


async def main(issuer, resource):
    client = await AuthplaneClient.create(issuer, dev_mode=True)  # the broker under test is on loopback
    verifier = client.resource(resource)
    for line in sys.stdin:
        try:
            claims = await verifier.verify(line.strip())
            answer = {"accepted": claims.sub, "scopes": sorted(claims.scopes)}
        except AuthplaneError as refusal:
            answer = {"refused": type(refusal).__name__, "because": str(refusal)}
        print(json.dumps(answer), flush=True)
    await client.aclose()


asyncio.run(main(**json.loads(os.environ["VERIFIER"])))
