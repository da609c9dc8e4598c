"""A bot with discord.py, its URLs set and nothing else. It says what it has done, one line of JSON for each step; it hears
`dump` on its input, and then says what is in its cache."""

import asyncio
import io
import json
import os
import sys
import traceback

import discord
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

Route.BASE = os.environ["DISCORD_API_URL"] + "/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = URL(os.environ["DISCORD_GATEWAY_URL"])


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


class Bot(discord.Client):
    def __init__(self):
        super().__init__(intents=discord.Intents.all(), max_messages=100_000, chunk_guilds_at_startup=False)
        self.tree = app_commands.CommandTree(self)
        self.began = False

    async def on_ready(self):
        say("ready", guilds=len(self.guilds))
        if not self.began:
            self.began = True
            commands = await self.tree.sync()
            say("registered", names=[command.name for command in commands])
            asyncio.create_task(self.work())

    async def work(self):
        guild = self.guilds[0]
        channel = next(c for c in guild.text_channels if c.name != "___hidden___")
        file = discord.File(io.BytesIO(b"four"), "a.txt", description="a file")
        message = await channel.send("with a file", file=file)
        assert message.attachments[0].filename == "a.txt" and message.attachments[0].size == 4
        await message.edit(content="edited")
        assert (await channel.fetch_message(message.id)).content == "edited"
        await message.add_reaction("\N{THUMBS UP SIGN}")
        await message.delete()
        member = await guild.fetch_member(next(m for m in guild.members if m.id != self.user.id).id)
        assert member.guild.id == guild.id
        members = await guild.chunk()
        assert len(members) == guild.member_count, (len(members), guild.member_count)
        say("worked", members=len(members))

    async def on_message(self, message):
        if message.content.startswith("count "):
            say("counted", number=int(message.content.split()[1]))
        elif message.content == "say":
            await message.channel.send("said")
            say("said")

    async def on_resumed(self):
        say("resumed")


bot = Bot()


@bot.tree.command(description="answers")
async def greet(interaction: discord.Interaction):
    await interaction.response.send_message("pong")
    original = await interaction.original_response()
    await interaction.edit_original_response(content="pong, edited")
    await interaction.followup.send("and more", ephemeral=True)
    assert original.content == "pong"
    say("answered")


def dump():
    import cache_discord_py

    say("dump", cache=cache_discord_py.dump(bot))


def ended(running):
    if not running.cancelled():
        traceback.print_exception(running.exception())
        os._exit(1)


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with bot:
        running = asyncio.create_task(bot.start(os.environ["DISCORD_TOKEN"]))
        running.add_done_callback(ended)
        while (line := await reader.readline()):
            if line.strip() == b"dump":
                dump()
        running.cancel()


discord.utils.setup_logging()
asyncio.run(main())
