import type { ErrorObject } from 'ajv/dist/2020.js';

export interface Problem {
  /** JSON Pointer (RFC 6901) of the offending value. */
  readonly path: string;
  readonly message: string;
}

/** ajv's errors as one sentence per offending value, the noise of failed `anyOf`/`oneOf` branches left out. */
export function describe(errors: readonly ErrorObject[]): Problem[] {
  const problems = new Map<string, Problem>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || error.keyword === 'oneOf' || error.keyword === 'if') continue;
    const problem = { path: pathOf(error), message: sentence(error) };
    problems.set(`${problem.path} ${problem.message}`, problem);
  }
  const all = [...problems.values()];
  return (
    all.length > 0 ? all : errors.map((error) => ({ path: pathOf(error), message: sentence(error) }))
  ).slice(0, 20);
}

function pathOf({ keyword, instancePath, params }: ErrorObject): string {
  return keyword === 'discriminator' ? `${instancePath}/${params['tag']}` : instancePath;
}

function sentence(error: ErrorObject): string {
  switch (error.keyword) {
    case 'additionalProperties':
      return `has the unknown field "${error.params['additionalProperty']}"; remove it`;
    case 'required':
      return `lacks the field "${error.params['missingProperty']}"`;
    case 'enum':
      return `must be one of ${JSON.stringify(error.params['allowedValues'])}`;
    case 'const':
      return `must be ${JSON.stringify(error.params['allowedValue'])}`;
    case 'discriminator':
      return 'must be one of the known values';
    case 'false schema':
      return 'has no place here; remove it';
    default:
      return error.message ?? error.keyword;
  }
}
