import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import { isUniqueViolation } from '../http/conflict.js';
import type { Caller } from '../http/caller.js';
import { isPlace, type Place } from '../http/newest-first.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import {
  DEFAULT_QUESTION,
  type LabelInput,
  type LabelSchema,
  type LabelSchemaPatch,
  type NewLabelSchema,
} from './label-schema.js';
import { assertChange, assertLabelSchema } from './label-schema.rules.js';

const SELECT = `
  SELECT s.id, e.number AS "experimentNumber", s.name, s.type, s.instruction, s.enable_comment AS "enableComment", s.input,
         s.is_default AS "isDefault", s.created_at AS "createdAt", s.created_by AS "createdBy", s.updated_at AS "updatedAt"
    FROM label_schema s JOIN experiment e ON e.serial = s.experiment`;

/** The questions of an experiment. */
@Injectable()
export class LabelSchemaService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /** @throws DomainError NOT_FOUND (the experiment), DELETED, ALREADY_EXISTS, VALIDATION_FAILED. */
  async create(caller: Caller, given: NewLabelSchema): Promise<LabelSchema> {
    assertLabelSchema(given);
    const experiment = await this.experiments.getActive(caller, { number: given.experimentNumber });
    const id = v7();
    if (!(await this.insert(caller, experiment.serial, id, given, false)))
      throw taken(given.name, given.experimentNumber);
    return this.get(caller, id);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string, manager?: EntityManager): Promise<LabelSchema> {
    const [found]: LabelSchema[] = await (manager ?? this.database.manager).query(
      `${SELECT} WHERE s.workspace_id = $1 AND s.id = $2 ${manager ? 'FOR UPDATE OF s' : ''}`,
      [caller.workspaceId, validate(id) ? id : null],
    );
    if (found === undefined) throw noSuchSchema(id);
    return found;
  }

  /** @throws DomainError NOT_FOUND, DELETED (the experiment). */
  async getByName(caller: Caller, experimentNumber: number, name: string): Promise<LabelSchema> {
    const { serial } = await this.experiments.getActive(caller, { number: experimentNumber });
    const [found]: LabelSchema[] = await this.database.query(
      `${SELECT} WHERE s.experiment = $1 AND s.name = $2`,
      [serial, name],
    );
    if (found === undefined)
      throw new DomainError(
        'NOT_FOUND',
        `Label schema with name '${name.slice(0, 250)}' not found for experiment '${experimentNumber}'.`,
      );
    return found;
  }

  /** Newest first; one of them is the default question. @throws DomainError NOT_FOUND, DELETED (the experiment), INVALID_CURSOR. */
  async list(
    caller: Caller,
    experimentNumber: number,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<LabelSchema>> {
    const after = decodeCursor(page.cursor, isPlace());
    const { serial } = await this.experiments.getActive(caller, { number: experimentNumber });
    await this.ensureDefault(caller, serial, experimentNumber);
    const rows: LabelSchema[] = await this.database.query(
      `${SELECT} WHERE s.experiment = $1
          AND ($2::timestamptz IS NULL OR (s.created_at <= $2 AND (s.created_at < $2 OR s.id > $3::uuid)))
        ORDER BY s.created_at DESC, s.id LIMIT $4`,
      [serial, after ? new Date(after[0]) : null, after?.[1] ?? null, page.limit + 1],
    );
    return pageOf(
      rows,
      page.limit,
      (row): Place => [row.createdAt.getTime(), row.id],
      (row) => row,
    );
  }

  /** @throws DomainError NOT_FOUND, ALREADY_EXISTS, IMMUTABLE, VALIDATION_FAILED. */
  async update(caller: Caller, id: string, patch: LabelSchemaPatch): Promise<LabelSchema> {
    return this.database.transaction(async (tx) => {
      const before = await this.get(caller, id, tx);
      assertChange(before, patch);
      assertLabelSchema(patch);
      const name = patch.name ?? before.name;
      await tx
        .query(
          `UPDATE label_schema SET name = $3, instruction = $4, enable_comment = $5, input = $6, updated_at = $7
            WHERE workspace_id = $1 AND id = $2`,
          [
            caller.workspaceId,
            id,
            name,
            patch.instruction === undefined ? before.instruction : patch.instruction,
            patch.enableComment ?? before.enableComment,
            JSON.stringify(patch.input ?? before.input),
            new Date(),
          ],
        )
        .catch((error: unknown) => {
          throw isUniqueViolation(error, 'label_schema_name_key')
            ? taken(name, before.experimentNumber)
            : error;
        });
      return this.get(caller, id, tx);
    });
  }

  /** Answers that it asked for stay. @throws DomainError NOT_FOUND, IMMUTABLE (the default question). */
  async delete(caller: Caller, id: string): Promise<void> {
    const { isDefault } = await this.get(caller, id);
    if (isDefault) throw new DomainError('IMMUTABLE', "The experiment's default question cannot be deleted.");
    await this.database.query(`DELETE FROM label_schema WHERE workspace_id = $1 AND id = $2`, [
      caller.workspaceId,
      id,
    ]);
  }

  /** Made when it is first looked for: experiments that nobody reviews have none. */
  private async ensureDefault(caller: Caller, experiment: number, experimentNumber: number): Promise<void> {
    const found: unknown[] = await this.database.query(
      `SELECT FROM label_schema WHERE experiment = $1 AND name = $2`,
      [experiment, DEFAULT_QUESTION.name],
    );
    if (found.length > 0) return;
    const input: LabelInput = { kind: 'text', maxLength: null };
    // Somebody else may look at the same time: then it is theirs.
    await this.insert(
      caller,
      experiment,
      v7(),
      { ...DEFAULT_QUESTION, experimentNumber, type: 'feedback', input },
      true,
    );
  }

  /** @returns whether the name was free. */
  private async insert(
    caller: Caller,
    experiment: number,
    id: string,
    given: NewLabelSchema,
    isDefault: boolean,
  ): Promise<boolean> {
    const made: unknown[] = await this.database.query(
      `INSERT INTO label_schema (id, workspace_id, experiment, name, type, instruction, enable_comment, input, is_default,
                                 created_at, created_by, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10)
       ON CONFLICT ON CONSTRAINT label_schema_name_key DO NOTHING RETURNING id`,
      [
        id,
        caller.workspaceId,
        experiment,
        given.name,
        given.type,
        given.instruction ?? null,
        given.enableComment ?? false,
        JSON.stringify(given.input),
        isDefault,
        new Date(),
        caller.actor,
      ],
    );
    return made.length > 0;
  }
}

function taken(name: string, experimentNumber: number): DomainError {
  return new DomainError(
    'ALREADY_EXISTS',
    `Label schema with name '${name}' already exists for experiment '${experimentNumber}'.`,
  );
}

function noSuchSchema(id: string): DomainError {
  return new DomainError('NOT_FOUND', `There is no label schema "${id.slice(0, 64)}".`);
}
