"""Publishing and subscribing over TLS."""

import ssl
from pathlib import Path

import pytest
import trustme
from courier_client import PublishTimeout
from nodes import node, token
from usual import client, titles, told

pytestmark = pytest.mark.anyio


async def test_over_tls_a_known_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued = authority.issue_cert("localhost")
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with node(certfile=str(certificate), keyfile=str(key)) as secure:
        url = f"https://localhost:{secure.port}"
        async with client(url, ssl_context=trusting) as courier:
            async with courier.subscribe("global", token=token()) as events:
                await courier.publish_many(told(str(number) + "m" * 1000) for number in range(300))
                got = await titles(events, 300)
        assert [title.rstrip("m") for title in got] == [str(number) for number in range(300)]
        async with client(url) as courier:
            with pytest.raises(PublishTimeout, match="CERTIFICATE_VERIFY_FAILED"):
                await courier.publish(*told("t"), timeout=0.5)
            with pytest.raises(ssl.SSLCertVerificationError):
                await anext(courier.subscribe("global", token=token()))
