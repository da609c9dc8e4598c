"""A bot as its users write it: aio-pika for events and commands, redis for the cache. Prints what it found as JSON."""

import asyncio
import json
import os

import aio_pika
from redis import asyncio as redis


async def read_events(channel):
    """Takes what gateway.recv holds; for each message, its last state as the events tell it, and how often `old` was it."""
    queue = await channel.declare_queue("gateway.recv", durable=True)
    states, right, wrong, guild = {}, 0, 0, None
    for _ in range(queue.declaration_result.message_count):
        message = await queue.get()
        event = json.loads(message.body)
        assert message.type == event["t"] == message.routing_key, message
        assert message.headers["seq"] == event["s"], message
        data = event["d"]
        guild = guild or data.get("guild_id")
        if event["t"] == "MESSAGE_CREATE":
            states[data["id"]] = data
        elif event["t"] == "MESSAGE_UPDATE" and data["id"] in states:
            before = states[data["id"]]
            right, wrong = right + (event["old"] == before), wrong + (event["old"] != before)
            # A whole message replaces; one that is not whole brings what has changed.
            states[data["id"]] = data if "author" in data else {**before, **data}
        await message.ack()
    return states, right, wrong, guild


async def command(channel, body):
    """Publishes to gateway.send and waits for the reply."""
    replies = await channel.declare_queue(exclusive=True)
    message = aio_pika.Message(json.dumps(body).encode(), reply_to=replies.name, correlation_id="1")
    await channel.declare_queue("gateway.send", durable=True)
    await channel.default_exchange.publish(message, routing_key="gateway.send")
    async with replies.iterator(timeout=20) as messages:
        async for reply in messages:
            assert reply.correlation_id == "1", reply
            return json.loads(reply.body)


async def main():
    cache = redis.from_url(os.environ["REDIS_URL"])
    connection = await aio_pika.connect_robust(os.environ["RABBIT_URL"])
    async with connection, cache:
        channel = await connection.channel()
        states, right, wrong, guild = await read_events(channel)
        keys = {f"message:{state['channel_id']}:{state['id']}": state for state in states.values()}
        cached = [json.loads(await cache.get(key)) == state for key, state in keys.items()]
        voice = {"guild_id": guild, "channel_id": None, "self_mute": False, "self_deaf": False}
        reply = await command(channel, {"op": 0, "data": {"op": 4, "d": voice}})
    found = {"old_right": right, "old_wrong": wrong, "cached": sum(cached), "messages": len(cached)}
    print(json.dumps({**found, "guild": guild, "reply": reply}))


asyncio.run(main())
