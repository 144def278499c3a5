import type { Workspace } from '../api/types';
import { age, orDash } from '../output/format';
import type { Column } from '../output/table';

export const workspaceColumns: readonly Column<Workspace>[] = [
  { title: 'NAME', cell: (one) => one.name },
  { title: 'STATUS', cell: (one) => one.status },
  { title: 'SANDBOX', cell: (one) => orDash(one.live_sandbox_id) },
  { title: 'ACTIVE', cell: (one) => age(one.last_active_unix), align: 'right' },
  { title: 'AGE', cell: (one) => age(one.created_at_unix), align: 'right', optional: true },
  { title: 'FROM', cell: (one) => one.source_snapshot_tag, minWidth: 8, optional: true },
  { title: 'STATE', cell: (one) => orDash(one.current_state_tag), minWidth: 8, optional: true },
];
