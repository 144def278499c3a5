import { closeSync, constants, ftruncateSync, openSync } from 'node:fs';
import { CHUNK_BYTES, chunkCount, LEAF_BYTES, ZERO_LEAF } from '../domain/digest';
import type { CopyJob } from '../domain/jobs';
import { type Extent, shareOf } from '../domain/copy-plan';
import { readFully, writeFully } from './file-io';
import { knownLeaves } from './image-digest';

/** Chunks that are copied at once. */
const RUN_CHUNKS = 16;

/** Copies its part of an image and leaves zeros holes. Without the image's leaves all of it counts as data. */
export function copyImage({ fromPath, toPath, imageBytes, sums, part, parts }: CopyJob): void {
  const leaves = knownLeaves(imageBytes, sums);
  const isHole = (chunk: number): boolean =>
    leaves !== undefined &&
    leaves.compare(ZERO_LEAF, 0, LEAF_BYTES, chunk * LEAF_BYTES, (chunk + 1) * LEAF_BYTES) === 0;
  const runs = shareOf({ chunks: chunkCount(imageBytes), isHole, maxRun: RUN_CHUNKS, part, parts });
  const from = openSync(fromPath, 'r');
  try {
    const to = openSync(toPath, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      // All that copy it say the same size, so it does not matter who is first.
      ftruncateSync(to, imageBytes);
      copyRuns(from, to, imageBytes, runs);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

function copyRuns(from: number, to: number, bytes: number, runs: readonly Extent[]): void {
  const buffer = Buffer.allocUnsafe(RUN_CHUNKS * CHUNK_BYTES);
  for (const { first, count } of runs) {
    const position = first * CHUNK_BYTES;
    const length = Math.min((first + count) * CHUNK_BYTES, bytes) - position;
    readFully(from, buffer, length, position);
    writeFully(to, buffer, 0, length, position);
  }
}
