import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, Repository } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import type { CreateRunDto, RunDto } from './run.dto.js';
import { Run } from './run.entity.js';

@Injectable()
export class RunService {
  constructor(@InjectRepository(Run) private readonly runs: Repository<Run>) {}

  async create(caller: Caller, given: CreateRunDto): Promise<RunDto> {
    const run: Run = {
      id: v7(),
      workspaceId: caller.workspaceId,
      name: given.name,
      createdAt: new Date(),
      createdBy: caller.actor,
    };
    await this.runs.insert(run);
    return toDto(run);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<RunDto> {
    const run = validate(id) && (await this.runs.findOneBy({ id, workspaceId: caller.workspaceId }));
    if (!run)
      throw new DomainError('NOT_FOUND', `There is no run "${id}"; list the runs, or create one first.`);
    return toDto(run);
  }

  /** Newest first: ids are UUIDv7, so they sort by time of creation. */
  async list(caller: Caller, query: PageQuery): Promise<Page<RunDto>> {
    const before = decodeCursor(query.cursor, isUuidKey);
    const rows = await this.runs.find({
      where: { workspaceId: caller.workspaceId, ...(before !== undefined && { id: LessThan(before) }) },
      order: { id: 'DESC' },
      take: query.limit + 1,
    });
    return pageOf(rows, query.limit, (run) => run.id, toDto);
  }
}

const isUuidKey = (key: unknown): key is string => isStringKey(key) && validate(key);

function toDto(run: Run): RunDto {
  return { id: run.id, name: run.name, createdAt: run.createdAt.toISOString(), createdBy: run.createdBy };
}
