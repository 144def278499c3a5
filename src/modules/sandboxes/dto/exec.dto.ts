import { Text, TextArray, U64 } from '../../../common/http/dto-members';
import { MAX_EXEC_SECS } from '../domain/spawn-rules';

/** POST /v1/sandboxes/:id/exec */
export class ExecDto {
  @TextArray({ minItems: 1, description: 'The program and its arguments; no shell in between.' })
  args!: string[];

  @U64({
    default: 30,
    maximum: MAX_EXEC_SECS,
    description: 'Seconds after which the program is killed; 0 kills it at once.',
  })
  timeout_secs!: number;
}

/** POST /v1/sandboxes/:id/eval */
export class EvalDto {
  @Text({ description: 'For the warm runtime of the image; variables last until the sandbox ends.' })
  code!: string;
}
