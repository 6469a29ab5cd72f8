/** The policies of jobs, and the bridge to workers: each case is a row of what is asked and what follows. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Jobs } from '../../web/core/jobs.js';

const turn = (ms = 0) => new Promise((next) => setTimeout(next, ms));

/** Jobs whose work the test ends: `log` has what they did, `end(name)` lets one finish. */
function lane() {
  const log = [];
  const ends = new Map();
  let shown = [];
  const jobs = new Jobs((list) => (shown = list));
  const start = (name, plan = {}) => {
    const run = (signal) =>
      new Promise((resolve, reject) => {
        log.push(`${name} runs`);
        ends.set(name, () => (log.push(`${name} ends`), resolve(name)));
        signal.addEventListener('abort', () => (log.push(`${name} stops`), reject(signal.reason)));
      });
    const job = jobs.start({ lane: 'gpu', kind: 'generate', key: name, name, run, ...plan });
    job?.done.then(
      () => log.push(`${name} done`),
      ({ kind }) => log.push(`${name} ${kind}`),
    );
    if (!job) log.push(`${name} refused`);
    return job;
  };
  return {
    jobs,
    log,
    start,
    end: (name) => ends.get(name)(),
    shown: () => shown.map(({ name, status }) => `${name} ${status}`),
  };
}

const CASES = [
  {
    it: 'runs one at a time, in the order in which they were asked for',
    do: async ({ start, end }) => (start('a'), start('b'), await turn(), end('a'), await turn(), end('b')),
    log: ['a runs', 'a ends', 'a done', 'b runs', 'b ends', 'b done'],
  },
  {
    it: 'lets a higher priority go first, without stopping what does not yield',
    do: async ({ start, end }) => (
      start('a'),
      start('b'),
      start('c', { priority: 1 }),
      await turn(),
      end('a'),
      await turn(),
      end('c'),
      await turn(),
      end('b')
    ),
    log: ['a runs', 'a ends', 'a done', 'c runs', 'c ends', 'c done', 'b runs', 'b ends', 'b done'],
  },
  {
    it: 'refuses what is there already',
    do: async ({ start, end }) => (
      start('a', { key: 'k', same: 'refuse' }),
      start('b', { key: 'k', same: 'refuse' }),
      await turn(),
      end('a')
    ),
    log: ['b refused', 'a runs', 'a ends', 'a done'],
  },
  {
    it: 'does not refuse for a job that is being cancelled',
    do: async ({ start, jobs, end }) => (
      start('a', { key: 'k' }),
      await turn(),
      jobs.cancelAll('k'),
      start('b', { key: 'k', same: 'refuse' }),
      await turn(),
      end('b')
    ),
    log: ['a runs', 'a stops', 'a cancelled', 'b runs', 'b ends', 'b done'],
  },
  {
    it: 'replaces the last of its key, waiting or running',
    do: async ({ start, end }) => {
      for (const name of ['a', 'b', 'c']) start(name, { key: 'k', same: 'replace' });
      await turn();
      start('d', { key: 'k', same: 'replace' });
      await turn();
      end('d');
    },
    log: ['b cancelled', 'a cancelled', 'c runs', 'c stops', 'c cancelled', 'd runs', 'd ends', 'd done'],
  },
  {
    it: 'joins the one that is there, and both hear of it',
    do: async ({ start, end }) => (
      start('a', { key: 'k', same: 'join' }),
      await turn(),
      start('b', { key: 'k', same: 'join' }),
      await turn(),
      end('a')
    ),
    log: ['a runs', 'a ends', 'a done', 'b done'],
  },
  {
    it: 'ends a lower one that yields, and not one of the same priority',
    do: async ({ start, end }) => (
      start('a', { yields: 'ends' }),
      await turn(),
      start('b'),
      await turn(),
      start('c', { priority: 1 }),
      await turn(),
      end('c'),
      await turn(),
      end('b')
    ),
    log: ['a runs', 'a stops', 'a cancelled', 'c runs', 'c ends', 'c done', 'b runs', 'b ends', 'b done'],
  },
  {
    it: 'pauses a lower one that can go on',
    do: async ({ start, end }) => (
      start('a', { yields: 'resumes' }),
      await turn(),
      start('b', { priority: 1 }),
      await turn(),
      end('b'),
      await turn(),
      end('a')
    ),
    log: ['a runs', 'a stops', 'b runs', 'b ends', 'b done', 'a runs', 'a ends', 'a done'],
  },
  {
    it: 'lets a waiting job come to the front',
    do: async ({ start, jobs, end }) => (
      start('a', { yields: 'resumes' }),
      start('b'),
      await turn(),
      jobs.raise('b', 1),
      await turn(),
      end('b'),
      await turn(),
      end('a')
    ),
    log: ['a runs', 'a stops', 'b runs', 'b ends', 'b done', 'a runs', 'a ends', 'a done'],
  },
  {
    it: 'keeps its lanes apart',
    do: async ({ start, end }) => (
      start('a'),
      start('b', { lane: 'read' }),
      await turn(),
      end('b'),
      await turn(),
      end('a')
    ),
    log: ['a runs', 'b runs', 'b ends', 'b done', 'a ends', 'a done'],
  },
  {
    it: 'goes on after one that fails',
    do: async ({ start, end }) => (
      start('a', { run: async () => Promise.reject({ kind: 'broken', message: '' }) }),
      start('b'),
      await turn(),
      end('b')
    ),
    log: ['a broken', 'b runs', 'b ends', 'b done'],
  },
  {
    it: 'never runs what is cancelled before its turn',
    do: async ({ start, jobs }) => jobs.cancel(start('a').id),
    log: ['a cancelled'],
  },
];

describe('jobs', () => {
  for (const { it: what, do: act, log } of CASES) {
    it(what, async () => {
      const world = lane();
      await act(world);
      await turn();
      assert.deepEqual(world.log, log);
      assert.deepEqual(world.shown(), [], 'nothing is left');
    });
  }

  it('are told with their states and progress', async () => {
    let shown = [];
    const jobs = new Jobs((list) => (shown = list));
    let end;
    jobs.start({
      lane: 'disk',
      kind: 'download',
      name: 'x',
      run: (_signal, progress) => (setTimeout(() => progress(0.5), 300), new Promise((resolve) => (end = resolve))),
    });
    assert.deepEqual(shown, [{ id: 1, lane: 'disk', kind: 'download', name: 'x', status: 'running', done: null }]);
    await turn(350);
    assert.equal(shown[0].done, 0.5);
    jobs.cancel(1);
    assert.equal(shown[0].status, 'cancelling');
    end();
    await turn();
    assert.deepEqual(shown, []);
  });
});
