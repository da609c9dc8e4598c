"""A Spectacles bot whose codec is erlang_py. It talks with the test as spectacles.js does: lines of JSON, in and out."""

import asyncio
import json
import sys

import aio_pika
import erlang
from erlang import OtpErlangBinary

CONTENT_TYPE = "application/x-erlang-term"


def plain(term):
    """The term as JSON has it, if it is made of what Discord's own ETF is made of; an error if not."""
    if type(term) is dict:
        assert all(type(key) is OtpErlangBinary and key.bits == 8 for key in term), term
        return {key.value.decode(): plain(value) for key, value in term.items()}
    if type(term) is list:
        return [plain(element) for element in term]
    if type(term) is OtpErlangBinary:
        return term.value.decode()
    # The atoms nil, true and false; numbers.
    assert term is None or type(term) in (bool, int, float), repr(term)
    return term


def term(value):
    """The inverse of plain."""
    if isinstance(value, dict):
        return {term(key): term(element) for key, element in value.items()}
    if isinstance(value, list):
        return [term(element) for element in value]
    return OtpErlangBinary(value.encode()) if isinstance(value, str) else value


def say(line):
    print(json.dumps(line), flush=True)


class Bot:
    def __init__(self, channel, exchange, replies):
        self.channel, self.exchange, self.replies = channel, exchange, replies
        self.waiting = {}

    async def listen(self, events):
        for event in events:
            queue = await self.channel.declare_queue(f"{self.exchange.name}:{event}", durable=True)
            await queue.bind(self.exchange, event)
            await queue.consume(self.take)

    async def take(self, message):
        async with message.process():
            assert message.content_type == CONTENT_TYPE, message
            say({"event": message.routing_key, "data": plain(erlang.binary_to_term(message.body))})

    async def publish(self, messages):
        for message in messages:
            await self.send(*message)

    async def call(self, messages):
        calls = []
        for number, message in enumerate(messages):
            calls.append(asyncio.get_running_loop().create_future())
            self.waiting[str(number)] = calls[-1]
            await self.send(*message, reply_to=self.replies.name, correlation_id=str(number))
        return await asyncio.wait_for(asyncio.gather(*calls), timeout=20)

    async def send(self, key, data, options=None, **properties):
        body = erlang.term_to_binary(term(data))
        message = aio_pika.Message(body, content_type=CONTENT_TYPE, **(options or {}), **properties)
        await self.exchange.publish(message, routing_key=key)

    async def reply(self, message):
        assert message.content_type == CONTENT_TYPE, message
        result = plain(erlang.binary_to_term(message.body))
        self.waiting.pop(message.correlation_id).set_result(result)


async def main(address, group):
    # Elixir's atom, which Discord writes, where Erlang's own would be `undefined`.
    erlang.set_undefined(b"nil")
    async with await aio_pika.connect(f"amqp://{address}") as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(group, aio_pika.ExchangeType.DIRECT, durable=True)
        replies = await channel.declare_queue(exclusive=True)
        bot = Bot(channel, exchange, replies)
        await replies.consume(bot.reply, no_ack=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for what, argument in json.loads(line).items():
                say({"done": what, "result": await getattr(bot, what)(argument)})


asyncio.run(main(*sys.argv[1:]))
