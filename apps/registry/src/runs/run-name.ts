import { randomInt } from 'node:crypto';
import { animals, colors, uniqueNamesGenerator } from 'unique-names-generator';

/** A name for a run that was given none, such as `crimson-otter-381`. Need not be unique. */
export function generateRunName(): string {
  const words = uniqueNamesGenerator({ dictionaries: [colors, animals], separator: '-' });
  return `${words}-${randomInt(1000)}`;
}
