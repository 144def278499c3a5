import { HttpException } from '@nestjs/common';

/** A refusal that HTTP itself asks for (a body of the wrong type, a missing token), not the product's domain. */
export class HttpError extends HttpException {
  constructor(
    status: number,
    /** Shown to the client as `{"error": text}`. */
    readonly text: string,
  ) {
    super({ error: text }, status);
    this.message = text;
  }
}
