import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { ExperimentOfRuns } from '../../experiments/experiment.service.js';
import { runHex } from '../../runs/run-id.js';
import { RunReader, type RunData, type RunJson, type RunLinks } from '../../search/run-reader.js';
import type { SerialPage } from '../../search/run-search.js';
import { int64Json, writeJson } from '../protocol/json-writer.js';
import { runInfoMessage, type ShownRun } from './run-message.js';

/** Of all runs in memory: some ten thousand. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Runs of larger pages are not remembered: an export would push out all others. */
const MAX_KEPT_PAGE = 2_000;

interface WrittenRun {
  /** `SerialPage.changed` when it was written, or earlier. */
  readonly changed: string;
  readonly experiment: number;
  readonly artifactLocation: string | null;
  readonly text: string;
}

/** MLflow's message `Run`, with all that runs logged. */
@Injectable()
export class RunMessages {
  private readonly written = new LRUCache<number, WrittenRun>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ text }) => text.length + 200,
  });

  constructor(private readonly reader: RunReader) {}

  async one(run: ShownRun): Promise<object> {
    const data = await this.reader.load([run.serial]);
    return runMessage(run, data.get(run.serial)!);
  }

  /**
   * The JSON of each run of a page, written in one go: a thousand runs with all they logged are tens of thousands of
   * objects otherwise. What was written before is written again as long as the database says that it is the same.
   * @param experiments all that the runs belong to.
   */
  async all({ serials, changed }: SerialPage, experiments: readonly ExperimentOfRuns[]): Promise<string[]> {
    const bySerial = new Map(experiments.map((experiment) => [experiment.serial, experiment]));
    const isKept = serials.length <= MAX_KEPT_PAGE;
    const texts = new Map<number, string>();
    for (const [at, serial] of serials.entries()) {
      const known = this.written.get(serial);
      if (known === undefined || known.changed !== changed[at]) continue;
      if (known.artifactLocation === bySerial.get(known.experiment)?.artifactLocation)
        texts.set(serial, known.text);
    }
    const missing = texts.size === 0 ? serials : serials.filter((serial) => !texts.has(serial));
    if (missing.length > 0) {
      const [data, runs] = await Promise.all([this.reader.json(missing), this.reader.runs(missing)]);
      const stamps = new Map(serials.map((serial, at) => [serial, changed[at] ?? null]));
      for (const run of runs) {
        const { serial, experimentSerial } = run;
        const { number, artifactLocation } = bySerial.get(experimentSerial)!;
        const shown = Object.assign(run, { experimentNumber: number, artifactLocation });
        const text = runJson(shown, data.get(serial)!);
        texts.set(serial, text);
        const stamp = stamps.get(serial) ?? null;
        // Read after the stamp: what is newer than the stamp is only ever taken for what is older than it.
        if (isKept && stamp !== null)
          this.written.set(serial, {
            changed: stamp,
            experiment: experimentSerial,
            artifactLocation,
            text: Buffer.from(text).toString(),
          });
      }
    }
    return serials.map((serial) => texts.get(serial)).filter((text) => text !== undefined);
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
