import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { SystemdNotifier } from '../../../src/common/os/systemd-notify';
import { NotifySocket } from '../../support/notify-socket';

function unexpected(text: string): never {
  throw new Error(text);
}

describe('SystemdNotifier', () => {
  it('tells the service manager that it is ready, reloading and stopping, in this order', async () => {
    const socket = await NotifySocket.listen();
    try {
      const notifier = SystemdNotifier.fromEnvironment({ NOTIFY_SOCKET: socket.path }, unexpected);
      let reloads = 0;
      const reload = (): Promise<void> => {
        reloads += 1;
        return Promise.resolve();
      };
      await notifier.reload(reload);
      notifier.ready();
      await notifier.reload(reload);
      notifier.stopping();
      await notifier.reload(reload);
      assert.equal(reloads, 3);
      await notifier.close();
      const messages = [await socket.next(), await socket.next(), await socket.next(), await socket.next()];
      const [first, text = '', again, last] = messages;
      assert.deepEqual([first, again, last], ['READY=1', 'READY=1', 'STOPPING=1']);
      const [, time] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(text) ?? [];
      assert.ok(Math.abs(Number(time) - Number(process.hrtime.bigint() / 1000n)) < 60_000_000);
    } finally {
      await socket.close();
    }
  });

  it('gives a sign of life at half of the time that systemd allows, once it is ready', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const sent: string[] = [];
    const send = (assignments: readonly string[]): Promise<void> => {
      sent.push(...assignments);
      return Promise.resolve();
    };
    const notifier = new SystemdNotifier(send, 20_000, unexpected);
    t.mock.timers.tick(60_000);
    notifier.ready();
    notifier.ready();
    t.mock.timers.tick(9_999);
    await setImmediate();
    assert.deepEqual(sent, ['READY=1', 'READY=1']);
    t.mock.timers.tick(10_001);
    await notifier.close();
    assert.deepEqual(sent, ['READY=1', 'READY=1', 'WATCHDOG=1', 'WATCHDOG=1']);
  });

  it('takes the time from its environment, unless that is meant for another process', async () => {
    const socket = await NotifySocket.listen();
    try {
      const environment = { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '20000' };
      const others = SystemdNotifier.fromEnvironment({ ...environment, WATCHDOG_PID: '1' }, unexpected);
      others.ready();
      await others.close();
      assert.equal(await socket.next(), 'READY=1');
      const own = { ...environment, WATCHDOG_PID: String(process.pid) };
      const notifier = SystemdNotifier.fromEnvironment(own, unexpected);
      notifier.ready();
      assert.equal(await socket.next(), 'READY=1');
      assert.equal(await socket.next(), 'WATCHDOG=1');
      await notifier.close();
    } finally {
      await socket.close();
    }
  });

  it('does nothing where no service manager listens', async () => {
    const notifier = SystemdNotifier.fromEnvironment({ WATCHDOG_USEC: '1' }, unexpected);
    notifier.ready();
    await notifier.reload(() => Promise.resolve());
    notifier.stopping();
    await notifier.close();
  });

  it('says so when the service manager cannot be told, and goes on', async () => {
    const warnings: string[] = [];
    const warn = (text: string): void => void warnings.push(text);
    const notifier = SystemdNotifier.fromEnvironment({ NOTIFY_SOCKET: '/nonexistent/notify' }, warn);
    notifier.ready();
    await notifier.close();
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^systemd was not told READY=1: /);
  });
});
