"""TLS: a certificate that can be renewed, and listeners that show it."""

import ssl

import trio
from hypercorn.config import Config

from courier.logs import get_logger
from courier.serving.patience import PatientStream

logger = get_logger(__name__)


class Certificate:
    """What TLS shows to new connections. Raises OSError when it cannot be used."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.context: ssl.SSLContext | None = config.create_ssl_context()
        """None without TLS."""

    def renew(self) -> None:
        """Read the files again; when they cannot be used, what was read before goes on."""
        files = {"certfile": self._config.certfile, "keyfile": self._config.keyfile}
        if self.context is None:
            return
        try:
            self.context = self._config.create_ssl_context()
        except OSError as error:
            logger.error("Certificate not renewed: the one before is in use", **files, error=str(error))
        else:
            logger.info("Certificate renewed", **files)


class TlsListener(trio.abc.Listener[trio.SSLStream[PatientStream]]):
    """Trio's, but that its certificate may change, and that a peer may be slow as on a plain socket."""

    def __init__(self, listener: trio.SocketListener, certificate: Certificate, stall_seconds: float) -> None:
        self._listener = listener
        self._certificate = certificate
        self._stall_seconds = stall_seconds

    async def accept(self) -> trio.SSLStream[PatientStream]:
        stream = PatientStream(await self._listener.accept(), self._stall_seconds)
        context = self._certificate.context
        assert context is not None
        return trio.SSLStream(stream, context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        await self._listener.aclose()
