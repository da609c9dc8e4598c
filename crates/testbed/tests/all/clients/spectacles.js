// A bot with one of the versions of @spectacles/brokers, as its users write it: all that is ours is what it prints and what
// it reads. Each event goes to standard output as a line of JSON; each line of standard input is something to do, and
// answered by a line when it is done.

const { createInterface } = require('readline');

const [library, address, group, subgroup] = process.argv.slice(2);
const { Amqp } = require(library);
const say = (line) => console.log(JSON.stringify(line));

const bot = new Amqp(group);
const workers = new Amqp(group, subgroup);
const caller = new Amqp(group, { rpc: true });
// The first versions call by publishing, the later ones by a method of its own.
const call = (...args) => (caller.call ? caller.call(...args) : caller.publish(...args));

const listen = (broker, events, subgroup) => {
  for (const event of events) {
    broker.on(event, (data, { ack }) => {
      say({ event, subgroup, data });
      ack();
    });
  }
};

const todo = {
  async listen(events) {
    listen(bot, events);
    listen(workers, events, subgroup);
    await bot.subscribe(events);
    await workers.subscribe(events);
  },
  subscribe: (events) => bot.subscribe(events),
  unsubscribe: (events) => bot.unsubscribe(events),
  publish: (messages) => Promise.all(messages.map((message) => bot.publish(...message))),
  call: (messages) => Promise.all(messages.map((message) => call(...message))),
};

(async () => {
  const connections = await Promise.all([bot, workers, caller].map((broker) => broker.connect(address)));
  for await (const line of createInterface({ input: process.stdin })) {
    for (const [what, argument] of Object.entries(JSON.parse(line))) {
      say({ done: what, result: await todo[what](argument) });
    }
  }
  await Promise.all(connections.map((connection) => connection.close()));
  process.exit(0);
})();
