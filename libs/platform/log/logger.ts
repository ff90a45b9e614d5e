import { pino, stdSerializers, type Logger } from 'pino';

export type { Logger };

/**
 * Fields of database errors that repeat what was stored: statement, parameters, the row in `detail`. They may be a
 * prompt, a customer's message or a sealed credential, and stay out of the log at every level.
 */
const QUOTING_FIELDS = [
  'query',
  'parameters',
  'driverError',
  'detail',
  'where',
  'internalQuery',
  'aggregateErrors',
];

/**
 * Structured log on standard output. Levels: error = a person must look, warn = degraded but handled,
 * info = life cycle. A healthy system logs no error. Secrets and prompts are never logged at info or above.
 */
export function createLogger(app: string, level: string): Logger {
  return pino({
    level,
    base: { app, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
  });
}

export function serializeError(error: Error): object {
  const { raw: _, ...fields } = stdSerializers.err(error);
  for (const field of QUOTING_FIELDS) delete (fields as Record<string, unknown>)[field];
  return fields;
}
