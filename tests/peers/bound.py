"""An ASGI middleware by PyPI authplane-sdk: only tokens that are bound to a key come through, with a proof of it (DPoP).

What is behind it sees them as bearer tokens, since fastmcp knows no others.
"""

from dataclasses import dataclass

from authplane import AuthplaneClient, raw_request_path_from_scope, read_dpop_header_from_scope
from authplane.dpop import InboundDPoPOptions
from authplane.errors import AuthplaneError


@dataclass(frozen=True)
class Request:
    """What the verifier is told of a request; a DPoPRequestContext."""

    url: str
    method: str
    proof: str | None


class Bound:
    verifier = None

    def __init__(self, app, issuer, resource, base):
        self.app, self.issuer, self.resource, self.base = app, issuer, resource, base

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or not self.resource.endswith(scope["path"]):
            return await self.app(scope, receive, send)
        kind, _, token = dict(scope["headers"]).get(b"authorization", b"").decode().partition(" ")
        try:
            url = self.base + raw_request_path_from_scope(scope)
            request = Request(url, scope["method"], read_dpop_header_from_scope(scope))
            if kind != "DPoP":
                raise AuthplaneError("no bound token")
            await (await self._verifier()).verify(token, dpop_request=request)
        except AuthplaneError as refusal:
            challenge = f'DPoP error="invalid_token", error_description="{type(refusal).__name__}"'
            headers = [(b"www-authenticate", challenge.encode())]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            return await send({"type": "http.response.body"})
        others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        headers = [*others, (b"authorization", b"Bearer " + token.encode())]
        await self.app({**scope, "headers": headers}, receive, send)

    async def _verifier(self):
        if not self.verifier:
            client = await AuthplaneClient.create(self.issuer, dev_mode=True)  # the broker under test is on loopback
            self.verifier = client.resource(self.resource, inbound_dpop=InboundDPoPOptions(required=True))
        return self.verifier
