import { readdir } from 'node:fs/promises';
import { it } from 'node:test';
import fc from 'fast-check';
import { branchCommands } from '../support/model/branch-commands';
import {
  create,
  type HostCommand,
  sandboxCommands,
  spawn,
  variableCommands,
} from '../support/model/commands';
import type { ModelHost } from '../support/model/host';
import { assertEmptiable } from '../support/model/invariants';
import { Model } from '../support/model/model';
import { workspaceCommands } from '../support/model/workspace-commands';
import { RealHost } from '../support/real-host';

/** The same steps as in unit/simulated/state-machine.test.ts, fewer of them. */
const STEPS = Number(process.env['FORKD_MODEL_STEPS'] ?? '60');
const SEED = Number(process.env['FORKD_MODEL_SEED'] ?? String(Date.now() % 2 ** 31));

/** Every order is carried out in memory and on disk; `list` gives nothing where they differ. */
const ORDERS = `
import json, pathlib
disk = pathlib.Path('/root/model.json')
memory = globals().get('memory', {})
class Plain(str):
    def __repr__(self): return str(self)
def order(verb, name=None, value=None):
    kept = json.loads(disk.read_text()) if disk.exists() else {}
    if kept != memory: raise AssertionError(f'on disk {kept}, in memory {memory}')
    if verb == 'list': return Plain(json.dumps(sorted(map(list, memory.items()))))
    if verb == 'unset': memory.pop(name, None)
    else: memory[name] = value if verb == 'set' else str(int(memory.get(name, '0')) + 1)
    disk.write_text(json.dumps(memory))
`;

/** Real VMs whose guests keep their variables in an interpreter and in a file. */
function modelHost(host: RealHost): ModelHost {
  return {
    memSizeMib: 128,
    get client() {
      return host.client;
    },
    config: host.config,
    restart: () => host.restart(),
    crash: () => Promise.reject(new Error('faults/restarts.test.ts kills real daemons')),
    endVm: (pid) => {
      process.kill(pid, 'SIGKILL');
    },
    codeFor: (order) => `${ORDERS}\norder(*${JSON.stringify(order.split(' '))})`,
    vmProcesses: () => host.vmProcesses(),
    traces: () => host.traces(),
    snapshotDirectories: async () =>
      (await readdir(host.config.snapshotRoot)).filter((name) => !name.startsWith('.')),
  };
}

void it('random sequences leave real VMs, their memory and their disks as the model has them', async (context) => {
  context.diagnostic(`FORKD_MODEL_SEED=${SEED} FORKD_MODEL_STEPS=${STEPS} repeats this sequence`);
  const commands: fc.Arbitrary<HostCommand>[] = [
    ...sandboxCommands(),
    // Most of the others need one that lives.
    fc.nat(7).map((from) => spawn(from, 2)),
    fc.nat(7).map((from) => spawn(from, 1)),
    ...variableCommands(),
    ...branchCommands(),
    ...branchCommands(),
    ...workspaceCommands(),
  ];
  const sequence = fc.array(fc.oneof(...commands), { minLength: STEPS, maxLength: STEPS });
  const property = fc.asyncProperty(sequence, async (steps) => {
    const host = await RealHost.start();
    try {
      const [model, real] = [new Model(), modelHost(host)];
      // So that no step is spent on the way to something to work with.
      for (const each of [create(0), spawn(0, 2), ...steps]) {
        const begun = performance.now();
        await each.run(model, real);
        context.diagnostic(`${String(each)} ${Math.round(performance.now() - begun)} ms`);
      }
      await assertEmptiable(model, real);
    } finally {
      await host.stop();
    }
  });
  // A shorter sequence that fails as well is not looked for: each try takes a minute.
  await fc.assert(property, { numRuns: 1, seed: SEED, endOnFailure: true });
});
