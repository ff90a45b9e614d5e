import { promptFromMlflow, promptToMlflow } from '#libs/core/content/mlflow-prompt.js';
import type { StoredPrompt } from '#libs/core/content/types.js';
import { IS_PROMPT_TAG } from '../../entries/registry-filter.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import { PROMPT_TEXT_TAG } from './registry-rules.js';

const PROMPT_TYPE_TAG = '_mlflow_prompt_type';
/** What MLflow's own clients send as the source of a prompt, which has none. */
export const PROMPT_SOURCES: readonly string[] = ['dummy-source', 'prompt-template'];

type Tags = Readonly<Record<string, string>>;

/** A value that says true, as MLflow reads it. */
export const isPromptTags = (tags: Tags): boolean => tags[IS_PROMPT_TAG]?.toLowerCase() === 'true';

/** The tags of a prompt version: what they say of the template is its content, the others can change. */
export function splitPromptTags(given: Tags): { content: StoredPrompt; tags: Record<string, string> } {
  const { [IS_PROMPT_TAG]: _, [PROMPT_TEXT_TAG]: text, [PROMPT_TYPE_TAG]: type, ...tags } = given;
  if (text === undefined)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `A prompt version needs its template in the tag '${PROMPT_TEXT_TAG}'.`,
    );
  return { content: promptFromMlflow({ form: type === 'chat' ? 'chat' : 'text', text }), tags };
}

/** The tags by which clients know a prompt version, without those that can change. */
export function promptTagsOf(content: StoredPrompt): Record<string, string> {
  const { form, text } = promptToMlflow(content);
  return { [IS_PROMPT_TAG]: 'true', [PROMPT_TYPE_TAG]: form, [PROMPT_TEXT_TAG]: text };
}

/**
 * Refuses to change what a prompt version is.
 * @returns whether the tag is one of these, so that there is nothing to do.
 */
export function isFixedTag(content: StoredPrompt, key: string, value: string | undefined): boolean {
  const fixed = promptTagsOf(content);
  if (!Object.hasOwn(fixed, key)) return false;
  if (fixed[key] === value) return true;
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `The tag '${key}' is what the prompt version is, and versions never change; register a new version instead.`,
  );
}

/** As `isFixedTag`, for the tag that tells prompts from models. */
export function isKindTag(kind: 'prompt' | 'model', key: string, value: string | undefined): boolean {
  if (key !== IS_PROMPT_TAG) return false;
  if (value !== undefined && (value.toLowerCase() === 'true') === (kind === 'prompt')) return true;
  if (value === undefined && kind === 'model') return true;
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `The tag '${key}' says that this is a ${kind}, and a ${kind} it stays; create another under a name of its own.`,
  );
}
