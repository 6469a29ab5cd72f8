/** Memory of a page's process while something happens in it. */
import { readFileSync } from 'node:fs';

/**
 * Tracks the peak memory of the process of the page that was opened last, relative to now; `stop()` returns it in bytes, null
 * without /proc.
 * @param {import('playwright-core').Browser} browser
 */
export async function watch(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  // The page's process is the one that was started last.
  const pid = Math.max(...processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id));
  const used = () => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const kilobytes = ['RssAnon', 'RssShmem'].map((name) =>
        Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]),
      );
      return 1024 * kilobytes.reduce((sum, value) => sum + value, 0);
    } catch {
      return null;
    }
  };
  /** Processor time of the process so far, in ms: Linux counts hundredths of a second. */
  const worked = () => {
    const [, fields] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) /);
    const [user, system] = fields.split(' ').slice(11, 13).map(Number);
    return 10 * (user + system);
  };
  const idle = used();
  const began = idle === null ? 0 : worked();
  let most = idle;
  const timer = setInterval(() => (most = Math.max(most, used() ?? 0)), 50);
  return {
    /** Processor time since the beginning, in ms; null without /proc. */
    worked: () => (idle === null ? null : worked() - began),
    stop() {
      clearInterval(timer);
      return idle === null ? null : most - idle;
    },
  };
}
