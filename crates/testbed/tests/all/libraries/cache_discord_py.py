"""What discord.py has in its cache, by the keys and in the words of Discord."""


def dump(bot):
    cache = {}
    for guild in bot.guilds:
        at = guild.id
        cache[f"guild:{at}"] = {
            "name": guild.name,
            "owner_id": str(guild.owner_id),
            "member_count": guild.member_count,
            "description": guild.description,
            "afk_timeout": guild.afk_timeout,
        }
        for channel in guild.channels:
            cache[f"channel:{at}:{channel.id}"] = {
                "name": channel.name,
                "type": channel.type.value,
                "position": channel.position,
                "parent_id": str(channel.category_id) if channel.category_id else None,
            }
        for thread in guild.threads:
            cache[f"channel:{at}:{thread.id}"] = {
                "name": thread.name,
                "type": thread.type.value,
                "parent_id": str(thread.parent_id),
                "owner_id": str(thread.owner_id),
            }
        for role in guild.roles:
            cache[f"role:{at}:{role.id}"] = {
                "name": role.name,
                "position": role.position,
                "color": role.colour.value,
                "permissions": str(role.permissions.value),
                "hoist": role.hoist,
                "mentionable": role.mentionable,
            }
        for member in guild.members:
            cache[f"member:{at}:{member.id}"] = {
                "nick": member.nick,
                "roles": sorted(str(role.id) for role in member.roles if not role.is_default()),
                "pending": member.pending,
            }
            if member.voice:
                cache[f"voice:{at}:{member.id}"] = {
                    "channel_id": str(member.voice.channel.id),
                    "self_mute": member.voice.self_mute,
                    "self_deaf": member.voice.self_deaf,
                }
        for emoji in guild.emojis:
            cache[f"emoji:{at}:{emoji.id}"] = {"name": emoji.name, "animated": emoji.animated}
        for event in guild.scheduled_events:
            cache[f"scheduled_event:{at}:{event.id}"] = {"name": event.name, "status": event.status.value}
    return cache
