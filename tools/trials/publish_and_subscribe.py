"""What a user of courier-client does first; prints the event that came back."""

import sys

import anyio
from courier_client import CourierClient, Gap, events


async def main(url: str, token: str) -> None:
    with anyio.fail_after(20):
        async with (
            CourierClient(url=url, service_name="shop") as service,
            CourierClient(url=url, token=token) as subscriber,
        ):
            receipt = await service.publish(*events.strategy_paused(strategy_id="s1", user_id="alice"))
            before = receipt.position.rpartition("-")[0] + "-0"
            async for event in subscriber.subscribe("user.alice", since=before):
                if not isinstance(event, Gap) and event.id == receipt.position:
                    print(event)
                    return


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], backend=sys.argv[3])
