import type { PathParameter } from '../../common/http/route-documentation';
import {
  arrayOf,
  constant,
  count,
  freeObject,
  integer,
  nullable,
  oneOf,
  optional,
  record,
  text,
} from '../../common/http/schema';
import { POLICY_KINDS } from '../networking/domain/policy';
import type { NetworkStatus } from './network/sandbox-network.service';
import type { IoUsage, SandboxUsage } from '../quotas/domain/usage';
import type { EvalAnswer, ExecAnswer } from './guest-calls.service';

export const EXEC_RESPONSE = record<ExecAnswer>(
  'ExecResponse',
  'How a program ended. What the guest refuses or cuts short is told in `stderr`, with exit code 1.',
  {
    stdout: text('Whole, as UTF-8; other bytes are replaced.'),
    stderr: text('Whole, as UTF-8; other bytes are replaced.'),
    exit_code: integer('Minus the number of the signal for a program that a signal ended.'),
    truncated: optional(constant(true, 'Only there when output was more than is kept and was cut.')),
  },
  { stdout: '4\n', stderr: '', exit_code: 0 },
);

export const EVAL_RESPONSE = record<EvalAnswer>(
  'EvalResponse',
  'What the code gave. An exception of the code is an answer, not a failure of the request.',
  {
    result: nullable(text('`repr` of the last expression; null when the code ends with a statement.')),
    error: nullable(text('`Type: message` of an exception.')),
    exit_code: integer('1 after an exception, else 0.'),
  },
  { result: '2', error: null, exit_code: 0 },
);

export const PING_RESPONSE = freeObject("The guest agent's own answer, as it is; `pong` is true.", {
  pong: true,
  agent_lang: 'python',
  numpy_version: 'not-installed',
  pid: 1,
  warmup_ready: true,
});

export const SANDBOX_PARAMS: Readonly<Record<string, PathParameter>> = {
  id: { description: "The sandbox's id.", example: 'sb-6657e0c0-0000' },
};

export const NETWORK_STATUS = record<NetworkStatus>(
  'NetworkStatus',
  "A sandbox's network, and the bytes that went over it.",
  {
    policy: oneOf(POLICY_KINDS, 'What it may reach.'),
    allow: optional(arrayOf(text('An address or network, with a port or without.'), 'Only with `allow`.')),
    address: text('Where this host reaches the guest, on any port.'),
    bytes_sent: count(
      'By the sandbox, since it was forked; after a restart of the daemon, through its namespace.',
    ),
    bytes_received: count('As `bytes_sent`.'),
  },
  { policy: 'internet', address: '10.213.0.3', bytes_sent: 1024, bytes_received: 4096 },
);

const IO_USAGE = record<IoUsage>(
  'IoUsage',
  'Disk accesses; without an io controller those of the VMM process, whose operations are then its system calls.',
  {
    read_bytes: count('Bytes read from disks.'),
    write_bytes: count('Bytes written to disks.'),
    read_ops: count('Reads.'),
    write_ops: count('Writes.'),
  },
  { read_bytes: 4096, write_bytes: 0, read_ops: 1, write_ops: 0 },
);

export const SANDBOX_USAGE = record<SandboxUsage>(
  'SandboxUsage',
  'What a sandbox uses of its host, since it was started.',
  {
    memory_private_bytes: count('Memory that only its VM has.'),
    memory_shared_bytes: count('Memory that it shares with others, its snapshot above all.'),
    memory_charged_bytes: nullable(
      count('Memory that counts against its limit; null without a memory controller.'),
    ),
    memory_limit_bytes: nullable(count('The limit of that; null for none.')),
    memory_high_events: count('How often it was slowed down because it came close to its limit.'),
    oom_kills: count('How many of its processes were killed at its limit.'),
    cpu_usec: count('CPU time, in microseconds.'),
    cpu_throttled_usec: count('For how long it had to wait for its `cpu_limit`, in microseconds.'),
    io: IO_USAGE,
    threads: count('Threads of its VMM.'),
  },
  {
    memory_private_bytes: 31457280,
    memory_shared_bytes: 94371840,
    memory_charged_bytes: 33554432,
    memory_limit_bytes: 268435456,
    memory_high_events: 0,
    oom_kills: 0,
    cpu_usec: 81000,
    cpu_throttled_usec: 0,
    io: { read_bytes: 4096, write_bytes: 0, read_ops: 1, write_ops: 0 },
    threads: 4,
  },
);
