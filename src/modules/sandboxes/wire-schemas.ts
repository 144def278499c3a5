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
