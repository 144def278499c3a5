import { Controller, Get, Param } from '@nestjs/common';
import { Documented } from '../../../common/http/documented.decorator';
import { PendingWebSocket, WebSocketOffer } from '../../../common/http/websocket';
import { Audited } from '../../audit/audited.decorator';
import { Authenticated } from '../../auth/access.decorator';
import { STREAM_PROTOCOL } from '../domain/stream-messages';
import { SANDBOX_PARAMS } from '../wire-schemas';
import { ExecStreamService } from './exec-stream.service';

@Controller('v1/sandboxes')
@Authenticated()
export class ExecStreamController {
  constructor(private readonly streams: ExecStreamService) {}

  @Get(':id/exec/stream')
  @Audited('sandbox.exec.stream')
  @Documented({
    id: 'streamExecInSandbox',
    summary: 'Runs a program with its input, output, signals and terminal as they come',
    description: `A WebSocket with the subprotocol \`${STREAM_PROTOCOL}\`, which docs/exec-stream.md describes: the client says what to run, then both sides send. When the client leaves, the program is killed. What cannot be started is told on the open stream.`,
    params: SANDBOX_PARAMS,
    success: { status: 101, description: 'The connection is the stream now.' },
    errors: {
      400: 'The request to open a WebSocket is not well-formed, or does not offer the subprotocol.',
      403: 'The request has an Origin header: it was made by a web page.',
      404: 'No such sandbox.',
      426: 'The request does not ask for a WebSocket of version 13.',
      500: 'The VM has ended; the text says why.',
      503: 'Too many streams are open, or the daemon is shutting down.',
    },
  })
  async stream(@Param('id') id: string, @WebSocketOffer() offer: PendingWebSocket): Promise<void> {
    offer.require(STREAM_PROTOCOL);
    await this.streams.serve(id, () => offer.accept());
  }
}
