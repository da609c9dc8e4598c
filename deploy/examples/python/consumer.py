"""Prints what deleted and edited messages said before, and asks shard 0 for its status.

    pip install -r requirements.txt
    RABBIT_URL=amqp://guest:guest@127.0.0.1/ python consumer.py
"""

import asyncio
import json
import os
import uuid

import aio_pika

URL = os.environ.get("RABBIT_URL", "amqp://guest:guest@127.0.0.1/")
QUEUE = "example-python"
EVENTS = ["MESSAGE_UPDATE", "MESSAGE_DELETE"]


class Handled:
    """Ids of the last messages that were handled: after a crash a few come again, under the same id."""

    def __init__(self, size=10_000):
        self.ids = {}
        self.size = size

    def __contains__(self, message_id):
        return message_id in self.ids

    def add(self, message_id):
        self.ids[message_id] = None
        if len(self.ids) > self.size:
            del self.ids[next(iter(self.ids))]


async def send(channel, command, timeout=10):
    """Sends a command and returns Dispatch's reply."""
    replies = await channel.declare_queue(exclusive=True, auto_delete=True)
    correlation = str(uuid.uuid4())
    body = json.dumps(command).encode()
    message = aio_pika.Message(body, reply_to=replies.name, correlation_id=correlation)
    await channel.default_exchange.publish(message, routing_key="gateway.send")
    try:
        async with asyncio.timeout(timeout), replies.iterator() as answers:
            async for answer in answers:
                async with answer.process():
                    if answer.correlation_id == correlation:
                        return json.loads(answer.body)
    finally:
        await replies.delete(if_unused=False, if_empty=False)


def handle(event):
    old = event.get("old")
    if old is not None:
        print(event["t"], event["d"]["id"], "was:", old.get("content"), flush=True)


async def main():
    # Reconnects by itself, and declares again what it had declared.
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=100)
        queue = await channel.declare_queue(QUEUE, durable=True)
        for name in EVENTS:
            await queue.bind("gateway", name)

        print("status:", await send(channel, {"op": 3, "shard": 0}), flush=True)

        handled = Handled()
        async with queue.iterator() as messages:
            async for message in messages:
                # Acknowledged when the block ends: after the work, so that a crash loses nothing.
                async with message.process(requeue=True):
                    if message.message_id not in handled:
                        handle(json.loads(message.body))
                        handled.add(message.message_id)


if __name__ == "__main__":
    asyncio.run(main())
