import type { Snapshot } from '../api/types';
import { age, orDash } from '../output/format';
import type { Column } from '../output/table';

export const snapshotColumns: readonly Column<Snapshot>[] = [
  { title: 'TAG', cell: (snapshot) => snapshot.tag },
  { title: 'STATUS', cell: (snapshot) => snapshot.status },
  { title: 'AGE', cell: (snapshot) => age(snapshot.created_at_unix), align: 'right' },
  { title: 'FROM', cell: (snapshot) => orDash(snapshot.branched_from), minWidth: 8, optional: true },
  { title: 'DIRECTORY', cell: (snapshot) => snapshot.dir, minWidth: 12, optional: true },
  { title: 'WARNING', cell: (snapshot) => orDash(snapshot.warning), minWidth: 12, optional: true },
];
