import { Injectable } from '@nestjs/common';
import type { Experiment } from '../../experiments/experiment.entity.js';
import { runHex } from '../../runs/run-id.js';
import type { Run } from '../../runs/run.entity.js';
import { RunReader, type RunData } from '../../search/run-reader.js';
import { int64Json } from '../protocol/json-writer.js';
import { runInfoMessage, type ShownRun } from './run-message.js';

/** MLflow's message `Run`, with all that runs logged. */
@Injectable()
export class RunMessages {
  constructor(private readonly reader: RunReader) {}

  async one(run: ShownRun): Promise<object> {
    const data = await this.reader.load([run.serial]);
    return runMessage(run, data.get(run.serial)!);
  }

  /** @param experiments all that the runs belong to. */
  async all(runs: readonly Run[], experiments: readonly Experiment[]): Promise<object[]> {
    const data = await this.reader.load(runs.map(({ serial }) => serial));
    const bySerial = new Map(experiments.map((experiment) => [experiment.serial, experiment]));
    return runs.map((run) => {
      const { number, artifactLocation } = bySerial.get(run.experimentSerial)!;
      const shown = Object.assign(run, { experimentNumber: number, artifactLocation });
      return runMessage(shown, data.get(run.serial)!);
    });
  }
}

function runMessage(run: ShownRun, data: RunData): object {
  return {
    info: runInfoMessage(run),
    data: {
      metrics: data.metrics.map(({ key, value, step, timeMs }) => ({
        key,
        value,
        timestamp: int64Json(timeMs),
        step: int64Json(step),
      })),
      params: data.params,
      tags: data.tags,
    },
    inputs: {
      dataset_inputs: data.datasets.map(({ tags, ...dataset }) => ({
        tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
        dataset: {
          name: dataset.name,
          digest: dataset.digest,
          source_type: dataset.sourceType,
          source: dataset.source,
          schema: dataset.schema,
          profile: dataset.profile,
        },
      })),
      model_inputs: data.modelInputs.map(({ loggedModelId }) => ({ model_id: modelId(loggedModelId) })),
    },
    outputs: {
      model_outputs: data.modelOutputs.map(({ loggedModelId, step }) => ({
        model_id: modelId(loggedModelId),
        step: int64Json(step),
      })),
    },
  };
}

const modelId = (id: string): string => `m-${runHex(id)}`;
