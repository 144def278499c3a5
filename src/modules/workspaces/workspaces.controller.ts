import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { Documented } from '../../common/http/documented.decorator';
import { JsonBody } from '../../common/http/json-body.decorator';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import type { WorkspaceInfo } from '../registry/domain/records';
import { WORKSPACE_INFO, WORKSPACE_LIST } from '../registry/wire-schemas';
import { CreateWorkspaceDto, SuspendDto } from './dto/workspaces.dto';
import { WORKSPACE_PARAMS } from './wire-schemas';
import { WorkspacesService } from './workspaces.service';

const NO_WORKSPACE = 'No such workspace.';
const BUSY = 'The workspace is being created, suspended, resumed or deleted already';

@Controller('v1/workspaces')
@Authenticated()
export class WorkspacesController {
  constructor(private readonly workspaces: WorkspacesService) {}

  @Get()
  @Documented({
    id: 'listWorkspaces',
    summary: 'All workspaces',
    success: { status: 200, description: 'All of them.', schema: WORKSPACE_LIST },
  })
  list(): WorkspaceInfo[] {
    return this.workspaces.list();
  }

  @Post()
  @HttpCode(201)
  @Audited('workspace.create')
  @Documented({
    id: 'createWorkspace',
    summary: 'Forks a sandbox that has a name and can be suspended',
    description:
      'The sandbox is also listed with the others. The request is carried out even if its client leaves.',
    success: { status: 201, description: 'It runs.', schema: WORKSPACE_INFO },
    errors: {
      400: 'The name or the tag is none, the name is longer than 55 characters, a number is out of its range, or the wish cannot be fulfilled on this host.',
      404: 'No such snapshot.',
      409: 'The name is taken, the snapshot cannot be forked now, or another snapshot has the tag `ws-<name>-state`.',
      500: 'The sandbox did not start; nothing is left of it.',
    },
    example: { name: 'agent', snapshot_tag: 'py' },
  })
  create(@JsonBody() body: CreateWorkspaceDto): Promise<WorkspaceInfo> {
    return this.workspaces.create({
      name: body.name,
      snapshotTag: body.snapshot_tag,
      perChildNetns: body.per_child_netns,
      memoryLimitMib: body.memory_limit_mib,
    });
  }

  @Get(':name')
  @Documented({
    id: 'getWorkspace',
    summary: 'One workspace',
    params: WORKSPACE_PARAMS,
    success: { status: 200, description: 'The workspace.', schema: WORKSPACE_INFO },
    errors: { 404: NO_WORKSPACE },
  })
  get(@Param('name') name: string): WorkspaceInfo {
    return this.workspaces.get(name);
  }

  @Delete(':name')
  @HttpCode(204)
  @Audited('workspace.delete')
  @Documented({
    id: 'deleteWorkspace',
    summary: 'Kills its sandbox and deletes its suspended state',
    description: 'The snapshot it began as stays.',
    params: WORKSPACE_PARAMS,
    success: { status: 204, description: 'It is gone.' },
    errors: {
      404: NO_WORKSPACE,
      409: `${BUSY}, or other snapshots are stored on top of its state; the text names them.`,
    },
  })
  async remove(@Param('name') name: string): Promise<void> {
    await this.workspaces.remove(name);
  }

  @Post(':name/suspend')
  @HttpCode(200)
  @Audited('workspace.suspend')
  @Documented({
    id: 'suspendWorkspace',
    summary: 'Writes its state to disk and ends its sandbox',
    description:
      'The state is the snapshot `ws-<name>-state`, in the place of the one before. When it fails, the workspace runs on and the state before is kept.',
    params: WORKSPACE_PARAMS,
    success: { status: 200, description: 'It is suspended.', schema: WORKSPACE_INFO },
    errors: {
      400: 'It does not run.',
      404: 'No such workspace, or its VM is gone.',
      409: `${BUSY}, its sandbox is being branched, or other snapshots are stored on top of its state before.`,
      500: 'The state could not be written; the workspace runs on.',
      503: 'All branch slots are taken; the same request may succeed later.',
    },
    example: { diff: true },
  })
  suspend(@Param('name') name: string, @JsonBody() body: SuspendDto): Promise<WorkspaceInfo> {
    return this.workspaces.suspend(name, body.diff);
  }

  @Post(':name/resume')
  @HttpCode(200)
  @Audited('workspace.resume')
  @Documented({
    id: 'resumeWorkspace',
    summary: 'Starts it from its suspended state, in a new sandbox',
    description:
      'A workspace that was never suspended starts as it began. The namespace and the memory limit it was created with hold again. A body is ignored.',
    params: WORKSPACE_PARAMS,
    success: { status: 200, description: 'It runs.', schema: WORKSPACE_INFO },
    errors: {
      400: 'It runs already.',
      404: 'No such workspace, or its snapshot was deleted.',
      409: `${BUSY}, or its snapshot cannot be forked now.`,
      500: 'The sandbox did not start; the workspace is as it was.',
    },
  })
  resume(@Param('name') name: string): Promise<WorkspaceInfo> {
    return this.workspaces.resume(name);
  }
}
