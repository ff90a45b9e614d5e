import { Injectable } from '@nestjs/common';
import type { Experiment } from '../../experiments/experiment.entity.js';
import { runHex } from '../../runs/run-id.js';
import { RunReader, type RunData, type RunJson, type RunLinks } from '../../search/run-reader.js';
import { int64Json, writeJson } from '../protocol/json-writer.js';
import { runInfoMessage, type ShownRun } from './run-message.js';

/** MLflow's message `Run`, with all that runs logged. */
@Injectable()
export class RunMessages {
  constructor(private readonly reader: RunReader) {}

  async one(run: ShownRun): Promise<object> {
    const data = await this.reader.load([run.serial]);
    return runMessage(run, data.get(run.serial)!);
  }

  /**
   * The JSON of each run, written in one go: a thousand runs with all they logged are tens of thousands of objects
   * otherwise.
   * @param experiments all that the runs belong to.
   */
  async all(serials: readonly number[], experiments: readonly Experiment[]): Promise<string[]> {
    const [data, runs] = await Promise.all([this.reader.json(serials), this.reader.runs(serials)]);
    const bySerial = new Map(experiments.map((experiment) => [experiment.serial, experiment]));
    return runs.map((run) => {
      const { number, artifactLocation } = bySerial.get(run.experimentSerial)!;
      const shown = Object.assign(run, { experimentNumber: number, artifactLocation });
      return runJson(shown, data.get(run.serial)!);
    });
  }
}

/** `runMessage` as `writeJson` writes it. */
function runJson(run: ShownRun, data: RunJson): string {
  const lists: string[] = [];
  if (data.metrics !== '') lists.push(`"metrics":[${data.metrics}]`);
  if (data.params !== '') lists.push(`"params":[${data.params}]`);
  if (data.tags !== '') lists.push(`"tags":[${data.tags}]`);
  const isAlone = data.datasets.length + data.modelInputs.length + data.modelOutputs.length === 0;
  const links = isAlone ? '"inputs":{},"outputs":{}' : writeJson(linksMessage(data)).slice(1, -1);
  return `{"info":${writeJson(runInfoMessage(run))},"data":{${lists.join(',')}},${links}}`;
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
    ...linksMessage(data),
  };
}

function linksMessage(data: RunLinks): object {
  return {
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
