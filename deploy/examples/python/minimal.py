import asyncio, json, os, aio_pika

async def main():
    connection = await aio_pika.connect_robust(os.environ.get("RABBIT_URL", "amqp://guest:guest@127.0.0.1"))
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=100)
    queue = await channel.declare_queue("my-bot", durable=True)
    await queue.bind("gateway", "MESSAGE_DELETE")
    async with queue.iterator() as messages:
        async for message in messages:
            async with message.process(requeue=True):  # acknowledged when the block ends
                event = json.loads(message.body)
                print(event["d"]["id"], "was", event.get("old", {}).get("content"))

asyncio.run(main())
