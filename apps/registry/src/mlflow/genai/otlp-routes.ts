import { Inject, Injectable, Logger } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Caller } from '../../http/caller.js';
import { SETTINGS_TOKEN } from '../../settings.module.js';
import { MAX_LINKS, TraceService } from '../../traces/trace.service.js';
import { TraceWriter } from '../../traces/trace-writer.js';
import { isRefusal, MlflowError, toMlflowError } from '../protocol/mlflow-error.js';
import type { Exchange, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { readBody } from '../protocol/request-body.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { experimentNumber } from './genai-refusals.js';

/** What OTLP calls a request that must not be sent again as it is. */
const UNPROCESSABLE = 422;

/** `POST /v1/traces`: OpenTelemetry's protocol over HTTP, https://opentelemetry.io/docs/specs/otlp/#otlphttp */
@Injectable()
export class OtlpRoutes {
  private readonly logger = new Logger('otlp');

  constructor(
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    private readonly writer: TraceWriter,
    private readonly traces: TraceService,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.addRaw({
      method: 'POST',
      path: '/v1/traces',
      handle: (caller, exchange) => this.receive(caller, exchange),
    });
  }

  private async receive(caller: Caller, { request, response }: Exchange): Promise<void> {
    const encoding = encodingOf(request.headers['content-type']);
    const number = experimentNumber(headerOf(request.headers['x-mlflow-experiment-id']));
    // Loaded by the first request: most registries are sent no OTLP, and the schema takes megabytes.
    const { readOtlp } = await import('./otlp-request.js');
    const groups = readOtlp(await readBody(request, this.settings.CATENA_MAX_BODY_BYTES), encoding);
    try {
      const { rootedTraceIds } = await aboutExperiment(
        { number },
        this.writer.addSpans(caller, number, groups),
      );
      await this.link(caller, rootedTraceIds, request.headers['x-mlflow-run-id']);
    } catch (error) {
      if (isRefusal(error, 'VALIDATION_FAILED'))
        throw new MlflowError('INVALID_PARAMETER_VALUE', toMlflowError(error).message, UNPROCESSABLE);
      throw error;
    }
    // An empty ExportTraceServiceResponse: all was taken.
    response.status(200);
    response.setHeader('content-type', encoding === 'json' ? 'application/json' : 'application/x-protobuf');
    response.end(encoding === 'json' ? '{}' : undefined);
  }

  /** The spans are stored by now: a run that is not there is no reason to send them again. */
  private async link(caller: Caller, traceIds: readonly string[], runId: unknown): Promise<void> {
    if (typeof runId !== 'string' || runId === '') return;
    try {
      for (let at = 0; at < traceIds.length; at += MAX_LINKS)
        await this.traces.linkToRun(caller, traceIds.slice(at, at + MAX_LINKS), runId);
    } catch (error) {
      if (!isRefusal(error, 'NOT_FOUND')) throw error;
      this.logger.warn(`Traces were stored, but not linked: ${error.message}`);
    }
  }
}

function encodingOf(contentType: string | undefined): 'protobuf' | 'json' {
  const type = contentType?.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/x-protobuf' || type === 'application/protobuf') return 'protobuf';
  if (type === 'application/json') return 'json';
  throw new MlflowError(
    'BAD_REQUEST',
    `Invalid Content-Type: ${String(contentType).slice(0, 128)}. Expected: application/x-protobuf or application/json`,
  );
}

function headerOf(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    'The header x-mlflow-experiment-id is missing: it names the experiment of the traces.',
    UNPROCESSABLE,
  );
}
