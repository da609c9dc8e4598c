"""What hikari has in its cache, by the keys and in the words of Discord."""

import hikari


def text(snowflake):
    return None if snowflake in (None, hikari.UNDEFINED) else str(int(snowflake))


def plain(value):
    return None if value is hikari.UNDEFINED else value


def number(value):
    return None if value in (None, hikari.UNDEFINED) else int(value)


def moment(time):
    return None if time in (None, hikari.UNDEFINED) else time.isoformat()


def texts(snowflakes):
    return [text(snowflake) for snowflake in snowflakes]


def seconds(delta):
    return None if delta is None else int(delta.total_seconds())


def dump(bot):
    cache = {"bot_user": own_user(bot.cache.get_me())}
    for user in bot.cache.get_users_view().values():
        cache[f"user:{int(user.id)}"] = user_of(user)
    for guild in bot.cache.get_available_guilds_view().values():
        add_guild(cache, bot, guild)
    for message in bot.cache.get_messages_view().values():
        cache[f"message:{int(message.channel_id)}:{int(message.id)}"] = message_of(message)
    return cache


def add_guild(cache, bot, guild):
    at = int(guild.id)
    cache[f"guild:{at}"] = guild_of(guild)
    for channel in bot.cache.get_guild_channels_view_for_guild(at).values():
        cache[f"channel:{at}:{int(channel.id)}"] = channel_of(channel)
    for thread in bot.cache.get_threads_view_for_guild(at).values():
        cache[f"channel:{at}:{int(thread.id)}"] = thread_of(thread)
    for role in bot.cache.get_roles_view_for_guild(at).values():
        cache[f"role:{at}:{int(role.id)}"] = role_of(role)
    for member in bot.cache.get_members_view_for_guild(at).values():
        cache[f"member:{at}:{int(member.id)}"] = member_of(member, at)
    for user, presence in bot.cache.get_presences_view_for_guild(at).items():
        cache[f"presence:{at}:{int(user)}"] = presence_of(presence)
    for user, state in bot.cache.get_voice_states_view_for_guild(at).items():
        cache[f"voice:{at}:{int(user)}"] = voice_of(state)
    for emoji in bot.cache.get_emojis_view_for_guild(at).values():
        cache[f"emoji:{at}:{int(emoji.id)}"] = {
            "id": text(emoji.id),
            "name": emoji.name,
            "animated": emoji.is_animated,
            "require_colons": emoji.is_colons_required,
            "managed": emoji.is_managed,
            "available": emoji.is_available,
            "roles": texts(emoji.role_ids),
            "user": emoji.user and {"id": text(emoji.user.id)},
        }
    for sticker in bot.cache.get_stickers_view_for_guild(at).values():
        cache[f"sticker:{at}:{int(sticker.id)}"] = {
            "id": text(sticker.id),
            "guild_id": text(sticker.guild_id),
            "name": sticker.name,
            "description": sticker.description,
            "tags": sticker.tag,
            "type": int(sticker.type),
            "format_type": int(sticker.format_type),
            "available": sticker.is_available,
            "user": sticker.user and {"id": text(sticker.user.id)},
        }


def guild_of(guild):
    return {
        "id": text(guild.id),
        "name": guild.name,
        "description": guild.description,
        "icon": guild.icon_hash,
        "banner": guild.banner_hash,
        "splash": guild.splash_hash,
        "discovery_splash": guild.discovery_splash_hash,
        "application_id": text(guild.application_id),
        "owner_id": text(guild.owner_id),
        "member_count": guild.member_count,
        "large": guild.is_large,
        "joined_at": moment(guild.joined_at),
        "features": [str(getattr(feature, "value", feature)) for feature in guild.features],
        "afk_timeout": seconds(guild.afk_timeout),
        "afk_channel_id": text(guild.afk_channel_id),
        "system_channel_id": text(guild.system_channel_id),
        "system_channel_flags": int(guild.system_channel_flags),
        "rules_channel_id": text(guild.rules_channel_id),
        "public_updates_channel_id": text(guild.public_updates_channel_id),
        "widget_enabled": guild.is_widget_enabled,
        "widget_channel_id": text(guild.widget_channel_id),
        "verification_level": int(guild.verification_level),
        "default_message_notifications": int(guild.default_message_notifications),
        "explicit_content_filter": int(guild.explicit_content_filter),
        "mfa_level": int(guild.mfa_level),
        "nsfw_level": int(guild.nsfw_level),
        "premium_tier": int(guild.premium_tier),
        "premium_subscription_count": guild.premium_subscription_count,
        "preferred_locale": str(getattr(guild.preferred_locale, "value", guild.preferred_locale)),
        "vanity_url_code": guild.vanity_url_code,
        "max_video_channel_users": guild.max_video_channel_users,
    }


def channel_of(channel):
    kept = {
        "id": text(channel.id),
        "guild_id": text(channel.guild_id),
        "type": int(channel.type),
        "name": channel.name,
        "position": channel.position,
        "parent_id": text(channel.parent_id),
        "nsfw": channel.is_nsfw,
        "flags": int(channel.flags),
        "permission_overwrites": [
            {"id": text(of.id), "type": int(of.type), "allow": text(of.allow), "deny": text(of.deny)}
            for of in channel.permission_overwrites.values()
        ],
    }
    for name, attribute, told in [
        ("topic", "topic", plain),
        ("rate_limit_per_user", "rate_limit_per_user", seconds),
        ("bitrate", "bitrate", plain),
        ("user_limit", "user_limit", plain),
        ("rtc_region", "region", plain),
        ("last_message_id", "last_message_id", text),
        ("last_message_id", "last_thread_id", text),
        ("last_pin_timestamp", "last_pin_timestamp", moment),
        ("default_sort_order", "default_sort_order", number),
        ("default_forum_layout", "default_layout", number),
    ]:
        if hasattr(channel, attribute):
            kept[name] = told(getattr(channel, attribute))
    if isinstance(channel, hikari.GuildForumChannel):
        kept["default_reaction_emoji"] = {
            "emoji_id": text(channel.default_reaction_emoji_id),
            "emoji_name": channel.default_reaction_emoji_name and str(channel.default_reaction_emoji_name),
        }
        kept["available_tags"] = [
            {
                "id": text(tag.id),
                "name": tag.name,
                "moderated": tag.moderated,
                "emoji_id": text(tag.emoji_id),
                "emoji_name": tag.unicode_emoji and str(tag.unicode_emoji),
            }
            for tag in channel.available_tags
        ]
    return kept


def thread_of(thread):
    me, metadata = thread.member, thread.metadata
    return {
        "id": text(thread.id),
        "guild_id": text(thread.guild_id),
        "type": int(thread.type),
        "name": thread.name,
        "parent_id": text(thread.parent_id),
        "owner_id": text(thread.owner_id),
        "last_message_id": text(thread.last_message_id),
        "rate_limit_per_user": seconds(thread.rate_limit_per_user),
        "message_count": thread.approximate_message_count,
        "member_count": thread.approximate_member_count,
        "thread_metadata": {
            "archived": metadata.is_archived,
            "locked": metadata.is_locked,
            "auto_archive_duration": seconds(metadata.auto_archive_duration) // 60,
            "archive_timestamp": moment(metadata.archive_timestamp),
            "create_timestamp": moment(metadata.created_at),
        },
        "member": me and {"flags": int(me.flags), "join_timestamp": moment(me.joined_at)},
    }


def colour(value):
    return None if value is None else int(value)


def role_of(role):
    return {
        "id": text(role.id),
        "guild_id": text(role.guild_id),
        "name": role.name,
        "position": role.position,
        "permissions": text(role.permissions),
        "hoist": role.is_hoisted,
        "managed": role.is_managed,
        "mentionable": role.is_mentionable,
        "icon": role.icon_hash,
        "unicode_emoji": role.unicode_emoji and str(role.unicode_emoji),
        "color": int(role.color),
        "colors": {
            "primary_color": int(role.colors.primary_color),
            "secondary_color": colour(role.colors.secondary_color),
            "tertiary_color": colour(role.colors.tertiary_color),
        },
        "tags": {"bot_id": text(role.bot_id), "integration_id": text(role.integration_id)},
    }


def member_of(member, at):
    return {
        "user": {"id": text(member.id)},
        "guild_id": text(member.guild_id),
        "nick": plain(member.nickname),
        "avatar": plain(member.guild_avatar_hash),
        "banner": plain(member.guild_banner_hash),
        # It adds @everyone.
        "roles": texts(role for role in member.role_ids if int(role) != at),
        "joined_at": moment(member.joined_at),
        "premium_since": moment(member.premium_since),
        "communication_disabled_until": moment(member.raw_communication_disabled_until),
        "pending": plain(member.is_pending),
        "deaf": plain(member.is_deaf),
        "mute": plain(member.is_mute),
        "flags": int(member.guild_flags),
    }


def user_of(user):
    return {
        "id": text(user.id),
        "username": user.username,
        "global_name": user.global_name,
        "discriminator": user.discriminator,
        "avatar": user.avatar_hash,
        "public_flags": int(user.flags),
        "bot": user.is_bot,
    }


def own_user(user):
    # It reads `flags` of its own user where it reads `public_flags` of others.
    kept = user_of(user) | {
        "flags": int(user.flags),
        "banner": user.banner_hash,
        "accent_color": colour(user.accent_color),
        "email": user.email,
        "verified": user.is_verified,
        "mfa_enabled": user.is_mfa_enabled,
    }
    del kept["public_flags"]
    return kept


def presence_of(presence):
    status = presence.client_status
    told = lambda status: None if str(status) == "offline" else str(getattr(status, "value", status))
    return {
        "user": {"id": text(presence.user_id)},
        "guild_id": text(presence.guild_id),
        "status": told(presence.visible_status),
        "client_status": {"desktop": told(status.desktop), "mobile": told(status.mobile), "web": told(status.web)},
        "activities": [activity_of(activity) for activity in presence.activities],
    }


def milliseconds(time):
    return None if time is None else round(time.timestamp() * 1000)


def activity_of(activity):
    kept = {
        "name": activity.name,
        "type": int(activity.type),
        "url": activity.url,
        "state": activity.state,
        "created_at": milliseconds(activity.created_at),
        "application_id": text(activity.application_id),
        "details": activity.details,
        "flags": number(activity.flags),
    }
    if activity.timestamps:
        kept["timestamps"] = {
            "start": milliseconds(activity.timestamps.start),
            "end": milliseconds(activity.timestamps.end),
        }
    if activity.emoji:
        kept["emoji"] = {"name": activity.emoji.name}
    if activity.party:
        kept["party"] = {"id": activity.party.id}
    if activity.assets:
        kept["assets"] = {"large_image": activity.assets.large_image, "large_text": activity.assets.large_text}
    return kept


def voice_of(state):
    return {
        "user_id": text(state.user_id),
        "guild_id": text(state.guild_id),
        "channel_id": text(state.channel_id),
        "session_id": state.session_id,
        "deaf": state.is_guild_deafened,
        "mute": state.is_guild_muted,
        "self_deaf": state.is_self_deafened,
        "self_mute": state.is_self_muted,
        "self_stream": state.is_streaming,
        "self_video": state.is_video_enabled,
        "suppress": state.is_suppressed,
        "request_to_speak_timestamp": moment(state.requested_to_speak_at),
    }


def message_of(message):
    reference = message.message_reference
    return {
        "id": text(message.id),
        "channel_id": text(message.channel_id),
        "guild_id": text(message.guild_id),
        "type": int(message.type),
        "content": message.content,
        "author": {"id": text(message.author.id), "username": message.author.username},
        "timestamp": moment(message.timestamp),
        "edited_timestamp": moment(message.edited_timestamp),
        "tts": message.is_tts,
        "pinned": message.is_pinned,
        "flags": int(message.flags),
        "nonce": message.nonce,
        "webhook_id": text(message.webhook_id),
        "application_id": text(message.application_id),
        "mention_everyone": plain(message.mentions_everyone),
        "mentions": [{"id": text(user)} for user in message.user_mentions_ids or ()],
        "mention_roles": texts(message.role_mention_ids or ()),
        "embeds": [embed_of(embed) for embed in message.embeds],
        "attachments": [attachment_of(attachment) for attachment in message.attachments],
        "sticker_items": [{"id": text(s.id), "name": s.name} for s in message.stickers],
        "components": [{"type": int(component.type)} for component in message.components],
        "reactions": [reaction_of(reaction) for reaction in message.reactions],
        "poll": message.poll and poll_of(message.poll),
        "thread": message.thread and {"id": text(message.thread.id)},
        "message_reference": reference and {
            "type": int(reference.type),
            "message_id": text(reference.id),
            "channel_id": text(reference.channel_id),
            "guild_id": text(reference.guild_id),
        },
    }


def embed_of(embed):
    return {
        "title": embed.title,
        "description": embed.description,
        "url": embed.url,
        "color": colour(embed.color),
        "timestamp": moment(embed.timestamp),
        "image": {"url": embed.image and embed.image.url},
        "thumbnail": {"url": embed.thumbnail and embed.thumbnail.url},
        "footer": {"text": embed.footer and embed.footer.text},
        "author": {"name": embed.author and embed.author.name},
        "fields": [{"name": of.name, "value": of.value, "inline": of.is_inline} for of in embed.fields],
    }


def attachment_of(attachment):
    return {
        "id": text(attachment.id),
        "filename": attachment.filename,
        "size": attachment.size,
        "url": attachment.url,
        "proxy_url": attachment.proxy_url,
        "content_type": attachment.media_type,
        "width": attachment.width,
        "height": attachment.height,
        "description": plain(attachment.description),
    }


def reaction_of(reaction):
    emoji = reaction.emoji
    return {
        "count": reaction.count,
        "count_details": {"normal": reaction.count_details.normal, "burst": reaction.count_details.burst},
        "me": reaction.is_me,
        "me_burst": reaction.is_me_burst,
        "emoji": {"id": text(getattr(emoji, "id", None)), "name": emoji.name},
    }


def poll_of(poll):
    results = poll.results
    return {
        "question": {"text": poll.question.text},
        "answers": [{"answer_id": of.answer_id, "poll_media": {"text": of.poll_media.text}} for of in poll.answers],
        "expiry": moment(poll.expiry),
        "allow_multiselect": poll.allow_multiselect,
        "layout_type": int(poll.layout_type),
        "results": results and {
            "is_finalized": results.is_finalized,
            "answer_counts": [
                {"id": text(of.id), "count": of.count, "me_voted": of.me_voted} for of in results.answer_counts
            ],
        },
    }
