import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { ExperimentService } from '../experiments/experiment.service.js';

/** One version of a scorer: a judge of traces, which its client wrote and runs. It is never run here. */
export interface ScorerVersion {
  readonly scorerId: string;
  readonly experimentNumber: number;
  readonly name: string;
  readonly number: number;
  /** JSON text, as it was registered. */
  readonly definition: string;
  readonly createdAt: Date;
  readonly createdBy: string;
}

/** Which new traces a scorer is to score while they come in. */
export interface OnlineConfig {
  readonly scorerId: string;
  readonly experimentNumber: number;
  /** 0 to 1. */
  readonly sampleRate: number;
  /** In the language of searches. */
  readonly filter: string | null;
}

const MAX_NAME = 250;
const MAX_DEFINITION = 1_000_000;

const COLUMNS = `
  s.id AS "scorerId", e.number AS "experimentNumber", s.name, v.number, v.definition, v.created_at AS "createdAt",
  v.created_by AS "createdBy"`;
const FROM = `scorer s JOIN experiment e ON e.serial = s.experiment JOIN scorer_version v ON v.scorer_id = s.id`;

@Injectable()
export class ScorerService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /** Always a new version, numbered from 1. @throws DomainError NOT_FOUND, DELETED (the experiment), VALIDATION_FAILED. */
  async register(
    caller: Caller,
    experimentNumber: number,
    name: string,
    definition: string,
  ): Promise<ScorerVersion> {
    if (name.trim() === '' || name.length > MAX_NAME || !isText(name))
      refuse('/name', `must have 1 to ${MAX_NAME} characters and no NUL`);
    if (definition.length > MAX_DEFINITION || !isText(definition) || !isJson(definition))
      refuse('/definition', `must be JSON of at most ${MAX_DEFINITION} characters`);
    const experiment = await this.experiments.getActive(caller, { number: experimentNumber });
    const number = await this.database.transaction(async (tx) => {
      const [scorer]: [{ id: string; number: number }] = await tx.query(
        `INSERT INTO scorer AS s (id, workspace_id, experiment, name, latest_version) VALUES ($1, $2, $3, $4, 1)
         ON CONFLICT ON CONSTRAINT scorer_name_key DO UPDATE SET latest_version = s.latest_version + 1
         RETURNING id, latest_version AS number`,
        [v7(), caller.workspaceId, experiment.serial, name],
      );
      await tx.query(
        `INSERT INTO scorer_version (scorer_id, number, definition, created_at, created_by) VALUES ($1, $2, $3, $4, $5)`,
        [scorer.id, scorer.number, definition, new Date(), caller.actor],
      );
      return scorer.number;
    });
    return this.get(caller, experimentNumber, name, number);
  }

  /** The latest version of each, by experiment and name; without numbers, of all active experiments. */
  async list(caller: Caller, experiments?: readonly number[]): Promise<ScorerVersion[]> {
    return this.database.query(
      `SELECT DISTINCT ON (e.number, s.name) ${COLUMNS} FROM ${FROM}
        WHERE s.workspace_id = $1 AND e.deleted_at IS NULL AND ($2::integer[] IS NULL OR e.number = ANY($2))
        ORDER BY e.number, s.name, v.number DESC`,
      [caller.workspaceId, experiments ?? null],
    );
  }

  /** Ascending. @throws DomainError NOT_FOUND, DELETED. */
  async versions(caller: Caller, experimentNumber: number, name: string): Promise<ScorerVersion[]> {
    const experiment = await this.experiments.getActive(caller, { number: experimentNumber });
    const versions: ScorerVersion[] = await this.database.query(
      `SELECT ${COLUMNS} FROM ${FROM} WHERE s.experiment = $1 AND s.name = $2 ORDER BY v.number`,
      [experiment.serial, name],
    );
    if (versions.length === 0) throw noSuchScorer(experimentNumber, name);
    return versions;
  }

  /** The latest, unless a number is given. @throws DomainError NOT_FOUND, DELETED. */
  async get(caller: Caller, experimentNumber: number, name: string, number?: number): Promise<ScorerVersion> {
    const versions = await this.versions(caller, experimentNumber, name);
    const found =
      number === undefined ? versions.at(-1) : versions.find((version) => version.number === number);
    if (found === undefined) throw noSuchScorer(experimentNumber, name, number);
    return found;
  }

  /** One version, or all with the name. @throws DomainError NOT_FOUND, DELETED. */
  async delete(caller: Caller, experimentNumber: number, name: string, number?: number): Promise<void> {
    const { scorerId } = await this.get(caller, experimentNumber, name, number);
    if (number === undefined) await this.database.query(`DELETE FROM scorer WHERE id = $1`, [scorerId]);
    else
      await this.database.query(`DELETE FROM scorer_version WHERE scorer_id = $1 AND number = $2`, [
        scorerId,
        number,
      ]);
  }

  /** @throws DomainError NOT_FOUND, DELETED, VALIDATION_FAILED. */
  async configure(
    caller: Caller,
    experimentNumber: number,
    name: string,
    sampleRate: number,
    filter: string | null,
  ): Promise<OnlineConfig> {
    if (!(sampleRate >= 0 && sampleRate <= 1)) refuse('/sampleRate', 'must lie between 0 and 1');
    const { scorerId } = await this.get(caller, experimentNumber, name);
    await this.database.query(`UPDATE scorer SET sample_rate = $2, filter = $3 WHERE id = $1`, [
      scorerId,
      sampleRate,
      filter,
    ]);
    return { scorerId, experimentNumber, sampleRate, filter };
  }

  /** Of those that have one. */
  async configs(caller: Caller, scorerIds: readonly string[]): Promise<OnlineConfig[]> {
    return this.database.query(
      `SELECT s.id AS "scorerId", e.number AS "experimentNumber", s.sample_rate AS "sampleRate", s.filter
         FROM scorer s JOIN experiment e ON e.serial = s.experiment
        WHERE s.workspace_id = $1 AND s.id = ANY($2::uuid[]) AND s.sample_rate IS NOT NULL ORDER BY s.id`,
      [caller.workspaceId, scorerIds.filter((id) => validate(id))],
    );
  }
}

const isText = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function noSuchScorer(experiment: number, name: string, number?: number): DomainError {
  const version = number === undefined ? '' : ` and version ${number}`;
  return new DomainError(
    'NOT_FOUND',
    `Scorer with name '${name.slice(0, MAX_NAME)}'${version} not found for experiment ${experiment}.`,
  );
}

function refuse(path: string, message: string): never {
  throw new DomainError('VALIDATION_FAILED', `The scorer is not valid: ${path} ${message}.`, [
    { path, message },
  ]);
}
