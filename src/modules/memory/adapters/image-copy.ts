import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { CHUNK_BYTES, chunkCount, LEAF_BYTES, ZERO_LEAF } from '../domain/digest';
import type { CopyJob } from '../domain/jobs';
import { readFully, writeFully } from './file-io';
import { knownLeaves } from './image-digest';

/** Chunks that are copied at once. */
const RUN_CHUNKS = 16;

/** Copies an image and leaves its zeros holes. Without its leaves all of it counts as data. */
export function copyImage({ fromPath, toPath, imageBytes, sums }: CopyJob): void {
  const leaves = knownLeaves(imageBytes, sums);
  const isHole = (chunk: number): boolean =>
    leaves !== undefined &&
    leaves.compare(ZERO_LEAF, 0, LEAF_BYTES, chunk * LEAF_BYTES, (chunk + 1) * LEAF_BYTES) === 0;
  const from = openSync(fromPath, 'r');
  try {
    const to = openSync(toPath, 'w', 0o600);
    try {
      ftruncateSync(to, imageBytes);
      copyRuns(from, to, imageBytes, isHole);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

function copyRuns(from: number, to: number, bytes: number, isHole: (chunk: number) => boolean): void {
  const buffer = Buffer.allocUnsafe(RUN_CHUNKS * CHUNK_BYTES);
  const chunks = chunkCount(bytes);
  for (let first = 0; first < chunks;) {
    if (isHole(first)) {
      first++;
      continue;
    }
    let end = first + 1;
    while (end < chunks && end - first < RUN_CHUNKS && !isHole(end)) end++;
    const position = first * CHUNK_BYTES;
    const length = Math.min(end * CHUNK_BYTES, bytes) - position;
    readFully(from, buffer, length, position);
    writeFully(to, buffer, 0, length, position);
    first = end;
  }
}
