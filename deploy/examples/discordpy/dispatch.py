"""A discord.py bot without a gateway connection: events come from Dispatch over RabbitMQ, and what discord.py would
keep in memory is read from Dispatch's Redis when it is asked for. So the bot has no state: start and stop it as you like.

While discord.py handles an event, the object that the event changes is seen as it was before, from the event's `old`:
so listeners get their `before`. After that it is seen as it is now.
"""

import json
import logging
import os
import time
from collections import deque
from collections.abc import MutableMapping

import aio_pika
import discord
import redis
from discord.channel import _guild_channel_factory
from discord.ext import commands
from discord.http import Route
from discord.state import ConnectionState

log = logging.getLogger(__name__)

RABBIT_URL = os.environ.get("RABBIT_URL", "amqp://guest:guest@127.0.0.1/")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1/")
# As for Dispatch: a proxy, say.
Route.BASE = os.environ.get("DISCORD_API_URL", "https://discord.com") + "/api/v10"

THREADS = (10, 11, 12)
# Lists of a GUILD_CREATE that the cache holds object by object.
LISTS = {"roles", "emojis", "stickers", "channels", "threads", "members", "presences", "voice_states"}
# What has no use without a connection of one's own.
SKIPPED = {"READY", "RESUMED", "GUILD_MEMBERS_CHUNK", "VOICE_SERVER_UPDATE", "THREAD_LIST_SYNC"}


class Cache:
    """Dispatch's cache. It is asked without `await`, as discord.py asks its own: keep Redis near."""

    def __init__(self, url):
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.before = {}

    def get(self, key):
        return self.get_all([key])[0]

    def get_all(self, keys):
        texts = self.redis.mget(keys) if keys else []
        found = [text and json.loads(text) for text in texts]
        return [self.before.get(key, value) for key, value in zip(keys, found)]

    def ids(self, index):
        if index.startswith("index:members:"):
            # Where STATE_MEMBER_TTL is set, they are in a sorted set by when they expire.
            expiring = index.replace("members", "expiring_members")
            yield from map(int, self.redis.zrangebyscore(expiring, f"({time.time() * 1000}", "+inf"))
        yield from map(int, self.redis.smembers(index))


class Stored(MutableMapping):
    """Objects of one kind by id, made when they are asked for. Dispatch writes them, the bot does not."""

    def __init__(self, cache, index, key, make):
        self.cache, self.index, self.key, self.make = cache, index, key, make

    def __getitem__(self, id):
        data = self.cache.get(f"{self.key}:{id}")
        made = data and self.make(data)
        if not made:
            raise KeyError(id)
        return made

    def __iter__(self):
        return iter([value.id for value in self.values()])

    def __len__(self):
        return len(self.values())

    def values(self):
        ids = list(self.cache.ids(self.index))
        found = []
        for at in range(0, len(ids), 1000):
            keys = [f"{self.key}:{id}" for id in ids[at : at + 1000]]
            found += [self.make(data) for data in self.cache.get_all(keys) if data]
        return [made for made in found if made]

    def __setitem__(self, id, value):
        pass

    def __delitem__(self, id):
        pass


class Guild(discord.Guild):
    __slots__ = ()

    def _from_data(self, data):
        super()._from_data({name: value for name, value in data.items() if name not in LISTS})

        def stored(kind, make):
            return Stored(self._state.cache, f"index:{kind}s:{self.id}", f"{kind}:{self.id}", make)

        self._channels = stored("channel", self._make_channel)
        self._threads = stored("channel", self._make_thread)
        self._members = stored("member", lambda data: discord.Member(data=data, guild=self, state=self._state))
        self._roles = stored("role", lambda data: discord.Role(data=data, guild=self, state=self._state))
        self._voice_states = stored("voice", self._make_voice_state)

    def _make_channel(self, data):
        factory, _ = _guild_channel_factory(data["type"])
        if factory and data["type"] not in THREADS:
            return factory(guild=self, data=data, state=self._state)

    def _make_thread(self, data):
        if data["type"] in THREADS:
            return discord.Thread(guild=self, data=data, state=self._state)

    def _make_voice_state(self, data):
        return discord.VoiceState(data=data, channel=self.get_channel(int(data["channel_id"])))

    @property
    def emojis(self):
        make = lambda data: discord.Emoji(guild=self, state=self._state, data=data)
        return tuple(Stored(self._state.cache, f"index:emojis:{self.id}", f"emoji:{self.id}", make).values())

    @emojis.setter
    def emojis(self, _):
        pass


class State(ConnectionState):
    """discord.py's state, on the cache."""

    def __init__(self, **options):
        self.cache = options.pop("cache")
        super().__init__(**options)

    def clear(self, **options):
        super().clear(**options)
        # Each object has the user that the cache has of it.
        self.store_user = self.store_user_no_intents
        self._guilds = Stored(self.cache, "index:guilds", "guild", self._add_guild_from_data)

    def _add_guild_from_data(self, data):
        return Guild(data=data, state=self)

    def receive(self, event):
        """Has discord.py handle an event of Dispatch."""
        name, d, old = event["t"], event["d"], event.get("old")
        parser = self.parsers.get(name)
        if parser is None or name in SKIPPED:
            return
        key = changed(name, d)
        if key:
            self.cache.before = {key: old}
        if name.startswith("MESSAGE_"):
            self._messages = deque(self.messages(old if isinstance(old, list) else [old]), maxlen=100)
        try:
            parser(d)
        except Exception:
            # What discord.py can't read: as with its own connection, the next event is no worse for it.
            log.exception("%s could not be handled", name)
        finally:
            self.cache.before = {}

    def messages(self, messages):
        for data in filter(None, messages):
            # Messages that were not sent by an event just now don't say their guild.
            channel, _ = self._get_guild_channel(data)
            yield discord.Message(state=self, channel=channel, data=data)


def changed(name, d):
    """The key of the object that an event changes."""
    guild, id = d.get("guild_id"), d.get("id")
    kind = name.rpartition("_")[0]
    if kind == "GUILD" or name == "GUILD_UPDATE":
        return f"guild:{id}"
    if kind == "GUILD_MEMBER":
        return f"member:{guild}:{d['user']['id']}"
    if kind == "GUILD_ROLE":
        return f"role:{guild}:{d['role']['id'] if 'role' in d else d['role_id']}"
    if kind in ("CHANNEL", "THREAD") and guild:
        return f"channel:{guild}:{id}"
    if kind == "VOICE_STATE" and guild:
        return f"voice:{guild}:{d['user_id']}"


class Bot(commands.Bot):
    """As `commands.Bot`, but for where its events and its state come from."""

    def __init__(self, *args, queue, events, **options):
        self.cache = Cache(REDIS_URL)
        self.queue, self.events = queue, events
        super().__init__(*args, chunk_guilds_at_startup=False, **options)

    def _get_state(self, **options):
        handlers = {"dispatch": self.dispatch, "handlers": self._handlers, "hooks": self._hooks}
        return State(http=self.http, cache=self.cache, **handlers, **options)

    async def connect(self, *, reconnect=True):
        """Instead of the gateway: consumes until the bot is closed. Reconnects by itself."""
        connection = await aio_pika.connect_robust(RABBIT_URL)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=100)
            queue = await channel.declare_queue(self.queue, durable=True)
            for name in self.events:
                await queue.bind("gateway", name)
            self._connection.call_handlers("ready")
            self.dispatch("ready")
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        self._connection.receive(json.loads(message.body))

    async def send_packet(self, shard, packet):
        """Sends a gateway packet on a shard, such as a presence (op 3)."""
        body = json.dumps({"op": 0, "shard": shard, "data": packet}).encode()
        connection = await aio_pika.connect(RABBIT_URL)
        async with connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key="gateway.send")
