import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { GuestHost } from '../../support/guest-host';
import { Tmux } from '../../support/tmux';
import { ENTRY, runCli } from './run-cli';

describe('forkd shell', () => {
  let guest: GuestHost;
  let tmux: Tmux;
  let sane: string;

  before(async () => {
    guest = await GuestHost.start();
  });
  after(async () => {
    await guest.stop();
  });

  beforeEach(async () => {
    tmux = await Tmux.open({ FORKD_URL: `http://127.0.0.1:${guest.port}`, ID: guest.id });
    await tmux.enter(
      `forkd() { "${process.execPath}" "${ENTRY}" "$@"; echo "left with $?"; }; alias s='stty -a | tr "\\n" " "; echo'`,
    );
    sane = await settings();
  });
  afterEach(async () => {
    await tmux.close();
  });

  /** What the local terminal is set to. */
  async function settings(): Promise<string> {
    await tmux.clear();
    await tmux.enter('s; echo marker-$((40 + 2))');
    const seen = await tmux.shows(/marker-42/);
    return seen
      .slice(seen.indexOf('speed'), seen.indexOf('marker-42'))
      .replace(/rows \d+; columns \d+/, '')
      .replace(/\s+/g, ' ');
  }

  /** Opens a shell in the guest and waits for its prompt. */
  async function open(): Promise<void> {
    await tmux.clear();
    await tmux.enter('forkd exec -it -e PS1="guest> " -e ENV= $ID -- sh -i');
    await tmux.shows(/guest> $/);
  }

  async function isRestored(): Promise<void> {
    assert.equal(await settings(), sane);
  }

  it('is a terminal: its size, resize, job control, Ctrl-C, and the exit code', async () => {
    await open();
    await tmux.enter('stty size; tty');
    assert.match(await tmux.shows(/pts\/\d+/), /30 100/);
    await tmux.resize(77, 22);
    await tmux.enter('stty size');
    await tmux.shows(/22 77/);
    await tmux.enter('sleep 60; echo "ended by $?"');
    await tmux.press('C-c');
    await tmux.enter('sleep 61');
    await tmux.press('C-z');
    await tmux.enter('jobs');
    await tmux.shows(/Stopped.*sleep 61.*\n[^]*guest> jobs\n.*Stopped/);
    await tmux.enter('kill -9 %1; kill -9 $(jobs -p) 2>/dev/null; echo "still $((1 + 1))"');
    await tmux.shows(/still 2/);
    // A shell that still has a job asks to be told again; on one line, as the second must not reach another shell.
    await tmux.enter('exit 9; exit 9');
    await tmux.shows(/left with 9/);
    await isRestored();
  });

  it('starts the best shell there is', async () => {
    await tmux.clear();
    await tmux.enter('forkd shell $ID');
    await tmux.shows(/[$#>] $/);
    await tmux.enter('echo "shell $0 on $TERM"; exit 4');
    assert.match(await tmux.shows(/left with 4/), /shell -?(bash|sh) on (tmux|screen)/);
    await isRestored();
  });

  it('runs programs that draw on the whole screen', async () => {
    await open();
    await tmux.enter('yes line | head -n 500 | nl | less');
    await tmux.shows(/ 1\s+line/);
    await tmux.type('G');
    await tmux.shows(/500\s+line/);
    await tmux.type('q');
    await tmux.enter('exit');
    await tmux.shows(/left with 0/);
    await isRestored();
  });

  it('is left by Enter ~ . although nothing answers', async () => {
    await open();
    await tmux.enter("trap '' INT TERM HUP; stty raw -echo; sleep 60");
    await tmux.press('Enter');
    await tmux.type('~.');
    await tmux.shows(/left with 129/);
    await isRestored();
  });

  for (const [signal, code] of [
    ['TERM', 143],
    ['HUP', 129],
  ] as const) {
    it(`leaves the terminal as it was after SIG${signal}`, async () => {
      await open();
      // An interactive shell ignores SIGTERM, so the second one leaves it.
      await tmux.enter(
        'forkd_pid=$(ps -eo pid=,args= | grep "[e]xec -it" | awk \'{print $1}\' | tail -n 1); echo "pid $forkd_pid"',
      );
      const pid = Number(/pid (\d+)/.exec(await tmux.shows(/pid \d+/))?.[1]);
      process.kill(pid, `SIG${signal}`);
      if (signal === 'TERM') {
        await new Promise((resolve) => setTimeout(resolve, 200));
        process.kill(pid, `SIG${signal}`);
      }
      await tmux.shows(new RegExp(`left with ${code}`));
      await isRestored();
    });
  }

  it('leaves the terminal as it was when the daemon ends, and says so', async () => {
    await open();
    const closed = guest.host.restart();
    await tmux.shows(/shutting down/);
    await tmux.shows(/left with 3/);
    await closed;
    await isRestored();
  });

  it('needs a terminal', async () => {
    const run = await runCli(['shell', guest.id], { env: { FORKD_URL: `http://127.0.0.1:${guest.port}` } });
    assert.equal(run.code, 2);
    assert.match(run.stderr, /needs a terminal/);
  });
});
