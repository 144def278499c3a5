import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SimulatedHost } from '../../support/simulated-host';
import { branchCommands } from '../../support/model/branch-commands';
import { basicCommands, create, type HostCommand, spawn } from '../../support/model/commands';
import { assertEmptiable } from '../../support/model/invariants';
import { Model } from '../../support/model/model';
import { workspaceCommands } from '../../support/model/workspace-commands';

/** Random sequences of each kind, and steps in one; more by FORKD_MODEL_RUNS. */
const RUNS = Number(process.env['FORKD_MODEL_RUNS'] ?? '15');
const STEPS = 60;

/** Runs random sequences of steps on a host and on the model of it; a failure is told as a shortest sequence. */
async function holds(commands: fc.Arbitrary<HostCommand>[], runs: number): Promise<void> {
  const sequences = fc.commands(commands, { maxCommands: STEPS, size: 'max' });
  const property = fc.asyncProperty(sequences, async (sequence) => {
    const host = await SimulatedHost.start();
    try {
      const model = new Model();
      // So that no step is spent on the way to something to work with.
      for (const first of [create(0), spawn(0, 2)]) await first.run(model, host);
      await fc.asyncModelRun(() => ({ model, real: host }), sequence);
      await assertEmptiable(model, host);
    } finally {
      await host.stop();
    }
  });
  await fc.assert(property, { numRuns: runs, endOnFailure: false });
}

describe('random sequences of requests, deaths, restarts and crashes', () => {
  it('leave snapshots and sandboxes as the model has them', async () => {
    await holds(basicCommands(), RUNS);
  });

  it('leave branches and chains as the model has them', async () => {
    await holds([...basicCommands(), ...branchCommands()], RUNS);
  });

  it('leave workspaces as the model has them', async () => {
    const workspaces = workspaceCommands();
    await holds([...basicCommands(), ...branchCommands(), ...workspaces, ...workspaces, ...workspaces], RUNS);
  });
});
