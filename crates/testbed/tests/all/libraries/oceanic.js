// A bot with Oceanic, which speaks ETF once erlpack is installed: its URL set and nothing else. It says what it has done,
// one line of JSON for each step.
const { Client, Intents } = require("oceanic.js");

const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));
const assert = (right, what) => {
  if (!right) throw new Error(what);
};
const client = new Client({
  auth: "Bot " + process.env.DISCORD_TOKEN,
  gateway: { intents: Object.values(Intents).filter((bit) => typeof bit === "number") },
  rest: { baseURL: process.env.DISCORD_API_URL + "/api/v10" },
});

client.once("ready", async () => {
  say("ready", { guilds: client.guilds.size });
  const commands = await client.application.bulkEditGlobalCommands([{ name: "greet", description: "answers", type: 1 }]);
  say("registered", { names: commands.map((command) => command.name) });
  const guild = client.guilds.find(() => true);
  const channel = guild.channels.find((c) => c.type === 0 && c.name !== "___hidden___");
  const files = [{ contents: Buffer.from("four"), name: "a.txt" }];
  const message = await channel.createMessage({ content: "with a file", files });
  assert([...message.attachments.values()][0].filename === "a.txt", "file");
  await message.edit({ content: "edited" });
  assert((await channel.getMessage(message.id)).content === "edited", "edit");
  await message.createReaction("👍");
  await message.delete();
  const known = guild.members.find((member) => member.id !== client.user.id);
  const member = await client.rest.guilds.getMember(guild.id, known.id);
  assert(member.guildID === guild.id, "member");
  const members = await guild.fetchMembers();
  assert(members.length === guild.memberCount, `${members.length} of ${guild.memberCount} members`);
  say("worked", { members: members.length });
});

client.on("interactionCreate", async (interaction) => {
  if (interaction.data?.name !== "greet") return;
  await interaction.reply({ content: "pong" });
  assert((await interaction.getOriginal()).content === "pong", "reply");
  await interaction.editOriginal({ content: "pong, edited" });
  await interaction.reply({ content: "and more", flags: 64 });
  say("answered");
});

client.on("messageCreate", async (message) => {
  if (message.content.startsWith("count ")) say("counted", { number: Number(message.content.split(" ")[1]) });
  if (message.content === "say") {
    await client.rest.channels.createMessage(message.channelID, { content: "said" });
    say("said");
  }
});
client.on("shardResume", () => say("resumed"));
client.on("error", (error) => console.error("error", error));
client.on("warn", (error) => console.error("warn", error));
process.on("unhandledRejection", (error) => {
  console.error(error);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0)).resume();
client.connect();
