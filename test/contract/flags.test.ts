import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { get } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Limiter } from '../../src/common/lifecycle/limiter';
import { SETTINGS } from '../../src/common/config/settings';
import { DaemonProcesses } from '../support/daemon-process';

let daemons: DaemonProcesses;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
});
afterEach(async () => {
  await daemons.close();
});

/** The flags that forkd 0.5 has: their variables, defaults as the help says them, and values that must be refused. */
const FLAGS: readonly {
  flag: string;
  env: string;
  fallback: RegExp;
  wrong: readonly [value: string, allowed: RegExp][];
}[] = [
  {
    flag: 'bind',
    env: 'FORKD_BIND',
    fallback: /127\.0\.0\.1:8889/,
    wrong: [
      ['localhost:1', /ip:port/],
      ['1.2.3.4:70000', /ip:port/],
    ],
  },
  {
    flag: 'state',
    env: 'FORKD_STATE',
    fallback: /\/var\/lib\/forkd\/state\.json/,
    wrong: [['', /is empty/]],
  },
  {
    flag: 'snapshot-root',
    env: 'FORKD_SNAPSHOT_ROOT',
    fallback: /\$XDG_DATA_HOME\/forkd\/snapshots/,
    wrong: [['', /is empty/]],
  },
  {
    flag: 'audit-log',
    env: 'FORKD_AUDIT_LOG',
    fallback: /\/var\/log\/forkd\/audit\.log/,
    wrong: [['', /is empty/]],
  },
  { flag: 'token-file', env: 'FORKD_TOKEN_FILE', fallback: /none/, wrong: [['', /is empty/]] },
  {
    flag: 'tls-cert',
    env: 'FORKD_TLS_CERT',
    fallback: /plain HTTP/,
    wrong: [['/c.pem', /--tls-key is missing/]],
  },
  {
    flag: 'tls-key',
    env: 'FORKD_TLS_KEY',
    fallback: /plain HTTP/,
    wrong: [['/k.pem', /--tls-cert is missing/]],
  },
  {
    flag: 'prewarm-scratch-dir',
    env: 'FORKD_PREWARM_SCRATCH_DIR',
    fallback: /\/dev\/shm\/forkd-prewarm/,
    wrong: [['', /is empty/]],
  },
  {
    flag: 'branch-concurrency',
    env: 'FORKD_BRANCH_CONCURRENCY',
    fallback: /4/,
    wrong: [
      ['0', /1 to 1000/],
      ['many', /1 to 1000/],
    ],
  },
];

describe('the flags of forkd 0.5', () => {
  it('are all explained by --help, with variable and default, and so are the others', async () => {
    const { code, stdout } = await daemons.run(['serve', '--help']);
    assert.equal(code, 0);
    const explained = new Map(
      stdout
        .split(/\n +(?=--[a-z])/)
        .map((part) => [/^--([a-z-]+)/.exec(part)?.[1] ?? '', part.replaceAll(/\s+/g, ' ')] as const)
        .filter(([, part]) => part.includes('(env ')),
    );
    for (const { flag, env, fallback } of FLAGS) {
      const text = explained.get(flag) ?? '';
      assert.ok(text.includes(`env ${env};`), `${flag}: ${text}`);
      assert.match(text, new RegExp(`default .*${fallback.source}`), flag);
    }
    for (const { flag, env, meaning } of SETTINGS) {
      const text = explained.get(flag) ?? '';
      assert.ok(text.includes(env) && text.includes(meaning.replaceAll(/\s+/g, ' ')), `${flag}: ${text}`);
    }
  });

  it('that are wrong end with status 2 and one line: flag or variable, value, what is allowed; nothing is created', async () => {
    const cases = FLAGS.flatMap(({ flag, env, wrong }) =>
      wrong.flatMap(([value, allowed]) => [
        { flag, value, allowed, source: `--${flag}`, args: [`--${flag}`, value], more: {} },
        { flag, value, allowed, source: env, args: [], more: { [env]: value } },
      ]),
    );
    const check = async ({
      flag,
      value,
      allowed,
      source,
      args,
      more,
    }: (typeof cases)[number]): Promise<void> => {
      const { code, stdout, stderr } = await daemons.run(['serve', ...args], more);
      const what = `${source}=${value}: ${stderr}`;
      assert.deepEqual([code, stdout], [2, ''], what);
      assert.match(stderr, /^forkd-controller: [^\n]+\n$/, what);
      // One of a pair is named as the flag, wherever it came from.
      assert.ok(stderr.includes(source) || stderr.includes(`--${flag} is`), what);
      assert.ok(stderr.includes(value), what);
      assert.match(stderr, allowed, what);
    };
    const limiter = new Limiter(4);
    await Promise.all(cases.map((each) => limiter.run(() => check(each))));
    const unknown = await daemons.run(['serve', '--no-such-flag', 'x']);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /--no-such-flag/);
    for (const name of ['lib', 'log', 'run']) await assert.rejects(access(daemons.path(name)), name);
  });

  it('beat their variables, and these the defaults', async () => {
    const cap = async (args: string[], env: NodeJS.ProcessEnv): Promise<string> => {
      const daemon = await daemons.serve(args, env);
      const text = await new Promise<string>((resolve, reject) => {
        get(`${daemon.url}/metrics`, { agent: false }, (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString()));
          response.once('end', () => {
            resolve(body);
          });
        }).once('error', reject);
      });
      await daemon.end('SIGTERM');
      return /^forkd_branch_concurrency_cap (\d+)$/m.exec(text)?.[1] ?? '';
    };
    assert.equal(await cap([], {}), '4');
    assert.equal(await cap([], { FORKD_BRANCH_CONCURRENCY: '9' }), '9');
    // A variable that a flag beats may be anything.
    assert.equal(await cap(['--branch-concurrency', '3'], { FORKD_BRANCH_CONCURRENCY: 'nonsense' }), '3');
  });
});
