// @ts-check
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Units that only cost time at the start of a host that lives for a minute. */
const MASKED = [
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer'],
  ...[
    'e2scrub_reap.service',
    'fstrim.timer',
    'getty@tty1.service',
    'console-getty.service',
    'logrotate.timer',
  ],
  ...[
    'systemd-pstore.service',
    'systemd-random-seed.service',
    'systemd-timesyncd.service',
    'remote-fs.target',
  ],
];

const AGENT_UNIT = `[Unit]
Description=Commands of the tests
After=local-fs.target

[Service]
ExecStart=/usr/bin/node /usr/local/lib/test-host/agent.mjs
Restart=always
# What a command left running goes on.
KillMode=process

[Install]
WantedBy=multi-user.target
`;

const FILES = {
  'etc/hostname': 'test-host\n',
  'etc/hosts': '127.0.0.1 localhost test-host\n',
  // One of its own, and not the sign of a first boot that an empty one is.
  'etc/machine-id': '00000000000000000000000000000001\n',
  'etc/fstab': 'exchange /mnt/exchange 9p trans=virtio,version=9p2000.L,msize=512000,cache=none 0 0\n',
  'etc/modules-load.d/test-host.conf': ['kvm_amd', 'tun', 'veth', 'bridge', 'nf_tables', ''].join('\n'),
  'etc/systemd/journald.conf.d/test-host.conf': '[Journal]\nStorage=volatile\nRateLimitBurst=0\n',
  'etc/systemd/system/test-host-agent.service': AGENT_UNIT,
};

/** @param {string} root */
export function writeHostFiles(root) {
  mkdirSync(join(root, 'mnt/exchange'), { recursive: true });
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const agent = 'usr/local/lib/test-host/agent.mjs';
  mkdirSync(dirname(join(root, agent)), { recursive: true });
  copyFileSync(fileURLToPath(new URL('agent.mjs', import.meta.url)), join(root, agent));
  const units = join(root, 'etc/systemd/system');
  link('../test-host-agent.service', join(units, 'multi-user.target.wants/test-host-agent.service'));
  for (const name of MASKED) link('/dev/null', join(units, name));
}

/**
 * @param {string} target
 * @param {string} path
 */
function link(target, path) {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  symlinkSync(target, path);
}
