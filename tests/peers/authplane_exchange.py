"""A token exchange that we did not write: PyPI authplane-sdk, as an MCP server would use it that calls another one or
needs its caller's account at a vendor.

$EXCHANGE: issuer, client_id, client_secret, resource, dpop (true: it proves a key of its own in each request). Each line
that comes in is JSON, the SDK's options (subject_token, resources, audiences, scope…); each answer is one JSON line,
{"issued": the answer, "accepted": what the verifier of the other server makes of it, where there is one} or {"refused":
"the SDK's exception", "because": …, "consent_url": where its person has to go}.
"""

import asyncio
import dataclasses
import json
import os
import sys

from authlib.jose import ECKey
from authplane import ASCredentials, AuthplaneClient
from authplane.dpop import DPoPKeyMaterial, DPoPProvider
from authplane.errors import AuthplaneError
from authplane.oauth import TokenExchangeOptions


async def main(issuer, client_id, client_secret, resource, dpop=False):
    credentials = ASCredentials(client_id=client_id, client_secret=client_secret)
    key = ECKey.generate_key("P-256", is_private=True).as_pem(is_private=True)
    provider = DPoPProvider(DPoPKeyMaterial.from_pem(key)) if dpop else None
    # The broker under test is on loopback.
    client = await AuthplaneClient.create(issuer, auth=credentials, dpop=provider, dev_mode=True)
    verifier = client.resource(resource)
    for line in sys.stdin:
        try:
            options = TokenExchangeOptions(**json.loads(line))
            issued = await client.exchange(options)
            answer = {"issued": dataclasses.asdict(issued)}
            if options.resources:
                claims = await verifier.verify(issued.access_token)
                answer["accepted"] = {"sub": claims.sub, "scopes": sorted(claims.scopes), "actor": claims.act["sub"]}
        except AuthplaneError as refusal:
            answer = {"refused": type(refusal).__name__, "because": str(refusal)}
            answer["consent_url"] = getattr(refusal, "consent_url", None)
        print(json.dumps(answer), flush=True)
    await client.aclose()


asyncio.run(main(**json.loads(os.environ["EXCHANGE"])))
