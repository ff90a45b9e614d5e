import { DomainError } from '#libs/core/errors/catalogue.js';
import type { ExperimentRef } from './experiment.service.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Reads the id of an experiment or its number. @throws DomainError VALIDATION_FAILED. */
export function parseExperimentRef(given: string, path: string): ExperimentRef {
  if (UUID.test(given)) return { id: given };
  if (/^(0|[1-9][0-9]{0,9})$/.test(given)) return { number: Number(given) };
  throw new DomainError(
    'VALIDATION_FAILED',
    `${path} must be the UUID of an experiment or its number, not "${given.slice(0, 64)}".`,
    [{ path, message: 'must be the UUID of an experiment or its number' }],
  );
}
