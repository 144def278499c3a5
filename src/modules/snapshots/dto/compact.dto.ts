import { Text } from '../../../common/http/dto-members';
import { TAG_PATTERN } from '../domain/tag';

/** POST /v1/snapshots/:tag/compact */
export class CompactDto {
  @Text({ pattern: TAG_PATTERN, description: 'The name of the snapshot to be.' })
  to!: string;
}
