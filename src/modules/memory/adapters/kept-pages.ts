import { type ImageReader, readFully, writeFully } from './file-io';

interface Piece {
  readonly position: number;
  readonly data: Buffer;
}

/** Pages of an image that are in memory until the file they belong to is there; they come in ascending order. */
export class KeptPages {
  private readonly pieces: Piece[] = [];

  add(position: number, data: Buffer): void {
    this.pieces.push({ position, data });
  }

  /** Reads what the image will be: a base and, over it, these pages. */
  over(base: number): ImageReader {
    return (target, length, position) => {
      readFully(base, target, length, position);
      for (let index = this.firstEndingAfter(position); index < this.pieces.length; index++) {
        const piece = this.pieces[index];
        if (piece === undefined || piece.position >= position + length) break;
        const from = Math.max(position, piece.position);
        const to = Math.min(position + length, piece.position + piece.data.length);
        piece.data.copy(target, from - position, from - piece.position, to - piece.position);
      }
    };
  }

  writeTo(image: number): void {
    for (const { position, data } of this.pieces) writeFully(image, data, 0, data.length, position);
  }

  private firstEndingAfter(position: number): number {
    let [low, high] = [0, this.pieces.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = this.pieces[middle];
      if (piece !== undefined && piece.position + piece.data.length > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
