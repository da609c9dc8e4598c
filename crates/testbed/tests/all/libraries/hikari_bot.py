"""A bot with hikari, its URL set and nothing else. It says what it has done, one line of JSON for each step; it hears `dump`
on its input, and then says what is in its cache."""

import asyncio
import json
import os
import sys
import traceback

import hikari


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


bot = hikari.GatewayBot(
    os.environ["DISCORD_TOKEN"],
    rest_url=os.environ["DISCORD_API_URL"] + "/api/v10",
    intents=hikari.Intents.ALL,
    auto_chunk_members=False,
    banner=None,
    cache_settings=hikari.impl.CacheSettings(max_messages=100_000),
)
listening = None


@bot.listen()
async def on_started(event: hikari.StartedEvent):
    application = await bot.rest.fetch_application()
    command = bot.rest.slash_command_builder("greet", "answers")
    commands = await bot.rest.set_application_commands(application, [command])
    say("registered", names=[command.name for command in commands])
    while not list(bot.cache.get_available_guilds_view()):
        await asyncio.sleep(0.05)
    say("ready", guilds=len(bot.cache.get_available_guilds_view()))
    guild = next(iter(bot.cache.get_available_guilds_view().values()))
    channels = guild.get_channels().values()
    channel = next(c for c in channels if isinstance(c, hikari.GuildTextChannel) and c.name != "___hidden___")
    message = await channel.send("with a file", attachment=hikari.Bytes(b"four", "a.txt"))
    assert message.attachments[0].filename == "a.txt" and message.attachments[0].size == 4
    await message.edit("edited")
    assert (await bot.rest.fetch_message(channel, message)).content == "edited"
    await message.add_reaction("\N{THUMBS UP SIGN}")
    await message.delete()
    known = next(user for user in guild.get_members() if user != bot.get_me().id)
    member = await bot.rest.fetch_member(guild, known)
    assert member.guild_id == guild.id
    await bot.request_guild_members(guild, include_presences=True)


@bot.listen()
async def on_chunk(event: hikari.MemberChunkEvent):
    if event.chunk_index + 1 == event.chunk_count and event.chunk_count > 0:
        say("worked", members=len(event.members))


@bot.listen()
async def on_interaction(event: hikari.InteractionCreateEvent):
    interaction = event.interaction
    if not isinstance(interaction, hikari.CommandInteraction) or not interaction.command_name == "greet":
        return
    await interaction.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, "pong")
    original = await interaction.fetch_initial_response()
    assert original.content == "pong"
    await interaction.edit_initial_response("pong, edited")
    await interaction.execute("and more", flags=hikari.MessageFlag.EPHEMERAL)
    say("answered")


@bot.listen()
async def on_message(event: hikari.MessageCreateEvent):
    content = event.message.content or ""
    if content.startswith("count "):
        say("counted", number=int(content.split()[1]))
    elif content == "say":
        await event.message.app.rest.create_message(event.message.channel_id, "said")
        say("said")


@bot.listen()
async def on_resumed(event: hikari.ShardResumedEvent):
    say("resumed")


def dump():
    import cache_hikari

    say("dump", cache=cache_hikari.dump(bot))


async def listen():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while (line := await reader.readline()):
        if line.strip() == b"dump":
            dump()
    os._exit(0)


def ended(listening):
    if not listening.cancelled():
        traceback.print_exception(listening.exception())
        os._exit(1)


@bot.listen()
async def on_starting(event: hikari.StartingEvent):
    global listening
    listening = asyncio.create_task(listen())
    listening.add_done_callback(ended)


bot.run(check_for_updates=False)
