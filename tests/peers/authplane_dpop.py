"""Bound tokens by software that we did not write: PyPI authplane-sdk on both sides of a call. It gets a token for itself
with a proof of its key, and a resource server, made with the same SDK, verifies that token and the proof beside it.

$DPOP: issuer, client_id, client_secret, resource. Prints one JSON line, {"issued": the answer, "jkt": the key's
thumbprint}, then one for each way to present the token, {"how": …, "accepted": the key} or {"how": …, "refused": the
SDK's exception}.
"""

import asyncio
import dataclasses
import json
import os
from dataclasses import dataclass

from authlib.jose import ECKey
from authplane import ASCredentials, AuthplaneClient
from authplane.dpop import DPoPKeyMaterial, DPoPProvider, InboundDPoPOptions
from authplane.errors import AuthplaneError


@dataclass(frozen=True)
class Request:
    """What the verifier is told of a request; a DPoPRequestContext."""

    url: str
    proof: str | None
    method: str = "POST"


def provider():
    return DPoPProvider(DPoPKeyMaterial.from_pem(ECKey.generate_key("P-256", is_private=True).as_pem(is_private=True)))


async def main(issuer, client_id, client_secret, resource):
    ours, other = provider(), provider()
    credentials = ASCredentials(client_id=client_id, client_secret=client_secret)
    # The broker under test is on loopback.
    client = await AuthplaneClient.create(issuer, auth=credentials, dpop=ours, dev_mode=True)
    issued = await client.client_credentials(resources=[resource])
    jkt = ours.key_material.thumbprint
    print(json.dumps({"issued": dataclasses.asdict(issued), "jkt": jkt}), flush=True)

    token = issued.access_token
    verifier = client.resource(resource, inbound_dpop=InboundDPoPOptions(required=True))
    good = ours.build_proof("POST", resource, access_token=token)
    for how, request in [
        ("with its proof", Request(resource, good)),
        ("with the same proof", Request(resource, good)),
        ("without a proof", Request(resource, None)),
        ("as a bearer token", None),
        ("with another key", Request(resource, other.build_proof("POST", resource, access_token=token))),
        ("at another address", Request(resource, ours.build_proof("POST", resource + "/x", access_token=token))),
    ]:
        try:
            claims = await verifier.verify(token, dpop_request=request)
            answer = {"how": how, "accepted": claims.dpop_proof.key_thumbprint}
        except AuthplaneError as refusal:
            answer = {"how": how, "refused": type(refusal).__name__, "because": str(refusal)}
        print(json.dumps(answer), flush=True)
    await client.aclose()


asyncio.run(main(**json.loads(os.environ["DPOP"])))
