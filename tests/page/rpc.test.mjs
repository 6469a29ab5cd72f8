/** The bridge to workers: nothing that is asked waits for ever, whatever happens on the other side. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Bridge, answer } from '../../web/core/rpc.js';

const turn = (ms = 0) => new Promise((next) => setTimeout(next, ms));

/** A worker in this thread: `calls` are what it answers, or null for one that says nothing. */
function fake(calls, { loads = true } = {}) {
  const scope = { postMessage: (data) => setTimeout(() => worker.onmessage?.({ data })) };
  const worker = {
    asked: [],
    terminated: false,
    postMessage(data) {
      worker.asked.push(data.call);
      setTimeout(() => worker.terminated || scope.onmessage?.({ data }));
    },
    terminate: () => void (worker.terminated = true),
    crash: (message) => worker.onerror({ message, preventDefault() {} }),
  };
  if (calls) answer(scope, calls, { isCrash: (thrown) => thrown?.kind === 'fatal' });
  if (loads) scope.postMessage({ loaded: true });
  return worker;
}

describe('a bridge', () => {
  it('gives results, errors and progress', async () => {
    const bridge = new Bridge(() =>
      fake({
        add: ({ a, b }, onProgress) => (onProgress(1), a + b),
        fail: () => Promise.reject({ kind: 'bad', message: 'no' }),
      }),
    );
    const heard = [];
    assert.equal(await bridge.call('add', { a: 1, b: 2 }, { onProgress: (progress) => heard.push(progress) }), 3);
    assert.deepEqual(heard, [1]);
    await assert.rejects(bridge.call('fail', {}), { kind: 'bad', message: 'no' });
    await assert.rejects(bridge.call('unknown', {}));
  });

  it('fails at once when the worker cannot be loaded, and starts another with the next call', async () => {
    const workers = [];
    const bridge = new Bridge(() => (workers.push(fake({ ok: () => 1 }, { loads: false })), workers.at(-1)), {
      says: { notLoaded: () => 'not there' },
    });
    const first = bridge.call('ok', {});
    workers[0].onmessage = null;
    workers[0].crash(undefined);
    await assert.rejects(first, { kind: 'crashed', message: 'not there' });
    assert.equal(await bridge.call('ok', {}), 1);
    assert.equal(workers.length, 2);
  });

  it('gives up a worker that lacks a part of it, with the reason', async () => {
    const workers = [];
    const bridge = new Bridge(() => (workers.push(fake({ ok: () => 1 })), workers.at(-1)), {
      says: { notLoaded: (why) => `not there: ${why}`, crashed: () => 'stopped' },
    });
    const first = bridge.call('ok', {});
    workers[0].onmessage({ data: { notLoaded: 'no connection' } });
    await assert.rejects(first, { kind: 'crashed', message: 'not there: no connection' });
    assert.ok(workers[0].terminated);
    assert.equal(await bridge.call('ok', {}), 1);
  });

  it('gives up a worker that never comes', async () => {
    const bridge = new Bridge(() => fake(null, { loads: false }), { loading: 20 });
    await assert.rejects(bridge.call('ok', {}), { kind: 'crashed' });
  });

  it('gives up a call that hears nothing, and not one that hears progress', async () => {
    const bridge = new Bridge(() =>
      fake({
        silent: () => new Promise(() => {}),
        slow: async (_args, onProgress) => {
          for (let at = 0; at < 5; at++) {
            await turn(300);
            onProgress(at);
          }
          return 'done';
        },
      }),
    );
    await assert.rejects(bridge.call('silent', {}, { silence: 1000 }), { kind: 'timeout' });
    assert.equal(await bridge.call('slow', {}, { silence: 1000 }), 'done');
  });

  it('says a reply that cannot be read', async () => {
    let worker;
    const bridge = new Bridge(() => (worker = fake(null)));
    const call = bridge.call('ok', {});
    worker.onmessageerror();
    await assert.rejects(call, { kind: 'crashed' });
  });

  it('says arguments that cannot be sent', async () => {
    const bridge = new Bridge(() => ({ ...fake(null), postMessage: () => assert.fail('not cloneable') }), {
      loading: 0,
    });
    await assert.rejects(bridge.call('ok', {}), /not cloneable/);
  });

  it('repeats after a crash what can be asked twice, apart from the call that caused it', async () => {
    const workers = [];
    const bridge = new Bridge(() => {
      workers.push(
        fake({
          harmless: async () => (await turn(5), 'read'),
          poison: () => Promise.reject({ kind: 'fatal', message: 'out of memory' }),
        }),
      );
      return workers.at(-1);
    });
    const [poison, ...harmless] = await Promise.allSettled([
      bridge.repeated(() => bridge.call('poison', {})),
      bridge.repeated(() => bridge.call('harmless', {})),
      bridge.repeated(() => bridge.call('harmless', {})),
    ]);
    assert.equal(poison.reason.kind, 'crashed');
    assert.deepEqual(
      harmless.map(({ value }) => value),
      ['read', 'read'],
    );
  });

  it('tells of a crash how many calls it took', async () => {
    const told = [];
    let worker;
    const bridge = new Bridge(() => (worker = fake({ ok: () => 1, wait: () => new Promise(() => {}) })), {
      onCrash: (message, waiting) => told.push([message, waiting]),
    });
    await bridge.call('ok', {});
    worker.crash('idle');
    const call = bridge.call('wait', {});
    worker.crash('busy');
    await assert.rejects(call);
    const repeated = bridge.repeated(() => bridge.call('ok', {}));
    worker.crash('unseen');
    assert.equal(await repeated, 1);
    assert.deepEqual(told, [
      ['idle', 0],
      ['busy', 1],
      ['unseen', 0],
    ]);
  });

  it('ends its calls with itself', async () => {
    const bridge = new Bridge(() => fake(null));
    const call = bridge.call('ok', {});
    bridge.end();
    await assert.rejects(call, { kind: 'cancelled' });
  });

  it('works over a port', async () => {
    const { port1, port2 } = new MessageChannel();
    answer(
      port2,
      { read: ({ start, end }) => new Uint8Array(end - start) },
      { transferred: (bytes) => [bytes.buffer] },
    );
    const bridge = new Bridge(() => port1, { loading: 0 });
    assert.equal((await bridge.call('read', { start: 2, end: 5 })).length, 3);
    bridge.end();
  });
});
