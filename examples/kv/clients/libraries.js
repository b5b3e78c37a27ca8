// SPDX-License-Identifier: Apache-2.0
//
// The steps of one npm package: node libraries.js PORT GETS PATH_OF_PACKAGE. See ./libraries.

'use strict';

const path = require('path');
const {setTimeout: sleep} = require('timers/promises');

const [port, gets, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const library = require(folder);
const {version} = require(path.join(folder, 'package.json'));
const name = `${path.basename(folder).replace(/[0-9]$/, '')} ${version}`;
const BATCH = 10000;
const VALUE = 'v'.repeat(100);

function check(condition, what) {
  if (!condition) throw new Error(what);
}

// What differs between the two families of libraries.
class IoRedis {
  constructor() {
    const Redis = library.default || library.Redis || library;
    this.client = new Redis(port);
    // As in every program: without a listener, Node ends the process at an error.
    this.client.on('error', () => {});
  }
  async connect() {}
  close() { return this.client.quit(); }
  config(setting, value) { return this.client.config('SET', setting, value); }
  clients() { return this.client.client('LIST'); }
  async pipeline(commands) {
    const replies = await this.client.pipeline(commands).exec();
    return replies.map(([error, reply]) => {
      if (error) throw error;
      return reply;
    });
  }
  async transaction(commands) {
    const replies = await this.client.multi(commands).exec();
    return replies && replies.map(([, reply]) => reply);
  }
  // Returns null when a watched key was changed by somebody else.
  async watched(key, other) {
    await this.client.watch(key);
    await other();
    return this.client.multi([['set', key, '0']]).exec();
  }
  async scan(pattern) {
    const keys = new Set();
    for await (const some of this.client.scanStream({match: pattern, count: 100})) some.forEach((key) => keys.add(key));
    return keys.size;
  }
  async manyGets() {
    const pipeline = this.client.pipeline();
    for (let i = 0; i < gets; ++i) pipeline.get('k');
    return (await pipeline.exec()).filter(([error, reply]) => !error && reply === VALUE).length;
  }
}

class NodeRedis {
  constructor() {
    this.client = library.createClient({url: `redis://127.0.0.1:${port}`});
    this.client.on('error', () => {});
  }
  connect() { return this.client.connect(); }
  close() { return this.client.close(); }
  config(setting, value) { return this.client.configSet(setting, value); }
  clients() { return this.client.sendCommand(['CLIENT', 'LIST']); }
  pipeline(commands) { return Promise.all(commands.map((words) => this.client.sendCommand(words.map(String)))); }
  async transaction(commands) {
    const multi = this.client.multi();
    for (const words of commands) multi.addCommand(words.map(String));
    return multi.exec();
  }
  async watched(key, other) {
    await this.client.watch(key);
    await other();
    try {
      return await this.client.multi().set(key, '0').exec();
    } catch (error) {
      if (error instanceof library.WatchError) return null;
      throw error;
    }
  }
  async scan(pattern) {
    const keys = new Set();
    for await (const some of this.client.scanIterator({MATCH: pattern, COUNT: 100})) some.forEach((key) => keys.add(key));
    return keys.size;
  }
  async manyGets() {
    // In batches: version 6 gives a command 5 s to be written, and gives up those that wait behind too many others.
    let right = 0;
    for (let begun = 0; begun < gets; begun += BATCH) {
      const length = Math.min(BATCH, gets - begun);
      const replies = await Promise.all(Array.from({length}, () => this.client.get('k')));
      right += replies.filter((reply) => reply === VALUE).length;
    }
    return right;
  }
}

const make = () => new (path.basename(folder).startsWith('redis') ? NodeRedis : IoRedis)();

async function main() {
  const one = make();
  const steps = {
    async connect() {
      await one.connect();
      check(await one.client.ping() === 'PONG', 'PING');
      await one.client.set('k', VALUE);
      check(await one.client.get('k') === VALUE, 'SET and GET');
      check((await one.client.info()).includes('redis_version'), 'INFO');
      check((await one.clients()).includes('addr='), 'CLIENT LIST');
    },
    async pipeline() {
      const commands = [];
      for (let i = 0; i < 1000; ++i) commands.push(['set', `p${i}`, i], ['get', `p${i}`]);
      const replies = await one.pipeline(commands);
      check(replies.every((reply, i) => reply === (i % 2 === 0 ? 'OK' : String((i - 1) / 2))), 'replies in order');
    },
    async transaction() {
      await one.client.set('counter', '1');
      const replies = await one.transaction([['incr', 'counter'], ['incr', 'counter']]);
      check(replies[0] === 2 && replies[1] === 3, `MULTI and EXEC: ${replies}`);
      const other = make();
      await other.connect();
      const aborted = await one.watched('counter', () => other.client.incr('counter'));
      check(aborted === null, `WATCH did not notice: ${aborted}`);
      check(await one.client.get('counter') === '4', 'the transaction was not executed');
      await other.close();
    },
    async scan() {
      check(await one.scan('p*') === 1000, 'SCAN finds all keys');
    },
    async idle() {
      await one.config('timeout', '1');
      await sleep(2500);
      await one.config('timeout', '0');
      check(await one.client.get('k') === VALUE, 'GET after the idle timeout');
    },
    async million_gets() {
      const right = await one.manyGets();
      check(right === gets, `${right} right replies`);
    },
  };
  for (const [step, run] of Object.entries(steps)) {
    const begin = Date.now();
    try {
      await run();
      console.log(`PASS ${name}: ${step} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
    } catch (error) {
      console.log(`FAIL ${name}: ${step}: ${error}`);
      process.exitCode = 1;
    }
  }
  await one.close();
}

main().catch((error) => {
  console.log(`FAIL ${name}: ${error}`);
  process.exit(1);
});
