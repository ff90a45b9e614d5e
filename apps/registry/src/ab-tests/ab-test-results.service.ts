import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { analyse } from '#libs/core/ab-test/analysis.js';
import { factorialResult, type FactorialEffect } from '#libs/core/ab-test/factorial.js';
import { settleRules } from '#libs/core/ab-test/rules.js';
import type { AbTestAnalysis } from '#libs/core/ab-test/results.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { getEndpoint } from '../endpoints/endpoint-read.js';
import type { Caller } from '../http/caller.js';
import type { AbTest } from './ab-test.entity.js';
import { AbTestReader, inputOf } from './ab-test-reader.js';
import type { AbTestResultsDto, ResultsQuery } from './ab-test-results.dto.js';
import { getTest } from './ab-test.service.js';

/** What A/B tests have found, read from their sums. */
@Injectable()
export class AbTestResultsService {
  constructor(
    private readonly database: DataSource,
    private readonly reader: AbTestReader,
  ) {}

  /** @throws DomainError NOT_FOUND: the test, a phase, or a draft. */
  async read(caller: Caller, name: string, id: string, { phase }: ResultsQuery): Promise<AbTestResultsDto> {
    const { manager } = this.database;
    const test = await getTest(manager, await getEndpoint(manager, caller, name), id);
    if (test.startedAt === null)
      throw new DomainError('NOT_FOUND', `The A/B test ${id} is a draft: it has results once it is started.`);
    const { phases: all, freshness } = await this.reader.see(manager, test);
    const phases = all.filter(({ input }) => phase === undefined || input.splitRevision === phase);
    if (phases.length === 0)
      throw new DomainError(
        'NOT_FOUND',
        `The A/B test ${id} has no phase ${phase}; its phases are the split revisions ${all.map(({ input }) => input.splitRevision).join(', ')}.`,
      );
    const analysis = analyse(inputOf(test, { phases, freshness }, new Date()));
    return {
      ...analysis,
      phases: analysis.phases.map((each, at) => ({ ...each, ...phases[at]!.facts })),
      id,
      endpoint: name,
      hypothesis: test.hypothesis,
      status: test.status,
      factorial: factorialOf(test, analysis),
      freshness,
      // The document's types are those of the analysis, of which nothing is written to.
    } as AbTestResultsDto;
  }
}

function factorialOf({ factors, rules }: AbTest, { arms }: AbTestAnalysis): FactorialEffect[] | null {
  if (!factors) return null;
  const { alpha, tunedUnits, metrics } = settleRules(rules);
  return (
    factorialResult(factors, rules.control, arms, metrics[0]!.metric.name, { alpha, tunedUnits }) ?? null
  );
}
