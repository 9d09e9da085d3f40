"""A bot in ten lines: it answers every message with its own words, once, also across restarts of it and the daemon."""

import asyncio

from p2pd.client import connect


async def main() -> None:
    async with connect() as client:
        async for event in client.events.follow(consumer="echo", type="message"):
            message = event["data"]
            await client.send(to=message["from"], text=message["text"], request_id=f"echo {message['id']}")


asyncio.run(main())
