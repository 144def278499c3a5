import { Text, TextArray, U64 } from '../../../common/http/dto-members';

/** POST /v1/sandboxes/:id/exec */
export class ExecDto {
  @TextArray()
  args!: string[];

  @U64({ default: 30 })
  timeout_secs!: number;
}

/** POST /v1/sandboxes/:id/eval */
export class EvalDto {
  @Text()
  code!: string;
}
