"""What discord.py has in its cache, by the keys and in the words of Discord. Where the library has no public name for what it
keeps, its slots are read."""

import discord


def text(snowflake):
    return None if snowflake is None else str(snowflake)


def moment(time):
    return None if time is None else time.isoformat()


def value(enum):
    return getattr(enum, "value", enum)


def texts(snowflakes):
    return [str(snowflake) for snowflake in snowflakes]


def dump(bot):
    cache = {"bot_user": own_user(bot.user)}
    for user in bot.users:
        cache[f"user:{user.id}"] = user_of(user)
    for guild in bot.guilds:
        add_guild(cache, guild)
    for message in bot.cached_messages:
        cache[f"message:{message.channel.id}:{message.id}"] = message_of(message)
    return cache


def add_guild(cache, guild):
    at = guild.id
    cache[f"guild:{at}"] = guild_of(guild)
    for channel in guild.channels:
        cache[f"channel:{at}:{channel.id}"] = channel_of(channel)
    for thread in guild.threads:
        cache[f"channel:{at}:{thread.id}"] = thread_of(thread)
    for role in guild.roles:
        cache[f"role:{at}:{role.id}"] = role_of(role)
    for member in guild.members:
        cache[f"member:{at}:{member.id}"] = member_of(member)
        if member.raw_status != "offline":
            cache[f"presence:{at}:{member.id}"] = presence_of(member)
    for user, state in guild._voice_states.items():
        cache[f"voice:{at}:{user}"] = voice_of(user, state)
    for emoji in guild.emojis:
        cache[f"emoji:{at}:{emoji.id}"] = {
            "id": text(emoji.id),
            "name": emoji.name,
            "animated": emoji.animated,
            "require_colons": emoji.require_colons,
            "managed": emoji.managed,
            "available": emoji.available,
            "roles": texts(emoji._roles),
            "user": emoji.user and {"id": text(emoji.user.id)},
        }
    for sticker in guild.stickers:
        cache[f"sticker:{at}:{sticker.id}"] = {
            "id": text(sticker.id),
            "guild_id": text(sticker.guild_id),
            "name": sticker.name,
            "description": sticker.description,
            "tags": sticker.emoji,
            "type": value(sticker.type),
            "format_type": value(sticker.format),
            "available": sticker.available,
            "user": sticker.user and {"id": text(sticker.user.id)},
        }
    for stage in guild.stage_instances:
        cache[f"stage:{at}:{stage.id}"] = {
            "id": text(stage.id),
            "guild_id": text(stage.guild.id),
            "channel_id": text(stage.channel_id),
            "topic": stage.topic,
            "privacy_level": value(stage.privacy_level),
            "discoverable_disabled": stage.discoverable_disabled,
            "guild_scheduled_event_id": text(stage.scheduled_event_id),
        }
    for event in guild.scheduled_events:
        cache[f"scheduled_event:{at}:{event.id}"] = {
            "id": text(event.id),
            "guild_id": text(event.guild_id),
            "channel_id": text(event.channel_id),
            "creator_id": text(event.creator_id),
            "creator": event.creator and {"id": text(event.creator.id)},
            "name": event.name,
            "description": event.description,
            "scheduled_start_time": moment(event.start_time),
            "scheduled_end_time": moment(event.end_time),
            "privacy_level": value(event.privacy_level),
            "status": value(event.status),
            "entity_type": value(event.entity_type),
            "entity_id": text(event.entity_id),
            "entity_metadata": {"location": event.location},
            "user_count": event.user_count,
            "image": event._cover_image,
        }
    for sound in guild.soundboard_sounds:
        cache[f"soundboard_sound:{at}:{sound.id}"] = {
            "sound_id": text(sound.id),
            "guild_id": text(sound.guild.id),
            "name": sound.name,
            "volume": sound.volume,
            "available": sound.available,
            "emoji_id": text(sound.emoji and sound.emoji.id),
            "emoji_name": sound.emoji and sound.emoji.name,
            "user": sound.user and {"id": text(sound.user.id)},
        }


def guild_of(guild):
    return {
        "id": text(guild.id),
        "name": guild.name,
        "description": guild.description,
        "icon": guild._icon,
        "banner": guild._banner,
        "splash": guild._splash,
        "discovery_splash": guild._discovery_splash,
        "owner_id": text(guild.owner_id),
        "member_count": guild.member_count,
        "large": guild.large,
        "unavailable": guild.unavailable,
        "features": guild.features,
        "afk_timeout": guild.afk_timeout,
        "afk_channel_id": text(guild._afk_channel_id),
        "system_channel_id": text(guild._system_channel_id),
        "system_channel_flags": guild._system_channel_flags,
        "rules_channel_id": text(guild._rules_channel_id),
        "public_updates_channel_id": text(guild._public_updates_channel_id),
        "safety_alerts_channel_id": text(guild._safety_alerts_channel_id),
        "widget_enabled": guild.widget_enabled,
        "widget_channel_id": text(guild._widget_channel_id),
        "verification_level": value(guild.verification_level),
        "default_message_notifications": value(guild.default_notifications),
        "explicit_content_filter": value(guild.explicit_content_filter),
        "mfa_level": value(guild.mfa_level),
        "nsfw_level": value(guild.nsfw_level),
        "premium_tier": guild.premium_tier,
        "premium_subscription_count": guild.premium_subscription_count,
        "premium_progress_bar_enabled": guild.premium_progress_bar_enabled,
        "preferred_locale": value(guild.preferred_locale),
        "vanity_url_code": guild.vanity_url_code,
        "max_members": guild.max_members,
        "max_presences": guild.max_presences,
        "max_video_channel_users": guild.max_video_channel_users,
        "max_stage_video_channel_users": guild.max_stage_video_users,
        "incidents_data": guild._incidents_data,
    }


def channel_of(channel):
    kept = {
        "id": text(channel.id),
        "guild_id": text(channel.guild.id),
        "type": channel.type.value,
        "name": channel.name,
        "position": channel.position,
        "parent_id": text(channel.category_id),
        "nsfw": channel.nsfw,
        "permission_overwrites": [
            {"id": text(of.id), "type": of.type, "allow": text(of.allow), "deny": text(of.deny)}
            for of in channel._overwrites
        ],
    }
    for name, attribute in [
        ("topic", "topic"),
        ("rate_limit_per_user", "slowmode_delay"),
        ("bitrate", "bitrate"),
        ("user_limit", "user_limit"),
        ("rtc_region", "rtc_region"),
    ]:
        if hasattr(channel, attribute):
            kept[name] = getattr(channel, attribute)
    if hasattr(channel, "last_message_id"):
        kept["last_message_id"] = text(channel.last_message_id)
    if isinstance(channel, discord.ForumChannel):
        reaction = channel.default_reaction_emoji
        kept["default_reaction_emoji"] = reaction and {"emoji_id": text(reaction.id), "emoji_name": reaction.name}
        kept["default_sort_order"] = value(channel.default_sort_order)
        kept["default_forum_layout"] = value(channel.default_layout)
        kept["flags"] = channel._flags
        kept["available_tags"] = [
            {
                "id": text(tag.id),
                "name": tag.name,
                "moderated": tag.moderated,
                "emoji_id": text(tag.emoji and tag.emoji.id),
                "emoji_name": tag.emoji and tag.emoji.name,
            }
            for tag in channel.available_tags
        ]
    return kept


def thread_of(thread):
    me = thread.me
    return {
        "id": text(thread.id),
        "guild_id": text(thread.guild.id),
        "type": thread.type.value,
        "name": thread.name,
        "parent_id": text(thread.parent_id),
        "owner_id": text(thread.owner_id),
        "last_message_id": text(thread.last_message_id),
        "rate_limit_per_user": thread.slowmode_delay,
        "message_count": thread.message_count,
        "member_count": thread.member_count,
        "total_message_sent": thread.total_message_sent,
        "flags": thread._flags,
        "thread_metadata": {
            "archived": thread.archived,
            "locked": thread.locked,
            "auto_archive_duration": thread.auto_archive_duration,
            "archive_timestamp": moment(thread.archive_timestamp),
            "create_timestamp": moment(thread.created_at),
        },
        "member": me and {"flags": me.flags, "join_timestamp": moment(me.joined_at)},
    }


def role_of(role):
    tags = role.tags
    return {
        "id": text(role.id),
        "name": role.name,
        "position": role.position,
        "permissions": text(role._permissions),
        "hoist": role.hoist,
        "managed": role.managed,
        "mentionable": role.mentionable,
        "flags": role._flags,
        "icon": role._icon,
        "unicode_emoji": role.unicode_emoji,
        "colors": {
            "primary_color": role._colour,
            "secondary_color": role._secondary_colour,
            "tertiary_color": role._tertiary_colour,
        },
        "tags": {"bot_id": text(tags and tags.bot_id), "integration_id": text(tags and tags.integration_id)},
    }


def member_of(member):
    return {
        "user": {"id": text(member.id)},
        "nick": member.nick,
        "avatar": member._avatar,
        "banner": member._banner,
        "roles": texts(member._roles),
        "joined_at": moment(member.joined_at),
        "premium_since": moment(member.premium_since),
        "communication_disabled_until": moment(member.timed_out_until),
        "pending": member.pending,
        "flags": member._flags,
        "avatar_decoration_data": member._avatar_decoration_data,
    }


def user_of(user):
    return {
        "id": text(user.id),
        "username": user.name,
        "global_name": user.global_name,
        "discriminator": user.discriminator,
        "avatar": user._avatar,
        "public_flags": user._public_flags,
        "bot": user.bot,
        "avatar_decoration_data": user._avatar_decoration_data,
        "primary_guild": user._primary_guild,
        "collectibles": user._collectibles,
    }


def own_user(user):
    return user_of(user) | {
        "banner": user._banner,
        "accent_color": user._accent_colour,
        "verified": user.verified,
        "mfa_enabled": user.mfa_enabled,
        "flags": user._flags,
    }


def presence_of(member):
    status = member.client_status
    return {
        "user": {"id": text(member.id)},
        "status": member.raw_status,
        "client_status": {"desktop": status.desktop, "mobile": status.mobile, "web": status.web},
        "activities": [activity_of(activity) for activity in member.activities],
    }


def activity_of(activity):
    kept = {"type": value(activity.type), "name": activity.name, "created_at": milliseconds(activity.created_at)}
    if isinstance(activity, discord.CustomActivity):
        return kept | {"state": activity.state, "emoji": {"name": activity.emoji and activity.emoji.name}}
    if isinstance(activity, discord.Spotify):
        return kept | {
            "state": activity._state,
            "details": activity._details,
            "sync_id": activity._sync_id,
            "session_id": activity._session_id,
            "party": activity._party,
            "timestamps": activity._timestamps,
            "flags": 48,
        }
    return kept | {
        "state": activity.state,
        "details": activity.details,
        "url": activity.url,
        "application_id": text(activity.application_id),
        "timestamps": activity.timestamps,
        "assets": activity.assets,
        "party": activity.party,
        "flags": activity.flags,
        "emoji": activity.emoji and activity.emoji.to_dict(),
    }


def milliseconds(time):
    return None if time is None else round(time.timestamp() * 1000)


def voice_of(user, state):
    return {
        "user_id": text(user),
        "channel_id": text(state.channel and state.channel.id),
        "session_id": state.session_id,
        "deaf": state.deaf,
        "mute": state.mute,
        "self_deaf": state.self_deaf,
        "self_mute": state.self_mute,
        "self_stream": state.self_stream,
        "self_video": state.self_video,
        "suppress": state.suppress,
        "request_to_speak_timestamp": moment(state.requested_to_speak_at),
    }


def message_of(message):
    reference = message.reference
    # `thread` looks into the guild; the message has its own.
    thread = message._thread
    return {
        "id": text(message.id),
        "channel_id": text(message.channel.id),
        "guild_id": text(message.guild and message.guild.id),
        "type": message.type.value,
        "content": message.content,
        "author": {"id": text(message.author.id), "username": message.author.name},
        "timestamp": moment(message.created_at),
        "edited_timestamp": moment(message.edited_at),
        "tts": message.tts,
        "pinned": message.pinned,
        "flags": message.flags.value,
        "nonce": message.nonce,
        "webhook_id": text(message.webhook_id),
        "application_id": text(message.application_id),
        "mention_everyone": message.mention_everyone,
        "mentions": [{"id": text(user.id)} for user in message.mentions],
        "mention_roles": texts(message.raw_role_mentions) if message.role_mentions else [],
        "embeds": [embed_of(embed) for embed in message.embeds],
        "attachments": [attachment_of(attachment) for attachment in message.attachments],
        "sticker_items": [{"id": text(s.id), "name": s.name} for s in message.stickers],
        "components": [component.to_dict() for component in message.components],
        "reactions": [reaction_of(reaction) for reaction in message.reactions],
        "poll": message.poll and poll_of(message.poll),
        "thread": thread and {"id": text(thread.id)},
        "message_reference": reference and {
            "type": value(reference.type),
            "message_id": text(reference.message_id),
            "channel_id": text(reference.channel_id),
            "guild_id": text(reference.guild_id),
        },
    }


def embed_of(embed):
    return {
        "type": embed.type,
        "title": embed.title,
        "description": embed.description,
        "url": embed.url,
        "color": embed.colour and embed.colour.value,
        "timestamp": moment(embed.timestamp),
        "fields": [{"name": of.name, "value": of.value, "inline": of.inline} for of in embed.fields],
        "image": {"url": embed.image.url},
        "thumbnail": {"url": embed.thumbnail.url},
        "footer": {"text": embed.footer.text},
        "author": {"name": embed.author.name},
    }


def attachment_of(attachment):
    return {
        "id": text(attachment.id),
        "filename": attachment.filename,
        "size": attachment.size,
        "url": attachment.url,
        "proxy_url": attachment.proxy_url,
        "content_type": attachment.content_type,
        "width": attachment.width,
        "height": attachment.height,
        "description": attachment.description,
    }


def reaction_of(reaction):
    emoji = reaction.emoji
    own = isinstance(emoji, str)
    return {
        "count": reaction.count,
        "count_details": {"normal": reaction.normal_count, "burst": reaction.burst_count},
        "me": reaction.me,
        "me_burst": reaction.me_burst,
        "emoji": {"id": None if own else text(emoji.id), "name": emoji if own else emoji.name},
    }


def poll_of(poll):
    return {
        "question": {"text": poll.question},
        "answers": [{"answer_id": answer.id, "poll_media": {"text": answer.text}} for answer in poll.answers],
        "expiry": moment(poll.expires_at),
        "allow_multiselect": poll.multiple,
        "layout_type": value(poll.layout_type),
        "results": {
            "is_finalized": poll.is_finalised(),
            "answer_counts": [
                {"id": answer.id, "count": answer.vote_count, "me_voted": answer.self_voted} for answer in poll.answers
            ],
        },
    }
