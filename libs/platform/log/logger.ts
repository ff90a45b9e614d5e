import { pino, type Logger } from 'pino';

export type { Logger };

/**
 * Structured log on standard output. Levels: error = a person must look, warn = degraded but handled,
 * info = life cycle. A healthy system logs no error. Secrets and prompts are never logged at info or above.
 */
export function createLogger(app: string, level: string): Logger {
  return pino({
    name: app,
    level,
    base: { app, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
  });
}
