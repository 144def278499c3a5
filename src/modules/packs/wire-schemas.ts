import { arrayOf, binary, count, record, text } from '../../common/http/schema';
import type { UnpackedSnapshot } from './unpacking.service';

export const PACK = binary('A pack.');

const TAG = text('A tag.');

export const UNPACKED_SNAPSHOT = record<UnpackedSnapshot>(
  'UnpackedSnapshot',
  'What a pack became.',
  {
    tag: text('Its name.'),
    dir: text('Its directory, an absolute path on the host.'),
    bytes: count('Content of the pack before compression, in bytes.'),
    unpacked: arrayOf(TAG, 'The snapshots that are new, the root first.'),
    reused: arrayOf(TAG, 'The ancestor that was here already, with the same content.'),
  },
  {
    tag: 'checkpoint-1',
    dir: '/var/lib/forkd/snapshots/checkpoint-1',
    bytes: 96468992,
    unpacked: ['checkpoint-1'],
    reused: ['py'],
  },
);
