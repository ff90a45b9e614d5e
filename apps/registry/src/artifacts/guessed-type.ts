import { lookup } from 'mime-types';
import { DEFAULT_CONTENT_TYPE } from './artifact.dto.js';

/** Files of MLflow that are YAML and say so nowhere. */
const TEXTS = new Set(['mlmodel', 'mlproject']);

/** The media type of a file whose sender did not say it, by its name. Nothing is ever run: see `sendArtifact`. */
export function guessedType(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (TEXTS.has(name.toLowerCase())) return 'text/plain';
  return (name.includes('.') && lookup(name)) || DEFAULT_CONTENT_TYPE;
}
