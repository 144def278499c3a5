import type { PathParameter } from '../../common/http/route-documentation';
import { arrayOf, count, optional, record, text } from '../../common/http/schema';
import { TAG_PATTERN } from './domain/tag';
import type { SnapshotDetail } from './snapshot-info.service';

export const SNAPSHOT_PARAMS: Readonly<Record<string, PathParameter>> = {
  tag: { description: "The snapshot's tag.", example: 'py', pattern: TAG_PATTERN },
};

const TAG = text('A tag.');

export const SNAPSHOT_INFO_DETAIL = record<SnapshotDetail>(
  'SnapshotInfoDetail',
  'All about one snapshot. Sizes are in bytes, 0 for a file that is missing.',
  {
    tag: text('Its name.'),
    dir: text('Its directory, an absolute path on the host.'),
    created_at_unix: optional(count('Seconds since 1970; absent for a directory that nobody registered.')),
    memory_logical_bytes: count("The guest's memory, however little of it is stored."),
    memory_physical_bytes: count('What it takes on disk.'),
    vmstate_bytes: count('The device state.'),
    chain_depth: count('How many snapshots it is stored on top of.'),
    parent_tag: optional(text('The snapshot it is stored on top of.')),
    parent_content_hash: optional(text("The hash of that one's memory.")),
    dependents: arrayOf(TAG, 'The snapshots stored directly on top of it, in byte order.'),
    ancestors: arrayOf(TAG, 'The snapshots it is stored on top of, the root first.'),
  },
  {
    tag: 'py',
    dir: '/var/lib/forkd/snapshots/py',
    created_at_unix: 1717000000,
    memory_logical_bytes: 268435456,
    memory_physical_bytes: 96468992,
    vmstate_bytes: 13402,
    chain_depth: 0,
    dependents: ['checkpoint-1'],
    ancestors: [],
  },
);
