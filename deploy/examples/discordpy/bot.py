"""A bot on Dispatch with discord.py: what it does is written as ever, see `dispatch.py` for how.

    pip install -r requirements.txt
    BOT_TOKEN=… RABBIT_URL=amqp://guest:guest@127.0.0.1/ REDIS_URL=redis://127.0.0.1/ python bot.py
"""

import os

import discord
from dispatch import Bot

EVENTS = ["GUILD_CREATE", "GUILD_DELETE", "MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "GUILD_MEMBER_ADD"]
EVENTS += ["GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE", "CHANNEL_UPDATE", "GUILD_ROLE_UPDATE", "INTERACTION_CREATE"]

bot = Bot("!", intents=discord.Intents.all(), help_command=None, queue="example-discordpy", events=EVENTS)


# Also a slash command, once `await bot.tree.sync()` has been called.
@bot.hybrid_command(description="answers")
async def ping(ctx):
    await ctx.send("pong")
    print("ponged", flush=True)


@bot.command()
async def about(ctx, member: discord.Member):
    """Somebody, a channel and a guild, as the cache has them."""
    roles = ", ".join(str(role.id) for role in member.roles)
    print(f"member {member.id} {member.display_name} roles {roles}", flush=True)
    can = ctx.channel.permissions_for(member).value
    print(f"channel {ctx.channel.id} {ctx.channel.name} permissions {can}", flush=True)
    guild = ctx.guild
    channels, members = len(guild.channels), len(guild.members)
    print(f"guild {guild.id} {guild.name} channels {channels} members {members} of {guild.member_count}", flush=True)


@bot.event
async def on_ready():
    print(f"ready: {bot.user.id} in {len(bot.guilds)} guilds", flush=True)


@bot.event
async def on_message_edit(before, after):
    print(f"message {after.id} was: {before.content}", flush=True)


@bot.event
async def on_member_update(before, after):
    print(f"member {after.id} was: {before.nick}, is: {after.nick}", flush=True)


@bot.event
async def on_member_remove(member):
    print(f"member {member.id} left: {member.display_name}", flush=True)


@bot.event
async def on_guild_channel_update(before, after):
    print(f"channel {after.id} was: {before.name}, is: {after.name}", flush=True)


bot.run(os.environ["BOT_TOKEN"])
