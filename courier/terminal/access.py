"""Access: tokens revoked, revocations taken back, and users disconnected, by the admin's requests."""

from typing import Any

import click
import httpx

from courier.terminal.commands import tell
from courier.terminal.errors import Unreachable, refused

SECONDS = 10.0


async def revoke(url: str, token: str | None, said: dict[str, Any]) -> int:
    """Revoke what `said` names, and print the revocation's id; raises Refused or Unreachable."""
    made = await _ask(url, token, "POST", "/admin/revocations", said)
    click.echo(made["id"])
    tell(f"Revoked until {made['expires_at']}; take it back with: courier revoke --take-back {made['id']}")
    return 0


async def take_back(url: str, token: str | None, id: str) -> int:
    """Let a revocation count no more; raises Refused or Unreachable."""
    await _ask(url, token, "DELETE", f"/admin/revocations/{id}")
    tell("Taken back")
    return 0


async def disconnect(url: str, token: str | None, user_id: str) -> int:
    """Close a user's connections on all nodes; raises Refused or Unreachable."""
    answer = await _ask(url, token, "POST", "/admin/disconnect", {"user_id": user_id})
    tell(f"Disconnecting: {answer['connections']} connections of this node, and those of all others")
    return 0


async def _ask(url: str, token: str | None, method: str, path: str, said: Any = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=SECONDS) as http:
        try:
            answer = await http.request(method, path, json=said)
        except httpx.TransportError as error:
            raise Unreachable(f"No node at {url}: {error or type(error).__name__}") from None
    if answer.status_code != 200:
        raise refused(answer)
    return answer.json()
