import { Injectable } from '@nestjs/common';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import {
  scorerDto,
  type RegisterScorerDto,
  type ScorerQuery,
  type ScorerVersionDto,
  type ScorerVersionsDto,
} from './scorer.dto.js';
import { ScorerService } from './scorer.service.js';

/** Scorers as the native API shows them. */
@Injectable()
export class ScorerAnswers {
  constructor(
    private readonly scorers: ScorerService,
    private readonly experiments: ExperimentService,
  ) {}

  async list(caller: Caller, { experimentId }: ScorerQuery): Promise<ScorerVersionsDto> {
    return {
      items: (await this.scorers.list(caller, [await this.number(caller, experimentId)])).map(scorerDto),
    };
  }

  async register(
    caller: Caller,
    { experimentId, name, definition }: RegisterScorerDto,
  ): Promise<ScorerVersionDto> {
    const number = await this.number(caller, experimentId);
    return scorerDto(await this.scorers.register(caller, number, name, definition));
  }

  async versions(caller: Caller, name: string, { experimentId }: ScorerQuery): Promise<ScorerVersionsDto> {
    const number = await this.number(caller, experimentId);
    return { items: (await this.scorers.versions(caller, number, name)).map(scorerDto) };
  }

  private async number(caller: Caller, experimentId: string): Promise<number> {
    return (await this.experiments.get(caller, parseExperimentRef(experimentId, '/experimentId'))).number;
  }
}
