import type { Sandbox } from '../api/types';
import { age, orDash } from '../output/format';
import type { Column } from '../output/table';

export const sandboxColumns: readonly Column<Sandbox>[] = [
  { title: 'ID', cell: (sandbox) => sandbox.id },
  { title: 'SNAPSHOT', cell: (sandbox) => sandbox.snapshot_tag, minWidth: 8 },
  { title: 'AGE', cell: (sandbox) => age(sandbox.created_at_unix), align: 'right' },
  { title: 'PID', cell: (sandbox) => orDash(sandbox.pid), align: 'right', optional: true },
  { title: 'NETNS', cell: (sandbox) => orDash(sandbox.netns), minWidth: 6, optional: true },
  {
    title: 'LIMIT',
    cell: (sandbox) => (sandbox.memory_limit_mib === null ? '-' : `${sandbox.memory_limit_mib} MiB`),
    align: 'right',
    optional: true,
  },
  { title: 'BRANCHES', cell: (sandbox) => String(sandbox.branch_count), align: 'right', optional: true },
];
