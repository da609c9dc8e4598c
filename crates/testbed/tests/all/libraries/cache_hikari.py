"""What hikari has in its cache, by the keys and in the words of Discord."""


def text(snowflake):
    return None if snowflake is None else str(int(snowflake))


def dump(bot):
    cache = {}
    for guild in bot.cache.get_available_guilds_view().values():
        at = int(guild.id)
        cache[f"guild:{at}"] = {
            "name": guild.name,
            "owner_id": text(guild.owner_id),
            "member_count": guild.member_count,
            "description": guild.description,
            "afk_timeout": int(guild.afk_timeout.total_seconds()),
        }
        for channel in guild.get_channels().values():
            cache[f"channel:{at}:{int(channel.id)}"] = {
                "name": channel.name,
                "type": int(channel.type),
                "position": channel.position,
                "parent_id": text(channel.parent_id),
            }
        for thread in bot.cache.get_threads_view_for_guild(guild.id).values():
            cache[f"channel:{at}:{int(thread.id)}"] = {
                "name": thread.name,
                "type": int(thread.type),
                "parent_id": text(thread.parent_id),
                "owner_id": text(thread.owner_id),
            }
        for role in guild.get_roles().values():
            cache[f"role:{at}:{int(role.id)}"] = {
                "name": role.name,
                "position": role.position,
                "color": int(role.color),
                "permissions": str(int(role.permissions)),
                "hoist": role.is_hoisted,
                "mentionable": role.is_mentionable,
            }
        for member in guild.get_members().values():
            cache[f"member:{at}:{int(member.id)}"] = {
                "nick": member.nickname,
                "roles": sorted(text(role) for role in member.role_ids if int(role) != at),
                "pending": member.is_pending,
            }
        for user, state in guild.get_voice_states().items():
            cache[f"voice:{at}:{int(user)}"] = {
                "channel_id": text(state.channel_id),
                "self_mute": state.is_self_muted,
                "self_deaf": state.is_self_deafened,
            }
        for emoji in bot.cache.get_emojis_view_for_guild(guild.id).values():
            cache[f"emoji:{at}:{int(emoji.id)}"] = {"name": emoji.name, "animated": emoji.is_animated}
    return cache
